"""The Python API, against a real store."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
from pathlib import Path

import pytest

import distcomp
from distcomp import BadInput, BadSetting, Client, NotFound, State, StateFolderError, StoreUnavailable, TaskSpec
from distcomp.api import Filter, SubmitOptions
from distcomp.model import Cause
from distcomp.statefolder import open_existing
from distcomp.store.settlements import Fail, Finish
from distcomp.store.store import Store
from tests.api.conftest import PLENTY, WORKER
from tests.support.values import give_back, outcome
from tests.support.waiting import wait_until


def commands(client: Client, **wanted: object) -> list[str]:
    return [task.command for task in client.tasks(Filter(**wanted))]  # type: ignore[arg-type]


# Opening


def test_importing_distcomp_imports_next_to_nothing() -> None:
    code = (
        "import sys, distcomp; heavy = {'msgspec', 'redis', 'typer', 'asyncio', 'zstandard', 'subprocess'}"
        "\nassert not heavy & set(sys.modules)"
        "\ndistcomp.TaskSpec; assert 'redis' not in sys.modules"
        "\ndistcomp.Client; assert 'redis' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_everything_that_is_promised_is_there() -> None:
    for name in distcomp.__all__:
        assert getattr(distcomp, name)
        assert name in dir(distcomp)
    with pytest.raises(AttributeError):
        distcomp.nothing  # noqa: B018  # type: ignore[attr-defined]


def test_open_makes_a_project_when_something_is_asked_of_it(tmp_path: Path) -> None:
    with Client.open(tmp_path) as client:
        assert not (tmp_path / ".distcomp").exists()
        assert client.status().counts[State.TODO] == 0
        assert (tmp_path / ".distcomp").is_dir()


def test_open_finds_a_project_or_says_that_there_is_none(tmp_path: Path) -> None:
    with pytest.raises(StateFolderError):
        Client.open(tmp_path, create=False)
    with Client.open(tmp_path) as client:
        client.submit([TaskSpec("true")])
    (tmp_path / "below").mkdir()
    with Client.open(tmp_path / "below", create=False) as client:
        assert commands(client) == ["true"]


def test_settings_come_with_the_client(tmp_path: Path) -> None:
    assert Client.open(tmp_path, retries=7).project.settings.retries == 7
    with pytest.raises(BadSetting, match="did you mean 'retries'"):
        Client.open(tmp_path, retrys=7)
    with pytest.raises(BadInput, match="as given: retries: "):
        Client.open(tmp_path, retries="x")


def test_the_last_client_that_closes_turns_the_store_off(tmp_path: Path) -> None:
    socket = tmp_path / ".distcomp" / "store" / "server.sock"
    with Client.open(tmp_path) as first:
        first.status()
        with Client.open(tmp_path) as second:
            second.status()
        assert first.status()
        assert socket.exists()
    assert not socket.exists()


def test_a_store_that_dies_is_started_again(client: Client, tmp_path: Path) -> None:
    client.submit([TaskSpec("true")])
    assert client.project.server
    wait_until(lambda: _is_on_disk(tmp_path, b"jobs"), "the store has written it to its file")
    os.kill(client.project.server.status().pid, signal.SIGKILL)
    assert client.status().counts[State.TODO] == 1


def _is_on_disk(folder: Path, word: bytes) -> bool:
    return any(word in path.read_bytes() for path in (folder / ".distcomp" / "store").rglob("*.aof"))


def test_a_closed_client_does_not_bring_the_store_back(client: Client) -> None:
    client.status()
    client.close()
    with pytest.raises(StoreUnavailable):
        client.status()


# Submitting


def test_submitting_again_adds_only_what_is_new(client: Client) -> None:
    first = client.submit([TaskSpec("a"), TaskSpec("b"), TaskSpec("a")])
    assert (first.new, first.equal, first.equal_lines, first.job) == (2, 1, ((3, 1),), 1)
    second = client.submit([TaskSpec("b"), TaskSpec("c")])
    assert (second.new, second.known, second.jobs) == (1, {State.TODO: 1}, (1, 2))
    third = client.submit([TaskSpec("c")])
    assert (third.new, third.job, third.jobs) == (0, None, (2,))
    assert client.submit([]).tasks == 0


def test_what_tasks_share(client: Client, tmp_path: Path) -> None:
    options = SubmitOptions(cwd=tmp_path, env={"A": "1"}, timeout_s=5, retries=0, kind="k", source="a test")
    client.submit([TaskSpec("a"), TaskSpec("b", timeout_s=9, env={"B": "2"}, cwd="below")], options)
    a, b = client.tasks()
    assert (a.cwd, a.env, a.timeout_s, a.retries, a.kind) == (str(tmp_path), {"A": "1"}, 5, 0, "k")
    assert (b.cwd, b.env, b.timeout_s) == (str(tmp_path / "below"), {"A": "1", "B": "2"}, 9)


def test_a_spec_that_cannot_run_stops_all_of_them(client: Client) -> None:
    with pytest.raises(BadInput, match="task:2:1: the command is empty"):
        client.submit([TaskSpec("a"), TaskSpec("  ")])
    assert commands(client) == []


def test_equal_tasks_can_be_kept(client: Client) -> None:
    options = SubmitOptions(allow_duplicates=True)
    assert client.submit([TaskSpec("a")] * 3, options).new == 3
    assert client.submit([TaskSpec("a")] * 4, options).new == 1
    assert [task.copy for task in client.tasks()] == [0, 1, 2, 3]


def test_a_task_file_far_beyond_one_batch_with_equal_lines_and_other_priorities(client: Client, tmp_path: Path) -> None:
    lines = [f"shell:{n % 3}:0:0:echo {n % 4000}\n" for n in range(5000)]
    (tmp_path / "tasks.txt").write_text("".join(lines))
    report = client.submit(tmp_path / "tasks.txt")
    assert (report.tasks, report.new, report.equal) == (5000, 4000, 1000)
    assert len(report.equal_lines) == 5
    assert all(line == first + 4000 for line, first in report.equal_lines)
    assert len(set(commands(client))) == 4000
    again = client.submit(tmp_path / "tasks.txt")
    assert (again.new, again.known[State.TODO]) == (0, 5000)


def test_duplicates_across_batches_are_numbered_alike_each_time(client: Client, tmp_path: Path) -> None:
    (tmp_path / "tasks.txt").write_text("".join(f"shell:0:0:0:echo {n % 3000}\n" for n in range(7000)))
    options = SubmitOptions(allow_duplicates=True)
    assert client.submit(tmp_path / "tasks.txt", options).new == 7000
    assert client.submit(tmp_path / "tasks.txt", options).new == 0


def test_a_sweep_from_python(client: Client) -> None:
    report = client.sweep(
        "./p {a} {b} {c}",
        {"a": "range:1..2", "b": ["x y", "it's", 'a "b", c'], "c": [0.5]},
        where="a == 1 or b == 'x y'",
    )
    assert report.new == 4
    tasks = list(client.tasks())
    assert tasks[0].params == {"a": 1, "b": "x y", "c": 0.5}
    assert tasks[0].command == "./p 1 'x y' 0.5"
    assert {task.params["b"] for task in tasks} == {"x y", "it's", 'a "b", c'}


def test_failed_tasks_are_put_back_when_that_is_asked_for(client: Client, store: Store) -> None:
    client.submit([TaskSpec("a")])
    [claim] = store.claim(WORKER, PLENTY).claims
    store.settle([Fail(claim.task_id, claim.token, outcome(Cause.EXIT))])
    assert client.submit([TaskSpec("a")]).retried == 0
    report = client.submit([TaskSpec("a")], SubmitOptions(retry=frozenset({State.FAILED})))
    assert (report.known, report.retried) == ({State.FAILED: 1}, 1)
    assert client.status().counts[State.TODO] == 1


# Looking


def test_status_counts_workers_and_what_was_wasted(client: Client, store: Store) -> None:
    client.submit([TaskSpec(f"t{n}") for n in range(4)] + [TaskSpec("large", memory_bytes=1 << 50)])
    finished, failed, returned = store.claim(WORKER, PLENTY).claims[:3]
    store.settle([Finish(finished.task_id, finished.token, outcome(wall_s=2))])
    store.settle([Fail(failed.task_id, failed.token, outcome(Cause.EXIT, wall_s=3)), give_back(returned)])
    status = client.status()
    assert status.counts == {
        State.TODO: 2, State.RUNNING: 1, State.FINISHED: 1, State.FAILED: 1, State.CANCELLED: 0,
    }  # fmt: skip
    assert status.spent_s == {Cause.FINISHED: 2, Cause.EXIT: 3, Cause.EVICTED: 0.5}
    assert status.attempts == {Cause.FINISHED: 1, Cause.EXIT: 1, Cause.EVICTED: 1}
    assert status.workers.workers == 1
    [need] = status.too_large
    assert (need.tasks, need.memory_bytes >= 1 << 50) == (1, True)


def test_nothing_is_too_large_as_long_as_no_worker_is_there(client: Client) -> None:
    client.submit([TaskSpec("large", memory_bytes=1 << 50)])
    assert client.status().too_large == ()
    assert client.stuck() == ()


def test_stuck_is_only_who_has_nothing_else_to_do(client: Client, store: Store) -> None:
    client.submit([TaskSpec("large", memory_bytes=1 << 52), TaskSpec("small")])
    assert client.stuck() == ()
    [claim] = store.claim(WORKER, PLENTY).claims
    assert client.stuck() == (), "something runs"
    store.settle([Finish(claim.task_id, claim.token, outcome())])
    assert [need.tasks for need in client.stuck()] == [1]


def test_tasks_by_filter(client: Client) -> None:
    client.submit([TaskSpec("a 1", tags=("t",)), TaskSpec("a 2", kind="k"), TaskSpec("b 1", tags=("t", "u"))])
    client.submit([TaskSpec("c")], SubmitOptions(kind="k"))
    assert commands(client, include=("a",)) == ["a 1", "a 2"]
    assert commands(client, include=("a",), exclude=("1",)) == ["a 2"]
    assert commands(client, tags=("t",)) == ["a 1", "b 1"]
    assert commands(client, tags=("t", "u")) == ["b 1"]
    assert commands(client, kinds=("k",)) == ["a 2", "c"]
    assert commands(client, jobs=(2,)) == ["c"]
    assert commands(client, states=(State.FAILED,)) == []
    assert [task.command for task in client.tasks(limit=2)] == ["a 1", "a 2"]


def test_one_task(client: Client) -> None:
    client.submit([TaskSpec("a", params={"n": 1})])
    [task_id] = client.ids(Filter())
    assert client.task(task_id[:10]) == client.task(task_id)
    assert client.task(task_id).params == {"n": 1}
    with pytest.raises(NotFound):
        client.task("0" * 16)


def test_results_are_rows_of_what_has_ended(client: Client, store: Store) -> None:
    client.submit([TaskSpec("a", params={"n": 1, "node": "mine"}), TaskSpec("b"), TaskSpec("c")])
    done, failed, _ = store.claim(WORKER, PLENTY).claims
    settled = outcome(wall_s=2)
    from msgspec.structs import replace

    store.settle([Finish(done.task_id, done.token, replace(settled, columns={"n": 2, "miss": 0.5}))])
    store.settle([Fail(failed.task_id, failed.token, replace(settled, cause=Cause.EXIT, reason="why"))])
    first, second = client.results()
    assert (first["n"], first["param.node"], first["result.n"], first["miss"]) == (1, "mine", 2, 0.5)
    assert (first["node"], first["wall_s"], first["state"]) == ("node-w1", 2, "finished")
    assert (second["command"], second["state"], second["reason"]) == ("b", "failed", "why")
    assert [row["command"] for row in client.results([State.FINISHED])] == ["a"]


# Waiting


def test_watching_ends_with_the_jobs_and_does_not_wait_for_others(client: Client, store: Store) -> None:
    first = client.submit([TaskSpec("a")])
    client.submit([TaskSpec("b")])
    seen = client.watch(first.jobs, every_s=0.01)
    assert next(seen).left == 1
    [claim, _] = store.claim(WORKER, PLENTY).claims
    store.settle([Finish(claim.task_id, claim.token, outcome())])
    last = [*seen][-1]
    assert (last.left, last.done, last.total) == (0, 1, 1)


def test_waiting_is_over_as_soon_as_the_last_task_ends(client: Client, store: Store) -> None:
    client.submit([TaskSpec("a")])
    [claim] = store.claim(WORKER, PLENTY).claims
    timer = threading.Timer(0.2, lambda: store.settle([Finish(claim.task_id, claim.token, outcome())]))
    timer.start()
    assert client.wait().left == 0
    timer.join()


def test_waiting_gives_up_after_its_time(client: Client) -> None:
    client.submit([TaskSpec("a")])
    assert client.wait(timeout_s=0.05).left == 1


def test_watching_goes_on_when_the_store_was_away(client: Client, tmp_path: Path) -> None:
    client.submit([TaskSpec("a")])
    wait_until(lambda: _is_on_disk(tmp_path, b"jobs"), "the store has written it to its file")
    seen = client.watch(every_s=0.01)
    next(seen)
    assert client.project.server
    os.kill(client.project.server.status().pid, signal.SIGKILL)
    away = next(progress for progress in seen if progress.trouble)
    assert away.left == 1
    back = next(progress for progress in seen if not progress.trouble)
    assert back.left == 1


# Changing


def test_changes_say_what_was_changed_and_what_was_not(client: Client) -> None:
    client.submit([TaskSpec("a"), TaskSpec("b")])
    ids = list(client.ids(Filter()))
    assert client.cancel(ids[:1]).changed == 1
    again = client.cancel([*ids, "0" * 16])
    assert (again.changed, again.refused) == (1, {"cancelled": 1, "unknown": 1})
    assert client.retry(ids).changed == 2
    assert client.forget(ids).refused == {"todo": 2}
    client.cancel(ids)
    assert client.forget(ids).changed == 2
    assert commands(client) == []


def test_all_of_a_state_can_be_changed_while_it_is_read(client: Client) -> None:
    client.submit([TaskSpec(f"t{n}") for n in range(2500)])
    assert client.cancel(client.ids(Filter(states=(State.TODO, State.RUNNING)))).changed == 2500
    assert client.forget(client.ids(Filter(states=(State.CANCELLED,)))).changed == 2500
    assert open_existing(client.project.folder.project)
