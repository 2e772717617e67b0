"""Why a task waits: the first thing that keeps it from each worker."""

from __future__ import annotations

import pytest
from msgspec.structs import replace

from distcomp.api import TaskView, WorkerView
from distcomp.api.explaining import explain, hindrance
from distcomp.api.redirects import stderr_file
from distcomp.model import Cause, Outcome, State, TaskType
from distcomp.store.reading import NodeSize
from distcomp.store.store import Tries

GIB = 1 << 30
TASK = TaskView(
    task_id="00" * 8, state=State.TODO, command="./p", type=TaskType.SHELL, priority=0, memory_bytes=4 * GIB, cores=2,
    cwd="/", env={}, timeout_s=None, retries=None, kind=None, tags=(), outputs=(), params={}, copy=0, job=1, worker="",
    attempt=0, claimed_at_ms=0, is_delayed=False, outcome=None,
)  # fmt: skip
WORKER = WorkerView(
    worker="w1", node="n1", state="working", note="", pid=1, version="", started_at_ms=0, running=1, max_attempts=4,
    total_memory_bytes=16 * GIB, available_memory_bytes=8 * GIB, attempts_memory_bytes=0, total_cores=4, busy_cores=1,
    room_memory_bytes=6 * GIB, room_cores=3, why_short="6 GiB of 16 GiB is free", why_full="", lease_left_s=5,
)  # fmt: skip
FAILED = Outcome(Cause.EXIT, "n1", 1, 0, 1, exit_code=3, reason="exit code 3")


@pytest.mark.parametrize(
    ("worker", "tries", "due_in_s", "why"),
    [
        ({"state": "silent", "lease_left_s": -7}, Tries(), None, "the worker has been silent, for 7s longer"),
        ({"state": "draining"}, Tries(), None, "the worker ends, and starts nothing more"),
        ({"state": "waiting", "note": "disk full"}, Tries(), None, "the worker waits: disk full"),
        ({}, Tries(away=("n1",)), None, "it could not be executed there before"),
        ({"total_memory_bytes": 2 * GIB}, Tries(), None, "it needs 4 GiB, the node has 2 GiB"),
        ({}, Tries(need_bytes=20 * GIB), None, "it needs 20 GiB, the node has 16 GiB"),
        (
            {"total_memory_bytes": 5035 * GIB // 10},
            Tries(need_bytes=500 * GIB),
            None,
            "it needs 500 GiB, there is room for 6 GiB: 6 GiB of 16 GiB is free",
        ),
        (
            {"total_memory_bytes": 5035 * GIB // 10},
            Tries(need_bytes=5039 * GIB // 10),
            None,
            "it needs 503.9 GiB, the node has 503.5 GiB",
        ),
        ({"total_cores": 1}, Tries(), None, "it needs 2 cores, the node has 1"),
        ({}, Tries(), 3.0, "it failed and waits before it is tried again, for 3s more"),
        ({"why_full": "2.0 of 2 cores are busy"}, Tries(), None, "nothing starts there now: 2.0 of 2 cores are busy"),
        ({}, Tries(need_bytes=7 * GIB), None, "it needs 7 GiB, there is room for 6 GiB: 6 GiB of 16 GiB is free"),
        ({"room_memory_bytes": 0, "why_short": "w"}, Tries(), None, "it needs 4 GiB, no room: w"),
        ({"room_cores": 1}, Tries(), None, "it needs 2 cores, 1 of 4 are not spoken for"),
        ({"room_memory_bytes": 0, "running": 0}, Tries(), None, "its turn has not come"),
        ({}, Tries(), None, "its turn has not come"),
    ],
)
def test_the_first_thing_that_keeps_a_task_from_a_worker(
    worker: dict[str, object], tries: Tries, due_in_s: float | None, why: str
) -> None:
    assert hindrance(TASK, tries, replace(WORKER, **worker), due_in_s).startswith(why)


@pytest.mark.parametrize(
    ("command", "file"),
    [
        ("./p", ""),
        ("./p 2> err.log", "/w/err.log"),
        ("./p 2>>/tmp/e; q", "/tmp/e"),
        ("(./p 2>'a b') | r", "/w/a b"),
        ("./p &> both", "/w/both"),
        ("./p > all 2>&1", "/w/all"),
        ("./p 2>&1 | tee log", ""),
        ("./p > out", ""),
        ("./p a2>out", ""),
    ],
)
def test_a_file_that_the_command_sends_its_stderr_to(command: str, file: str) -> None:
    assert stderr_file(command, "/w") == file


def sentence(
    task: TaskView,
    tries: Tries = Tries(),  # noqa: B008
    workers: tuple[WorkerView, ...] = (),
    sizes: tuple[NodeSize, ...] = (),
) -> str:
    attempts = [task.outcome] if task.outcome else []
    return explain(task, attempts, tries, workers, default_retries=2, due_in_s=None, sizes=sizes).why


def test_a_sentence_for_each_state() -> None:
    ended = replace(TASK, attempt=3, outcome=replace(FAILED, attempt=3))
    assert (
        sentence(replace(TASK, state=State.RUNNING, worker="w1", attempt=2)) == "It runs, as attempt 2, on worker w1."
    )
    assert sentence(replace(ended, state=State.FINISHED)) == "It finished, in attempt 3, on n1."
    assert sentence(replace(TASK, state=State.CANCELLED)).startswith("It was cancelled")
    assert sentence(replace(ended, state=State.FAILED), Tries(failures=2)) == (
        "It failed: exit code 3. It failed 3 times; 2 retries are granted."
    )
    assert "no worker runs" in sentence(TASK)
    assert "no worker runs" in sentence(TASK, sizes=(NodeSize(16 * GIB, 4),))
    assert sentence(TASK, sizes=(NodeSize(2 * GIB, 64), NodeSize(3 * GIB, 1))).startswith(
        "It waits for a larger node: it needs 4 GiB, and the largest node that had a worker so far has 3 GiB."
    )
    assert "it needs 2 cores, and no node that had a worker so far has more than 1" in sentence(
        TASK, sizes=(NodeSize(16 * GIB, 1),)
    )
    assert "both the memory and the cores" in sentence(TASK, sizes=(NodeSize(16 * GIB, 1), NodeSize(2 * GIB, 4)))
    assert sentence(TASK, workers=(WORKER,)).startswith("It waits: its turn has not come")
    two = (WORKER, replace(WORKER, worker="w2", state="draining"))
    assert (
        sentence(TASK, Tries(attempts=1), two) == "It waits to be tried again, for a different reason with each worker."
    )
