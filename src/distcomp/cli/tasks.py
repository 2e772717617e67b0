"""`distcomp tasks`."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator
from itertools import islice
from typing import TYPE_CHECKING, Annotated

import typer

from distcomp.cli import render
from distcomp.cli.opening import opened
from distcomp.cli.options import AsJson, FilterFlags, States, parse_states, with_flags
from distcomp.cli.terminal import cut
from distcomp.cli.usage import BadUsage
from distcomp.model import State

if TYPE_CHECKING:
    from distcomp.api import TaskView

# Columns are as wide as what is in the first lines needs; nobody waits for a million lines to see the first.
AT_ONCE = 500
REASON_COLUMNS = 60
HEAD = ("task", "state", "try", "took", "peak", "why", "command")


@with_flags
def tasks(
    flags: FilterFlags,
    state: States = None,
    limit: Annotated[int | None, typer.Option("-n", "--limit", metavar="N", help="At most so many.")] = None,
    as_json: AsJson = False,
) -> None:
    """List tasks, in order of submission."""
    if limit is not None and limit < 0:
        raise BadUsage(f"--limit is a number of tasks, and not {limit}.")
    with opened() as client:
        found = client.tasks(flags.wanted(parse_states(state)), limit)
        render.show_all(found, as_json, _lines)


def _lines(found: Iterable[TaskView]) -> Iterator[str]:
    remaining = iter(found)
    is_first = True
    while some := list(islice(remaining, AT_ONCE)):
        rows = render.table(
            ("task", "state", "try", "took", "peak", "why", "command"), map(_row, some), ("try", "took", "peak")
        )
        yield from rows if is_first else islice(rows, 1, None)
        is_first = False
    if is_first:
        yield "no such tasks"


def _row(task: TaskView) -> tuple[render.Cell, ...]:
    outcome = task.outcome
    return (
        task.task_id,
        render.state(task.state),
        str(task.attempt or ""),
        render.duration(outcome.usage.wall_s) if outcome else "",
        render.size(outcome.usage.peak_bytes) if outcome else "",
        (_why(task), "red" if task.state is State.FAILED else ""),
        cut(task.command, sys.maxsize),
    )


def _why(task: TaskView) -> str:
    if task.state is State.FAILED and task.outcome:
        return cut(task.outcome.reason or str(task.outcome.cause), REASON_COLUMNS)
    if task.state is State.RUNNING:
        return f"on {task.worker}"
    return "to be tried again" if task.is_delayed else ""
