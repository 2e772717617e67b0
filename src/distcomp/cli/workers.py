"""`distcomp workers`."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

from distcomp.cli import render
from distcomp.cli.opening import opened
from distcomp.cli.options import AsJson

if TYPE_CHECKING:
    from distcomp.api import WorkerView

_COLOURS = {"working": "green", "draining": "yellow", "waiting": "yellow", "silent": "red"}


def workers(as_json: AsJson = False) -> None:
    """Show the workers: what they run, and how their nodes are."""
    with opened() as client:
        render.show_all(client.workers(), as_json, _lines)


def _lines(found: Iterable[WorkerView]) -> Iterable[str]:
    rows = [
        (
            one.worker,
            (one.state, _COLOURS.get(one.state, "")),
            f"{one.running}/{one.max_attempts}",
            f"{one.busy_cores:.3g}/{one.total_cores:g}",
            render.size(one.attempts_memory_bytes) or "0 B",
            render.size(one.available_memory_bytes),
            render.size(one.total_memory_bytes),
            render.time(one.started_at_ms),
            one.note,
        )
        for one in found
    ]
    head = ("worker", "state", "tasks", "cores", "used", "available", "memory", "since", "note")
    if rows:
        return render.table(head, rows, right=("tasks", "cores", "used", "available", "memory"))
    return ["no worker; `distcomp run` or `distcomp worker` starts one"]
