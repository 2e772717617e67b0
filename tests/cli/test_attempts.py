"""What `explain` says of each attempt: how it began, how its memory went, why and by whom it ended."""

from __future__ import annotations

import pytest
from msgspec.structs import replace

from distcomp.api import Explanation
from distcomp.cli.attempts import attempt_lines, sparkline
from distcomp.model import Cause, Moment, Outcome, OutputPlace, Usage
from tests.api.test_explaining import TASK

GIB = 1 << 30
EVICTED = Outcome(
    Cause.EVICTED, "n1", 1, 0, 1, Usage(wall_s=12, cpu_s=3, peak_bytes=3 * GIB), signal=9,
    reason="memory was short: 1 GiB of 16 GiB available", course=(0, 40, 99, 100),
    at_start=Moment(3, 5 * GIB, 16 * GIB), at_end=Moment(0, GIB, 16 * GIB),
)  # fmt: skip


def text_of(*attempts: Outcome, stderr_file: str = "") -> str:
    explanation = Explanation(
        task=TASK, why="", attempts=attempts, failures=0, retries=0, returns=0, needs_bytes=0, stderr_file=stderr_file,
        due_in_s=None, hindrances=(),
    )  # fmt: skip
    return "\n".join(attempt_lines(explanation))


def test_an_evicted_attempt_with_its_memory_and_the_node_at_both_ends() -> None:
    text = text_of(EVICTED)
    assert "attempt 1 on n1: evicted, given back by the worker, for memory; no fault of its own" in text
    assert "beside 3 others, with 5 GiB of 16 GiB available; nothing was known of its need" in text
    assert "▁▄██  3 GiB at most" in text
    assert "why     memory was short: 1 GiB of 16 GiB available" in text
    assert "then    alone, with 1 GiB of 16 GiB available" in text


def test_what_was_known_of_a_returned_task_when_it_began_again() -> None:
    assert "; known to need 3 GiB" in text_of(replace(EVICTED, known_bytes=3 * GIB))


def test_a_short_attempt_has_no_more_than_is_known() -> None:
    short = Outcome(Cause.FINISHED, "n1", 1, 1000, 1010, Usage(wall_s=0.01))
    assert [line.split()[0] for line in text_of(short).splitlines() if line.startswith("  ")] == ["began", "took"]


@pytest.mark.parametrize(
    ("changes", "stderr_file", "shown"),
    [
        ({"stderr_tail": "Traceback\n  x\nKeyError: 1\n"}, "", "KeyError: 1   (distcomp logs --err --attempt 1 0000"),
        ({}, "/w/err.log", "nothing, as its command sends it to /w/err.log"),
        ({}, "", "it printed nothing there"),
        ({"output": OutputPlace("f", stdout_bytes=3)}, "", "(stdout: distcomp logs --attempt 1 0000"),
        ({"output_lost": "the disk was full"}, "", "lost: the disk was full"),
    ],
)
def test_an_empty_stderr_is_no_excuse(changes: dict[str, object], stderr_file: str, shown: str) -> None:
    failed = replace(Outcome(Cause.EXIT, "n1", 1, 0, 1, exit_code=1), **changes)
    assert shown in text_of(failed, stderr_file=stderr_file)


def test_each_cause_says_who_ended_it() -> None:
    for cause in Cause:
        assert f"{cause}, " in text_of(Outcome(cause, "n1", 1, 0, 1))


def test_a_sparkline_has_a_block_for_each_number() -> None:
    assert sparkline(()) == ""
    assert sparkline((0, 12, 13, 50, 99, 100)) == "▁▁▂▅██"
