"""A new worker finds and kills what a killed one left running, and nothing else."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from distcomp.runner.leftovers import kill_leftovers
from distcomp.runner.slottable import SlotRecord, SlotTable, read_slots
from distcomp.runner.trees import read_environ, read_process
from tests.runner.driving import is_running, number_in
from tests.support.waiting import wait_until

WORKER = f"test-worker-to-be-killed-{os.getpid()}"

# A worker as far as its processes are concerned.
WORKER_PROGRAM = """
import sys
from pathlib import Path
from distcomp.runner.limits import RunnerLimits
from tests.runner.driving import Driver
driver = Driver(Path(sys.argv[1]), RunnerLimits())
driver.runner._launcher._worker = sys.argv[2].encode()
for command in sys.argv[3:]:
    driver.start(command)
driver.until(lambda: (driver.cwd / "end").exists(), "the test says so")
"""

COMMANDS = {
    "plain": "exec sleep 1000",
    "ignores TERM": "trap '' TERM HUP; while :; do sleep 0.05; done",
    "daemon": "setsid --fork sh -c 'echo $$ >daemon; exec sleep 1000'; exec sleep 1000",
    "no mark": "exec env -i sleep 1000",
    "child without a mark": "env -i sh -c 'echo $$ >child; sleep 1000; :' & wait",
}


@pytest.fixture
def killed_worker(tmp_path: Path) -> Iterator[Path]:
    """The folder of a worker that was killed with attempts running."""
    root = Path(__file__).parents[2]
    process = subprocess.Popen(
        [sys.executable, "-c", WORKER_PROGRAM, str(tmp_path), WORKER, *COMMANDS.values()],
        env={**os.environ, "PYTHONPATH": f"{root}:{root / 'src'}"},
    )
    work, slots = tmp_path / "work", tmp_path / "node" / "slots"
    wait_until(lambda: number_in(work / "daemon") and number_in(work / "child"), "daemon and child run")
    wait_until(
        lambda: [bool(record.start_ticks) for record in _records(slots)] == [True] * len(COMMANDS),
        "the worker has looked at all attempts",
    )
    process.kill()
    process.wait()
    yield tmp_path
    kill_leftovers(slots, WORKER)


def test_what_a_killed_worker_left_is_killed(killed_worker: Path) -> None:
    slots = killed_worker / "node" / "slots"
    pids = [record.pid for record in _records(slots)]
    pids += [number_in(killed_worker / "work" / name) or 0 for name in ("daemon", "child")]
    assert all(map(is_running, pids)), "it is a kill -9: nothing of this ends by itself"

    assert kill_leftovers(slots, WORKER) >= len(pids)
    assert not any(map(is_running, pids))
    assert kill_leftovers(slots, WORKER) == 0


def test_others_are_left_alone(tmp_path: Path) -> None:
    """A worker of another project has another name; and the table may name a process that is long gone."""
    other = subprocess.Popen(["sleep", "1000"], env={**os.environ, "DISTCOMP_WORKER": f"{WORKER}-2"})
    row = read_process(other.pid)
    assert row is not None
    table = SlotTable(tmp_path / "slots")
    table.enter(SlotRecord(0, other.pid, "0" * 16, 1, 0, row.start_ticks - 1))
    try:
        assert kill_leftovers(tmp_path / "slots", WORKER) == 0
        assert is_running(other.pid)
    finally:
        other.kill()
        other.wait()
        table.close()


def test_we_and_those_who_started_us_are_left_alone(tmp_path: Path) -> None:
    """A task may start a worker of its own project: that fails for other reasons, but it is not suicide."""
    program = "import sys; from pathlib import Path; from distcomp.runner.leftovers import kill_leftovers\n"
    program += "print('killed', kill_leftovers(Path('none'), sys.argv[1]))"
    src = Path(__file__).parents[2] / "src"
    done = subprocess.run(
        ["/bin/sh", "-c", '"$0" -c "$1" "$2"; echo and I live', sys.executable, program, WORKER],
        env={**os.environ, "PYTHONPATH": str(src), "DISTCOMP_WORKER": WORKER},
        capture_output=True,
        text=True,
        check=False,
    )

    assert done.stdout == "killed 0\nand I live\n"


def test_no_table_is_no_fault(tmp_path: Path) -> None:
    assert kill_leftovers(tmp_path / "none", WORKER) == 0


def test_an_attempt_without_a_worker_is_killed_by_its_mark_alone(tmp_path: Path) -> None:
    process = subprocess.Popen(["sleep", "1000"], env={"DISTCOMP_WORKER": WORKER}, start_new_session=True)
    wait_until(lambda: read_environ(process.pid), "the process has become sleep")

    assert kill_leftovers(tmp_path / "none", WORKER) == 1
    assert process.wait() == -signal.SIGKILL


def _records(slots: Path) -> list[SlotRecord]:
    return read_slots(slots.read_bytes()) if slots.exists() else []
