"""`distcomp status`."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from distcomp.api.pace import FEW
from distcomp.cli import render
from distcomp.cli.failing import failure_lines
from distcomp.cli.opening import opened
from distcomp.cli.options import AsJson
from distcomp.cli.waste import use_line, waste_line
from distcomp.model import State
from distcomp.units import format_bytes_apart, format_rate

GROUPS_SHOWN = 5

if TYPE_CHECKING:
    from distcomp.api import Need, Status, WorkerTotals


def status(as_json: AsJson = False) -> None:
    """Show how far the project is: counts, rate, what is left, workers, what no node can run, use and waste.

    Costs the same with a thousand tasks and with ten million: watch distcomp status.
    """
    with opened() as client:
        render.show(client.status(), as_json, _lines)


def _lines(status: Status) -> Iterator[str]:
    yield from render.fields(
        [
            ("project", status.project),
            ("tasks", render.counts(status.counts) if status.total else "none yet"),
            ("rate", _rate(status)),
            ("workers", workers_line(status.workers)),
            *(("too large", need_line(need)) for need in status.too_large),
            ("use", use_line(status.use)),
            ("wasted", waste_line(status.attempts, status.spent_s)),
        ]
    )
    yield from failure_lines(status.failures, GROUPS_SHOWN)


def _rate(status: Status) -> str:
    if not status.counts[State.TODO] + status.counts[State.RUNNING]:
        return ""
    # Of a few ends, one that came a moment later would make another rate.
    lately = f"{status.ended_lately or 'nothing'} ended in the last minute"
    parts = [lately if status.ended_lately < FEW else format_rate(status.rate_per_s)]
    if status.eta_s:
        parts.append(f"all done in about {render.duration(status.eta_s)}")
    if status.too_large:
        parts.append(beyond_text(sum(need.tasks for need in status.too_large)))
    return ", ".join(parts)


def beyond_text(tasks: int) -> str:
    """Said wherever a time is told that leaves these out."""
    return f"no node can run {tasks:,}"


def workers_line(totals: WorkerTotals) -> str:
    """The live workers in a line."""
    if not totals.workers:
        return "none; `distcomp run` or `distcomp worker` starts one"
    return (
        f"{totals.workers}: {render.number_of(totals.running, 'attempt')}"
        f", {totals.busy_cores:.3g} of {totals.total_cores:g} cores busy"
        f", {render.size(totals.attempts_memory_bytes) or '0 B'} used by attempts"
        f", {render.size(totals.available_memory_bytes)} of {render.size(totals.total_memory_bytes)} available"
    )


def need_line(need: Need) -> str:
    """What is needed by tasks that no node can run: about, as the queue keeps most needs in steps of 3 %."""
    memory, most_memory = format_bytes_apart(need.memory_bytes, need.most_memory_bytes)
    lacks = [
        *([(memory, most_memory)] if need.memory_bytes > need.most_memory_bytes else []),
        *([(_cores(need.cores), _cores(need.most_cores))] if need.cores > need.most_cores else []),
    ]
    wanted = [part for part in (memory if need.memory_bytes else "", _cores(need.cores) if need.cores else "") if part]
    verb = "needs" if need.tasks == 1 else "need"
    most = f"so much (at most {' and '.join(has for _, has in lacks)})" if lacks else "both"
    return f"{render.number_of(need.tasks, 'task')} {verb} {' and '.join(wanted)}: no node has {most}"


def _cores(cores: float) -> str:
    return f"{cores:.0f} cores" if cores >= 10 else f"{cores:.2g} cores"
