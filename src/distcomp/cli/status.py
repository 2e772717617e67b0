"""`distcomp status`."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from distcomp.cli import render
from distcomp.cli.opening import opened
from distcomp.cli.options import AsJson
from distcomp.cli.waste import use_line, waste_line
from distcomp.model import State
from distcomp.units import format_rate

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


def _rate(status: Status) -> str:
    left = status.counts[State.TODO] + status.counts[State.RUNNING]
    if not left:
        return ""
    if not status.rate_per_s:
        return "nothing ended in the last minute"
    if status.eta_s is None:
        return format_rate(status.rate_per_s)
    return f"{format_rate(status.rate_per_s)}, all done in about {render.duration(status.eta_s)}"


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
    """What is needed by tasks that no node can run: about, as the store keeps needs in steps of 3 %."""
    cores = f"{need.cores:.0f}" if need.cores >= 10 else f"{need.cores:.2g}"
    needs = [part for part in (render.size(need.memory_bytes), f"{cores} cores" if need.cores else "") if part]
    verb = "needs" if need.tasks == 1 else "need"
    return f"{render.number_of(need.tasks, 'task')} {verb} {' and '.join(needs)}: no node has so much"
