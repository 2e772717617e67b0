"""Who runs in which slot, as other processes read it; and the files of a slot."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from distcomp.runner.slotfiles import SlotFiles, slot_paths
from distcomp.runner.slottable import SlotRecord, SlotTable, read_slots
from distcomp.runner.trees import read_process
from tests.runner.driving import Driver, number_in
from tests.support.waiting import wait_until

_records = st.lists(
    st.builds(
        SlotRecord,
        st.integers(0, 300),
        st.integers(1, 2**32 - 1),
        st.text("0123456789abcdef", min_size=1, max_size=16),
        st.integers(1, 2**32 - 1),
        st.integers(0, 2**63),
        st.integers(0, 2**63),
    ),
    unique_by=lambda record: record.slot,
)


def test_another_process_sees_who_runs_and_what_it_printed_so_far(driver: Driver) -> None:
    attempt = driver.start("echo so far; until [ -e go ]; do sleep 0.01; done")
    stdout, _ = slot_paths(driver.folder / "running", attempt.slot)
    driver.until(lambda: stdout.read_bytes() == b"so far\n", "the task has printed")
    reader = "import sys; from distcomp.runner.slottable import *; print(read_slots(open(sys.argv[1], 'rb').read()))"
    seen = subprocess.run(
        [sys.executable, "-c", reader, str(driver.folder / "slots")], capture_output=True, check=True, text=True
    )

    assert f"slot={attempt.slot}, pid={attempt.pid}, task_id='{attempt.task_id}', attempt=1" in seen.stdout
    (driver.cwd / "go").touch()
    driver.outcome(attempt)
    assert _seen(driver.folder / "slots") == []


def test_the_start_of_a_process_that_lasts_is_noted(driver: Driver) -> None:
    """So that a later process of the same number is not taken for it."""
    attempt = driver.start("sleep 1000")
    driver.until(lambda: _seen(driver.folder / "slots")[0].start_ticks, "the runner has looked at the attempt")
    row = read_process(attempt.pid)

    assert row is not None
    assert _seen(driver.folder / "slots")[0].start_ticks == row.start_ticks


def test_the_kernel_takes_the_newest_attempt_first_and_the_oldest_last(driver: Driver) -> None:
    attempts = [driver.start("sleep 1000") for _ in range(3)]
    scores = [Path(f"/proc/{attempt.pid}/oom_score_adj") for attempt in attempts]

    driver.until(
        lambda: [int(score.read_text()) for score in scores] == [100, 900, 1000], "the runner has looked at them"
    )


@pytest.mark.parametrize("is_close", [True, False])
def test_where_memory_is_close_to_its_end_an_attempt_is_placed_before_anybody_looks(
    driver: Driver, is_close: bool
) -> None:
    """It may take all there is until then. Elsewhere that would be a large part of what a short task costs."""
    driver.runner.is_memory_close = is_close
    attempt = driver.runner.start(driver.claim("sleep 1000"))
    wait_until(lambda: driver.runner.collect() or attempt.pid, "it has a process")
    score, own = Path(f"/proc/{attempt.pid}/oom_score_adj"), Path("/proc/self/oom_score_adj")
    assert score.read_text() == ("1000\n" if is_close else own.read_text())

    driver.runner.measure()
    assert score.read_text() == "100\n"


def test_what_an_attempt_had_started_before_is_placed_with_it(driver: Driver) -> None:
    """Mostly it is a child that takes the memory."""
    driver.start("sleep 1000 & echo $! > child; wait")
    driver.until(lambda: number_in(driver.cwd / "child"), "the child is there")
    score = Path(f"/proc/{number_in(driver.cwd / 'child')}/oom_score_adj")

    driver.until(lambda: int(score.read_text()) == 100, "the runner has looked at it")


@given(_records)
def test_what_is_entered_is_read(tmp_path_factory: pytest.TempPathFactory, records: list[SlotRecord]) -> None:
    path = tmp_path_factory.mktemp("table") / "slots"
    table = SlotTable(path)
    for record in records:
        table.enter(record)

    assert _seen(path) == sorted(records)
    for record in records[::2]:
        table.clear(record.slot)
    assert _seen(path) == sorted(records[1::2])
    table.close()


@given(st.binary(max_size=300))
def test_any_bytes_can_be_read(content: bytes) -> None:
    """A file of another version, or cut short, is no reason to fail."""
    read_slots(content)
    read_slots(b"DCSLOTS1" + content)


def test_files_are_used_again_if_nobody_holds_them(tmp_path: Path) -> None:
    slots = SlotFiles(tmp_path)
    first = slots.take()
    os.write(first.stdout_fd, b"from the first")
    slots.give_back(first, is_empty=False)
    again = slots.take()

    assert again is first
    assert slot_paths(tmp_path, again.number)[0].read_bytes() == b""
    assert os.lseek(again.stdout_fd, 0, os.SEEK_CUR) == 0
    slots.give_back(again, is_empty=True)
    slots.close()


def test_a_slot_whose_files_may_be_held_gets_new_ones(tmp_path: Path) -> None:
    slots = SlotFiles(tmp_path)
    first, other = slots.take(), slots.take()
    held = os.dup(first.stdout_fd)
    slots.discard(first)
    again = slots.take()
    os.write(held, b"noise")

    assert again.number == first.number != other.number
    assert slot_paths(tmp_path, again.number)[0].read_bytes() == b""
    os.close(held)
    for slot in (again, other):
        slots.give_back(slot, is_empty=True)
    slots.close()
    assert list(tmp_path.iterdir()) == []


def test_files_of_a_killed_worker_are_removed(tmp_path: Path) -> None:
    (tmp_path / "7.out").write_text("left")
    slots = SlotFiles(tmp_path)

    assert list(tmp_path.iterdir()) == []
    slots.close()


def _seen(path: Path) -> list[SlotRecord]:
    return read_slots(path.read_bytes())
