"""Every attempt of a task in lines: how it began, how its memory went, why and by whom it ended."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from distcomp.cli import render
from distcomp.cli.terminal import paint, printable
from distcomp.model import Cause

if TYPE_CHECKING:
    from distcomp.api import Explanation
    from distcomp.model import Moment, Outcome

_BLOCKS = "▁▂▃▄▅▆▇█"
_ENDED_BY = {
    Cause.FINISHED: "it did its task",
    Cause.EXIT: "ended by itself",
    Cause.TIMEOUT: "ended by the worker: its time was over",
    Cause.EVICTED: "given back by the worker, for memory; no fault of its own",
    Cause.OOM: "killed by the kernel, as memory was out; given back, no fault of its own",
    Cause.LOST: "lost with its worker; no fault of its own",
    Cause.DRAINED: "given back by the worker, which was to end; no fault of its own",
    Cause.CANCELLED: "cancelled by its user",
}
_COLOURS = {Cause.FINISHED: "green", Cause.EXIT: "red", Cause.TIMEOUT: "red"}


def attempt_lines(explanation: Explanation) -> Iterator[str]:
    """All attempts that have ended, oldest first."""
    for outcome in explanation.attempts:
        yield ""
        colour = _COLOURS.get(outcome.cause, "yellow")
        who = f"{paint(outcome.cause, colour)}, {_ENDED_BY[outcome.cause]}"
        yield f"attempt {outcome.attempt} on {outcome.node}: {who}"
        rows = [
            ("began", f"{render.time(outcome.started_at_ms)}{_with(outcome.at_start)}{_known(outcome)}"),
            ("took", f"{render.duration(outcome.usage.wall_s)}, {render.duration(outcome.usage.cpu_s)} of CPU"),
            ("memory", _memory(outcome)),
            ("why", printable(outcome.reason)),
            ("then", _with(outcome.at_end).lstrip(", ")),
            ("stderr", _stderr(explanation, outcome)),
        ]
        yield from (f"  {line}" for line in render.fields(rows))


def sparkline(percents: Sequence[int]) -> str:
    """A row of blocks, as high as the percentages."""
    return "".join(_BLOCKS[min(len(_BLOCKS) - 1, percent * len(_BLOCKS) // 100)] for percent in percents)


def _with(moment: Moment | None) -> str:
    """The node around it, if that is known."""
    if moment is None:
        return ""
    beside = f"beside {render.number_of(moment.others, 'other')}" if moment.others else "alone"
    free = f"{render.size(moment.available_bytes) or '0 B'} of {render.size(moment.total_bytes)}"
    return f", {beside}, with {free} available"


def _known(outcome: Outcome) -> str:
    """Why there: what was known of the need decides where and when a task starts."""
    if outcome.known_bytes:
        return f"; known to need {render.size(outcome.known_bytes)}"
    return "; nothing was known of its need" if outcome.at_start else ""


def _memory(outcome: Outcome) -> str:
    peak = render.size(outcome.usage.peak_bytes)
    return f"{sparkline(outcome.course)}  {peak} at most".strip() if peak else ""


def _stderr(explanation: Explanation, outcome: Outcome) -> str:
    """The last line, or where the rest is: that nothing is shown must not leave anybody guessing."""
    if outcome.cause is Cause.FINISHED:
        return ""
    if outcome.output_lost:
        return f"lost: {outcome.output_lost}"
    lines = outcome.stderr_tail.strip().splitlines()
    logs = f"distcomp logs --err --attempt {outcome.attempt} {explanation.task.task_id}"
    if lines:
        return f"{printable(lines[-1].strip())}   ({logs})"
    if explanation.stderr_file:
        return f"nothing, as its command sends it to {explanation.stderr_file}"
    return "it printed nothing there" + (f"   (stdout: {logs.replace('--err ', '')})" if outcome.output else "")
