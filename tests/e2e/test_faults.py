"""Whatever is killed, cut off or full: no task is lost, none counts twice, nothing is left running."""

from __future__ import annotations

import os
import signal
import subprocess
from datetime import datetime
from pathlib import Path

import pytest

from tests.support.cluster import HERE as CLUSTER
from tests.support.needs import needs_root
from tests.support.sandbox import Sandbox
from tests.support.waiting import wait_until

# A task that holds a lock of its own while it runs: a second attempt beside the first says so in `twice`. 99 is
# flock's word for a lock that is taken, unlike what a shell sees of a killed child before it is killed itself.
EXCLUSIVE = "flock -n -E 99 locks/{name} sleep {sleep_s}; test $? != 99 || echo {name} >> twice"


def exclusive_tasks(sandbox: Sandbox, tasks: int, sleep_s: float) -> str:
    (sandbox.folder / "locks").mkdir()
    lines = (EXCLUSIVE.format(name=f"t{number}", sleep_s=sleep_s) for number in range(tasks))
    return str(sandbox.write("tasks.txt", "".join(f"shell:0:0:0:{line}\n" for line in lines)))


def sleepers(sandbox: Sandbox) -> set[int]:
    return {pid for pid, line in sandbox.processes("sleep 30").items() if line.startswith("sleep")}


def assert_all_finished(sandbox: Sandbox, tasks: int) -> None:
    assert sandbox.json("status")["counts"] == {
        "todo": 0, "running": 0, "finished": tasks, "failed": 0, "cancelled": 0,
    }  # fmt: skip


def test_a_killed_worker_loses_no_task_and_leaves_no_orphan(sandbox: Sandbox) -> None:
    sandbox.settings(max_tasks=50)
    file = exclusive_tasks(sandbox, 50, sleep_s=30)
    run = sandbox.start("run", file)
    wait_until(lambda: len(sleepers(sandbox)) == 50, "50 tasks run", timeout_s=90)
    old_attempts = sleepers(sandbox)
    os.kill(sandbox.worker_pid(), signal.SIGKILL)
    wait_until(lambda: not old_attempts & sleepers(sandbox), "the next worker kills what the first one left")
    wait_until(lambda: sandbox.counts() == {"running": 50}, "all 50 run again", timeout_s=90)
    wait_until(lambda: len(sleepers(sandbox)) == 50, "all 50 run again", timeout_s=90)
    assert sandbox.lines("twice") == []
    attempts = [task["attempt"] for task in sandbox.json("tasks", "--state", "running")]
    assert attempts == [2] * 50
    run.send_signal(signal.SIGINT)
    run.send_signal(signal.SIGINT)


def test_a_killed_server_comes_back_and_nothing_is_lost(sandbox: Sandbox) -> None:
    sandbox.settings(max_tasks=8)
    file = exclusive_tasks(sandbox, 60, sleep_s=0.3)
    run = sandbox.start("run", file)
    for done in (5, 25, 45):
        wait_until(lambda done=done: sandbox.counts().get("finished", 0) >= done, f"{done} tasks have finished")  # type: ignore[misc]
        os.kill(sandbox.server_pid(), signal.SIGKILL)
    output, _ = run.communicate(timeout=60)
    assert run.returncode == 0, output
    assert_all_finished(sandbox, 60)
    assert sandbox.lines("twice") == []


def test_attempts_go_on_while_the_server_is_away(sandbox: Sandbox) -> None:
    """Results that come meanwhile are delivered when it is back: nothing runs twice."""
    file = str(sandbox.write("tasks.txt", "shell:0:0:0:sleep 1; echo ran >> ran\n"))
    run = sandbox.start("run", file)
    wait_until(lambda: sandbox.processes("sleep 1"), "the task runs")
    os.kill(sandbox.server_pid(), signal.SIGKILL)
    run.communicate(timeout=60)
    assert run.returncode == 0
    assert sandbox.lines("ran") == ["ran"]
    assert [row["attempt"] for row in sandbox.json("results")] == [1]


def test_a_killed_run_ends_its_worker_and_the_same_command_goes_on(sandbox: Sandbox) -> None:
    sandbox.settings(max_tasks=4)
    file = exclusive_tasks(sandbox, 12, sleep_s=1)
    run = sandbox.start("run", file)
    wait_until(lambda: sandbox.counts().get("finished", 0) >= 2, "some tasks have finished")
    run.kill()
    wait_until(lambda: not sandbox.processes(" worker") and not sandbox.processes("sleep 1"), "worker and tasks end")
    finished = sandbox.json("status")["counts"]["finished"]
    assert finished >= 2
    again = sandbox.distcomp("run", file)
    assert f"{finished}" in again.stdout + again.stderr
    assert_all_finished(sandbox, 12)
    assert sandbox.lines("twice") == []


def test_ctrl_c_once_finishes_what_runs_and_starts_nothing(sandbox: Sandbox) -> None:
    sandbox.settings(max_tasks=2)
    file = exclusive_tasks(sandbox, 10, sleep_s=1.5)
    run = sandbox.start("run", file)
    wait_until(lambda: len(sandbox.processes("sleep 1.5")) >= 2, "two tasks run")
    run.send_signal(signal.SIGINT)
    output, _ = run.communicate(timeout=60)
    assert run.returncode == 130, output
    assert sandbox.processes() == {}, "nothing is left"
    counts = sandbox.json("status")["counts"]
    assert (counts["finished"], counts["todo"], counts["running"]) == (2, 8, 0)


def test_a_worker_that_is_to_end_leaves_as_soon_as_nothing_runs(sandbox: Sandbox) -> None:
    """Whoever pressed Ctrl-C waits for it."""
    run = sandbox.start("run", "--", "sleep 1.5")
    wait_until(lambda: sandbox.counts().get("running"), "it runs")
    run.send_signal(signal.SIGINT)
    run.communicate(timeout=60)
    [row] = sandbox.json("results")
    [log] = sandbox.folder.glob(".distcomp/nodes/*/worker.log")
    *_, left = (line for line in log.read_text().splitlines() if " left " in line)
    left_s = datetime.strptime(left[:23], "%Y-%m-%d %H:%M:%S,%f").astimezone().timestamp()
    assert left_s - row["ended_at_ms"] / 1000 < 1.5


def test_a_second_signal_does_not_cut_off_the_farewell(sandbox: Sandbox) -> None:
    """As `timeout` sends one to the worker, and another to its process group."""
    worker = sandbox.start("worker")
    wait_until(lambda: " started " in next(worker.stdout or iter(())), "it has begun")
    worker.send_signal(signal.SIGTERM)
    worker.send_signal(signal.SIGTERM)
    said, _ = worker.communicate(timeout=60)
    assert " left " in said
    assert "Traceback" not in said


def test_ctrl_c_twice_gives_back_at_once(sandbox: Sandbox) -> None:
    sandbox.settings(max_tasks=2)
    file = exclusive_tasks(sandbox, 10, sleep_s=600)
    run = sandbox.start("run", file)
    wait_until(lambda: len(sandbox.processes("sleep 600")) >= 2, "two tasks run")
    run.send_signal(signal.SIGINT)
    wait_until(lambda: _said(run, "again"), "it says what a second Ctrl-C does")
    run.send_signal(signal.SIGINT)
    run.communicate(timeout=60)
    assert run.returncode == 130
    assert sandbox.processes() == {}, "nothing is left"
    assert sandbox.json("status")["counts"]["todo"] == 10


def test_a_task_cancelled_and_retried_while_it_runs_is_run_again(sandbox: Sandbox) -> None:
    """The worker must not take the news of the cancelled attempt for that of the new one."""
    sandbox.write("tasks.txt", "shell:0:0:0:test -e again && echo done >> ran || sleep 611\n")
    sandbox.start("worker")
    sandbox.distcomp("submit", "tasks.txt")
    wait_until(lambda: sandbox.processes("sleep 611"), "the task runs")
    [task] = sandbox.json("tasks")
    sandbox.write("again", "")
    sandbox.distcomp("cancel", task["task_id"])
    sandbox.distcomp("retry", task["task_id"])
    wait_until(lambda: sandbox.counts() == {"finished": 1}, "the new attempt finishes", timeout_s=10)
    assert sandbox.lines("ran") == ["done"]


def test_a_draining_worker_starts_nothing_new(sandbox: Sandbox) -> None:
    sandbox.settings(max_tasks=3)
    sandbox.distcomp("submit", "--", "sleep 3")
    worker = sandbox.start("worker")
    wait_until(lambda: sandbox.processes("sleep 3"), "one task runs, with room for more")
    worker.send_signal(signal.SIGTERM)
    wait_until(lambda: sandbox.json("workers")[0]["state"] == "draining", "it drains")
    sandbox.distcomp("submit", "--", "echo late >> late")
    worker.wait(timeout=30)
    assert sandbox.lines("late") == []
    assert sandbox.json("status")["counts"] | {"finished": 1, "todo": 1} == sandbox.json("status")["counts"]


def _said(run: subprocess.Popen[str], word: str) -> bool:
    assert run.stdout is not None
    return word in run.stdout.readline()


def test_two_runs_of_one_folder_share_the_work(sandbox: Sandbox) -> None:
    sandbox.settings(max_tasks=2)
    (sandbox.folder / "locks").mkdir()
    files = []
    for letter in "ab":
        lines = (EXCLUSIVE.format(name=f"{letter}{number}", sleep_s=0.2) for number in range(8))
        files.append(str(sandbox.write(f"{letter}.txt", "".join(f"shell:0:0:0:{line}\n" for line in lines))))
    runs = [sandbox.start("run", file) for file in files]
    for run in runs:
        output, _ = run.communicate(timeout=60)
        assert run.returncode == 0, output
    assert_all_finished(sandbox, 16)
    assert sandbox.lines("twice") == []


def test_ten_thousand_tasks_that_fail_are_ten_thousand_failures_with_a_reason(sandbox: Sandbox) -> None:
    sandbox.settings(retries=0)
    sandbox.write("tasks.txt", "".join(f"shell:0:0:0:false {number}\n" for number in range(10_000)))
    done = sandbox.distcomp("run", "tasks.txt", exit_code=1)
    assert sandbox.json("status")["counts"]["failed"] == 10_000
    assert "exit code 1" in done.stdout + done.stderr


@needs_root
def test_a_full_disk_under_the_logs_loses_no_result(sandbox: Sandbox) -> None:
    """The tasks print more than the disk holds: they finish, and it is said what became of their output."""
    nodes = sandbox.folder / ".distcomp" / "nodes"
    sandbox.distcomp("submit", "--", "true")
    nodes.mkdir(exist_ok=True)
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", str(nodes)], check=True)
    try:
        sandbox.settings(min_free_disk=0, compress_above="1G", retries=0)
        lines = (f"shell:0:0:0:head -c 200000 /dev/urandom || true; echo '{{\"n\": {n}}}' || true\n" for n in range(20))
        sandbox.write("tasks.txt", "".join(lines))
        sandbox.distcomp("run", "tasks.txt")
        lost = [row for row in sandbox.json("results") if row.get("output_lost")]
        assert_all_finished(sandbox, 21)
        assert lost
    finally:
        subprocess.run(["umount", "-l", str(nodes)], check=True)


@needs_root
def test_a_disk_too_full_to_work_on_starts_nothing_and_says_so(sandbox: Sandbox) -> None:
    nodes = sandbox.folder / ".distcomp" / "nodes"
    sandbox.distcomp("submit", "--", "true")
    nodes.mkdir(exist_ok=True)
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", str(nodes)], check=True)
    try:
        sandbox.start("worker")
        wait_until(
            lambda: any("disk full" in worker["note"] for worker in sandbox.json("workers")), "the worker says so"
        )
        assert sandbox.counts() == {"todo": 1}
        sandbox.settings(min_free_disk=0)
        wait_until(lambda: sandbox.counts() == {"finished": 1}, "it goes on as soon as it may")
    finally:
        for pid in sandbox.processes(" worker"):
            os.kill(pid, signal.SIGKILL)
        subprocess.run(["umount", "-l", str(nodes)], check=True)


def test_a_clock_set_back_by_an_hour_loses_nothing(sandbox: Sandbox, tmp_path_factory: pytest.TempPathFactory) -> None:
    """The wall clock of server and worker jumps; leases, delays and durations do not care."""
    skew, offset = _skew_library(tmp_path_factory.mktemp("skew"))
    _write_offset(offset, 0)
    sandbox.environment |= {"LD_PRELOAD": str(skew), "SKEW_FILE": str(offset)}
    sandbox.settings(max_tasks=4, lease="2s")
    file = exclusive_tasks(sandbox, 24, sleep_s=0.5)
    run = sandbox.start("run", file)
    for finished, seconds in ((4, -3600), (12, 3600)):
        wait_until(lambda f=finished: sandbox.counts().get("finished", 0) >= f, "some have finished")  # type: ignore[misc]
        _write_offset(offset, seconds)
    output, _ = run.communicate(timeout=60)
    assert run.returncode == 0, output
    assert_all_finished(sandbox, 24)
    assert sandbox.lines("twice") == []
    rows = sandbox.json("results")
    assert max(row["attempt"] for row in rows) == 1, "no live worker was taken for dead"
    assert max(row["wall_s"] for row in rows) < 60, "durations come from a clock that cannot be set"


def _skew_library(folder: Path) -> tuple[Path, Path]:
    library = folder / "skew.so"
    source = CLUSTER / "skew.c"
    subprocess.run(["cc", "-O2", "-shared", "-fPIC", "-o", library, source, "-ldl", "-lm"], check=True)
    return library, folder / "offset"


def _write_offset(file: Path, seconds: float) -> None:
    import struct

    with open(file, "r+b" if file.exists() else "wb") as out:
        out.write(struct.pack("d", seconds))


@pytest.mark.parametrize(
    ("command", "state"),
    [
        ("(setsid sh -c 'sleep 701 & sleep 702' &) ; true", "finished"),
        ("head -c 100000000 /dev/zero", "finished"),
        ("printf '\\377\\376\\000binary'; exec 1>&-; exec 2>&-; true", "finished"),
        ("kill -ABRT $$", "failed"),
    ],
    ids=["daemons", "prints a lot", "binary and closed stdout", "aborts"],
)
def test_a_task_that_misbehaves_hurts_nobody_else(sandbox: Sandbox, command: str, state: str) -> None:
    sandbox.settings(retries=0)
    sandbox.write("tasks.txt", f"shell:1:0:0:{command}\nshell:0:0:0:echo fine\n")
    sandbox.distcomp("run", "tasks.txt", exit_code=None)
    states = {task["command"]: task["state"] for task in sandbox.json("tasks")}
    assert states == {command: state, "echo fine": "finished"}
    assert sandbox.processes() == {}


def test_a_task_that_ignores_term_is_killed_at_its_timeout(sandbox: Sandbox) -> None:
    sandbox.settings(retries=0, kill_grace="1s")
    sandbox.write("tasks.jsonl", '{"command": "trap \\"\\" TERM; while :; do sleep 0.1; done", "timeout": "1s"}\n')
    sandbox.distcomp("run", "tasks.jsonl", exit_code=1)
    [row] = sandbox.json("results")
    assert row["cause"] == "timeout"
    assert sandbox.processes() == {}
