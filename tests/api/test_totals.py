"""What is told of many tasks at once: rate and rest, groups of failures, tasks that a submission does not have."""

from __future__ import annotations

from pathlib import Path

import pytest
from msgspec.structs import replace

from distcomp import Client, TaskSpec
from distcomp.api import SubmitOptions
from distcomp.api.failures import grouped
from distcomp.api.others import others_of
from distcomp.model import Cause, State
from distcomp.store.settlements import Fail, Finish
from distcomp.store.store import Store, WorkerName
from tests.api.conftest import PLENTY, WORKER
from tests.support.values import outcome

GIB = 1 << 30
RETRIED = frozenset({State.FAILED})
NODE_2 = WorkerName("w2", "1", "node-2")
FACTS_2 = b'{"node": "node-2", "total_memory_bytes": %d, "total_cores": 4}' % (8 * GIB)


def run_all(client: Client, store: Store, *failing: str) -> None:
    """Claim all and settle it."""
    for claim in store.claim(WORKER, PLENTY).claims:
        command = claim.spec.command
        how = replace(outcome(Cause.EXIT), exit_code=1, reason="exit code 1", stderr_tail=f"a\nno {command[0]}\n")
        ended = (
            Fail(claim.task_id, claim.token, how)
            if command in failing
            else Finish(claim.task_id, claim.token, outcome())
        )
        store.settle([ended])


# Rate and rest


def test_the_rate_counts_what_ended_a_moment_ago(client: Client, store: Store) -> None:
    client.submit([TaskSpec(f"t{n}") for n in range(30)])
    run_all(client, store)
    status = client.status()
    assert status.ended_lately == 30
    assert status.rate_per_s > 5
    assert status.eta_s == 0


def test_the_rest_is_without_what_no_node_can_run(client: Client, store: Store) -> None:
    store.register(NODE_2, FACTS_2)
    client.submit([TaskSpec(f"t{n}") for n in range(4)] + [TaskSpec(f"l{n}", memory_bytes=9 * GIB) for n in range(96)])
    [claim] = store.claim(WORKER, replace(PLENTY, attempts=1)).claims
    store.settle([Finish(claim.task_id, claim.token, outcome(wall_s=10))])
    store.claim(WORKER, replace(PLENTY, attempts=1))
    status = client.status()
    assert [(need.tasks, need.most_memory_bytes, need.most_cores) for need in status.too_large] == [(96, 8 * GIB, 4)]
    assert status.eta_s == pytest.approx(30), "three are left, one runs"
    assert client.too_large(client.workers()) == status.too_large


# Failures


def test_failures_are_grouped_by_cause_reason_and_last_words() -> None:
    one = replace(outcome(Cause.EXIT), reason="exit code 1", stderr_tail="Traceback\nValueError: a\n\n")
    other = replace(one, stderr_tail="ValueError: b")
    said = replace(one, reason="not found: x: not found", stderr_tail="x: not found")
    found = grouped([("1", one), ("2", other), ("3", other), ("4", said), ("5", None)])
    assert [(group.cause, group.last_words, group.tasks, group.example) for group in found] == [
        (Cause.EXIT, "ValueError: b", 2, "2"),
        (Cause.EXIT, "ValueError: a", 1, "1"),
        (Cause.EXIT, "", 1, "4"),
        (Cause.LOST, "", 1, "5"),
    ]


def test_last_words_have_a_limit() -> None:
    [group] = grouped([("1", replace(outcome(Cause.EXIT), stderr_tail="x" * 5000))])
    assert len(group.last_words) == 300


def test_status_has_some_failures_and_no_more_work_with_many(client: Client, store: Store) -> None:
    client.submit([TaskSpec(f"{letter} {n}") for n in range(40) for letter in "aab"])
    run_all(client, store, *(f"{letter} {n}" for n in range(40) for letter in "aab"))
    run_all(client, store, *(f"{letter} {n}" for n in range(40) for letter in "aab"))
    assert {group.last_words for group in client.status().failures} == {"no a", "no b"}
    assert client.failures() == client.status().failures
    assert client.failures([7]) == ()


# Others


def test_what_was_taken_out_of_a_file_does_not_count_any_more(client: Client, store: Store) -> None:
    client.submit([TaskSpec(command) for command in ("good", "bad", "worse", "next")])
    run_all(client, store, "bad", "worse")
    again = client.submit([TaskSpec("good"), TaskSpec("worse")], SubmitOptions(retry=RETRIED))
    others = client.others(again, RETRIED)
    assert (others.ended[State.FINISHED], others.ended[State.FAILED], others.left) == (1, 1, 0)
    assert [client.task(task_id).command for task_id in others.failed] == ["bad"]
    progress = others.without(next(client.watch(again.jobs)))
    assert (progress.total, progress.done) == (2, 1)


def test_others_that_wait_are_told_of_and_stay(client: Client) -> None:
    client.submit([TaskSpec("a"), TaskSpec("b")])
    again = client.submit([TaskSpec("a"), TaskSpec("c")])
    others = client.others(again, RETRIED)
    assert (others.left, sum(others.ended.values())) == (1, 0)
    assert others.without(next(client.watch(again.jobs))).total == 3


def test_without_others_nothing_is_taken_away_even_if_ours_end_meanwhile(client: Client, store: Store) -> None:
    again = client.submit([TaskSpec("a"), TaskSpec("a"), TaskSpec("b")])
    run_all(client, store)
    assert not any(others_of(again, next(client.watch(again.jobs)).counts, RETRIED).ended.values())


# Options that come too late


@pytest.mark.parametrize(
    ("options", "kept"),
    [
        (SubmitOptions(), 0),
        (SubmitOptions(timeout_s=60), 0),
        (SubmitOptions(timeout_s=5), 2),
        (SubmitOptions(retries=0), 2),
        (SubmitOptions(kind="k"), 2),
    ],
)
def test_known_tasks_that_keep_other_options_are_counted(client: Client, options: SubmitOptions, kept: int) -> None:
    client.submit([TaskSpec("a"), TaskSpec("b")], SubmitOptions(timeout_s=60))
    assert client.submit([TaskSpec("a"), TaskSpec("b"), TaskSpec("new")], options).kept == kept


def test_known_tasks_that_keep_other_needs_or_priorities_are_counted(client: Client, tmp_path: Path) -> None:
    lines = ["shell:0:0:0:a", "shell:5:0:0:b", "shell:0:2:1:c"]
    (tmp_path / "tasks.txt").write_text("\n".join(lines))
    client.submit(tmp_path / "tasks.txt")
    assert client.submit(tmp_path / "tasks.txt").kept == 0
    lines = ["shell:1:0:0:a", "shell:5:0:0:b", "shell:0:2:2:c", "shell:0:0:0:d"]
    (tmp_path / "tasks.txt").write_text("\n".join(lines))
    assert client.submit(tmp_path / "tasks.txt").kept == 2
