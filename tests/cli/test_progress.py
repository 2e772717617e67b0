"""The line that a run shows: rate, rest, and when it is drawn."""

from __future__ import annotations

import io

from distcomp.api import Progress, WorkerTotals
from distcomp.cli.progress import PLAIN_LINE_S, RATE_WINDOW_S, Pace, ProgressLine, progress_text
from distcomp.cli.terminal import cut, printable
from distcomp.model import State

GIB = 1 << 30
WORKERS = WorkerTotals(
    workers=1, running=2, total_memory_bytes=16 * GIB, available_memory_bytes=12 * GIB, total_cores=4, busy_cores=1.9
)


def progress(todo: int = 0, running: int = 0, finished: int = 0, failed: int = 0, trouble: str = "") -> Progress:
    counts = {
        State.TODO: todo, State.RUNNING: running, State.FINISHED: finished, State.FAILED: failed, State.CANCELLED: 0,
    }  # fmt: skip
    return Progress(counts, trouble)


class HandClock:
    """Moves only when told."""

    def __init__(self) -> None:
        self.at_s = 100.0

    def now_ms(self) -> int:
        return int(self.at_s * 1000)

    def monotonic_s(self) -> float:
        return self.at_s


def test_everything_of_interest_in_a_line() -> None:
    text = progress_text(progress(588, 38, 1372, 2), WORKERS, per_s=12.5)
    assert text == ("1,374/2,000  38 running  2 failed  12.5/s, 50.1s left  memory 4 GiB of 16 GiB  cores 1.9 of 4")


def test_the_time_is_without_what_no_node_can_run() -> None:
    text = progress_text(progress(100, 10, 90), WorkerTotals(), per_s=1, beyond=80)
    assert text == "90/200  10 running  1/s, 30s left  no node can run 80"


def test_without_rate_worker_or_store_it_says_what_it_knows() -> None:
    assert progress_text(progress(3), WorkerTotals(), per_s=0) == "0/3  0 running"
    away = progress_text(progress(3, trouble="The store does not answer."), WorkerTotals(), per_s=1)
    assert away == "0/3  0 running  The store does not answer."


def test_the_rate_is_that_of_the_last_seconds() -> None:
    pace = Pace()
    pace.note(0, 0)
    assert pace.per_s() == 0
    for second in range(1, 11):
        pace.note(second, second * 10)
    assert pace.per_s() == 10
    for second in range(11, 11 + 2 * int(RATE_WINDOW_S)):
        pace.note(second, 100 + (second - 10))
    assert pace.per_s() == 1


def test_long_tasks_that_end_at_once_do_not_make_a_great_rate() -> None:
    """Ten minutes each, four at once."""
    pace = Pace()
    for second in range(2000):
        pace.note(second, second // 600 * 4)
        if second >= 600:
            assert 4 / 1200 <= pace.per_s() <= 4 / 600


def test_a_task_that_is_retried_does_not_make_the_rate_negative() -> None:
    pace = Pace()
    pace.note(0, 10)
    pace.note(1, 5)
    assert pace.per_s() == 0


def test_where_nobody_watches_a_plain_line_now_and_then() -> None:
    clock, shown = HandClock(), io.StringIO()
    line = ProgressLine(clock, shown)
    for _ in range(100):
        now = progress(5, finished=1)
        line.note(now)
        if line.is_due():
            line.draw(now, WORKERS)
        clock.at_s += PLAIN_LINE_S / 20
    line.say("something happened")
    line.clear()
    lines = shown.getvalue().splitlines()
    assert len(lines) == 5
    assert lines[0].startswith("1/6  0 running")
    assert lines[-1] == "something happened"


def test_what_tasks_print_cannot_do_things_to_the_terminal() -> None:
    assert printable("a\x1b[2Jb\nc\udcff") == "a\\x1b[2Jb\\nc\\udcff"
    assert cut("abcdef", 4) == "abc…"
    assert cut("abcd", 4) == "abcd"
