"""What came of a run."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING

import msgspec

from distcomp.api import FailureGroup, Need, Submitted
from distcomp.cli import render
from distcomp.cli.failing import failure_lines
from distcomp.cli.status import need_line
from distcomp.cli.terminal import paint
from distcomp.cli.waste import use_line, waste_line
from distcomp.model import Cause, State, Use

if TYPE_CHECKING:
    from distcomp.api import Status

GROUPS_SHOWN = 10


class Summary(msgspec.Struct, frozen=True, kw_only=True):
    """What came of a run.

    Args:
        outcome: "finished" (all tasks have), "failed" or "cancelled" (all have ended, and some so), "interrupted",
            "time over" (the nodes have left) or "stuck" (no node can run what is left). Only "finished" comes with exit
            code 0.
        submitted: what was added, if anything was.
        counts: the tasks by state, now.
        failures: the failed ones in groups; the most frequent first.
        too_large: what is left and no node can run, if that ended the run.
        took_s: seconds of the run.
        attempts: that ended while it went on, by cause; `evicted` were returned, `oom` killed by the kernel.
        spent_s: their task-seconds; all but those of `finished` were thrown away.
        use: of the nodes meanwhile.
        exit_code: of the command.
    """

    outcome: str
    submitted: Submitted | None
    counts: Mapping[State, int]
    failures: tuple[FailureGroup, ...]
    too_large: tuple[Need, ...]
    took_s: float
    attempts: Mapping[Cause, int]
    spent_s: Mapping[Cause, float]
    use: Use
    exit_code: int


def outcome_of(counts: Mapping[State, int], why_unfinished: str) -> tuple[str, int]:
    """A run's outcome, as in Summary, and its exit code: 0 finished, 130 interrupted, else 1."""
    if counts[State.TODO] or counts[State.RUNNING]:
        return why_unfinished, 130 if why_unfinished == "interrupted" else 1
    if counts[State.FAILED]:
        return "failed", 1
    return ("cancelled", 1) if counts[State.CANCELLED] else ("finished", 0)


def changed_since(before: Status, now: Status) -> tuple[dict[Cause, int], dict[Cause, float], Use]:
    """Between two looks: attempts that ended and their task-seconds, by cause, and the use of the nodes."""
    attempts = {cause: number - before.attempts.get(cause, 0) for cause, number in now.attempts.items()}
    spent_s = {cause: seconds - before.spent_s.get(cause, 0.0) for cause, seconds in now.spent_s.items()}
    old, use = before.use, now.use
    return (
        {cause: number for cause, number in attempts.items() if number > 0},
        {cause: seconds for cause, seconds in spent_s.items() if seconds > 0},
        msgspec.structs.replace(
            use,
            span_s=use.span_s - old.span_s,
            memory_byte_s=use.memory_byte_s - old.memory_byte_s,
            total_byte_s=use.total_byte_s - old.total_byte_s,
            core_s=use.core_s - old.core_s,
            total_core_s=use.total_core_s - old.total_core_s,
        ),
    )


def lines(summary: Summary) -> Iterator[str]:
    """The summary for people."""
    counts = summary.counts
    left = counts[State.TODO] + counts[State.RUNNING]
    parts = [paint(f"{counts[State.FINISHED]:,} finished", "green")]
    if counts[State.FAILED]:
        parts.append(paint(f"{counts[State.FAILED]:,} failed", "red"))
    if counts[State.CANCELLED]:
        parts.append(paint(f"{counts[State.CANCELLED]:,} cancelled", "yellow"))
    if left:
        parts.append(f"{left:,} left")
    yield f"{', '.join(parts)}; {render.duration(summary.took_s)}"
    yield from failure_lines(summary.failures, GROUPS_SHOWN)
    yield from (paint(f"  {need_line(need)}", "red") for need in summary.too_large)
    facts = (use_line(summary.use), waste_line(summary.attempts, summary.spent_s))
    yield from (f"  {line}" for line in facts if line)
    if summary.outcome == "time over":
        yield "the nodes have left, as their time is over: the same command goes on from here"
    if summary.outcome == "interrupted":
        yield "interrupted: the same command goes on from here"
    elif counts[State.FINISHED]:
        yield "distcomp results shows what came of them"
