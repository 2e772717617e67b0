"""`distcomp retry`, `distcomp cancel` and `distcomp forget`."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, Annotated

import typer

from distcomp.cli import render
from distcomp.cli.opening import opened
from distcomp.cli.options import AsJson, FilterFlags, TaskIds, with_flags
from distcomp.cli.usage import BadUsage
from distcomp.model import State

if TYPE_CHECKING:
    from distcomp.api import Changes, Client


DoNotAsk = Annotated[bool, typer.Option("-y", "--yes", help="Do not ask.")]


@with_flags
def retry(
    flags: FilterFlags,
    tasks: TaskIds = None,
    failed: Annotated[bool, typer.Option("--failed", help="All failed tasks.")] = False,
    cancelled: Annotated[bool, typer.Option("--cancelled", help="All cancelled tasks.")] = False,
    as_json: AsJson = False,
) -> None:
    """Run tasks again that failed, were cancelled or have finished; with all their retries anew."""
    states = _states({State.FAILED: failed, State.CANCELLED: cancelled})
    _check(tasks, flags, states, "--failed")
    with opened() as client:
        changes = client.retry(_ids(client, tasks, flags, states))
        render.show(changes, as_json, lambda value: _lines(value, "will run again"))


@with_flags
def cancel(
    flags: FilterFlags,
    tasks: TaskIds = None,
    all_: Annotated[bool, typer.Option("--all", help="All tasks that wait or run.")] = False,
    yes: DoNotAsk = False,
    as_json: AsJson = False,
) -> None:
    """Cancel tasks that wait or run; running attempts are killed."""
    states = (State.TODO, State.RUNNING) if all_ else ()
    _check(tasks, flags, states, "--all")
    with opened() as client:
        if all_ and not yes:
            _confirm(client, "Cancel", flags, states)
        changes = client.cancel(_ids(client, tasks, flags, states))
        render.show(changes, as_json, lambda value: _lines(value, "cancelled"))


@with_flags
def forget(
    flags: FilterFlags,
    tasks: TaskIds = None,
    finished: Annotated[bool, typer.Option("--finished", help="All finished tasks.")] = False,
    failed: Annotated[bool, typer.Option("--failed", help="All failed tasks.")] = False,
    cancelled: Annotated[bool, typer.Option("--cancelled", help="All cancelled tasks.")] = False,
    yes: DoNotAsk = False,
    as_json: AsJson = False,
) -> None:
    """Remove tasks that have ended, with their results. Submitted again, they are new."""
    states = _states({State.FINISHED: finished, State.FAILED: failed, State.CANCELLED: cancelled})
    _check(tasks, flags, states, "--finished, --failed, --cancelled")
    with opened() as client:
        if states and not yes:
            _confirm(client, "Forget", flags, states)
        changes = client.forget(_ids(client, tasks, flags, states))
        render.show(changes, as_json, lambda value: _lines(value, "forgotten"))


def _confirm(client: Client, verb: str, flags: FilterFlags, states: tuple[State, ...]) -> None:
    """Ask whether all is meant. A script, which has no terminal, is not asked."""
    counts = client.status().counts
    number = sum(counts[state] for state in states)
    if not number or not sys.stdin.isatty():
        return
    running = f", {counts[State.RUNNING]:,} of them running" if State.RUNNING in states else ""
    which = f"{render.number_of(number, 'task')}{running}"
    if not typer.confirm(f"{verb} {which if flags.is_empty() else f'what matches of {which}'}?", err=True):
        print("nothing was changed", file=sys.stderr)
        raise typer.Exit(1)


def _states(asked: dict[State, bool]) -> tuple[State, ...]:
    return tuple(state for state, is_asked in asked.items() if is_asked)


def _check(tasks: list[str] | None, flags: FilterFlags, states: tuple[State, ...], words: str) -> None:
    """Which tasks are meant must be said, and said once."""
    what = ""
    if not tasks and not states:
        what = f"Expected tasks, or {words}."
    elif tasks and (states or not flags.is_empty()):
        what = f"Expected either tasks or {words}, not both."
    if what:
        raise BadUsage(what, unchanged="Nothing was changed.")


def _ids(client: Client, tasks: list[str] | None, flags: FilterFlags, states: tuple[State, ...]) -> Iterable[str]:
    """All are looked up before any is changed."""
    return [client.find(text) for text in tasks] if tasks else client.ids(flags.wanted(states))


def _lines(changes: Changes, what: str) -> Iterator[str]:
    yield f"{render.number_of(changes.changed, 'task')} {what}"
    for word, number in changes.refused.items():
        yield f"  {number:,} left as {'it is' if number == 1 else 'they are'}: {word}"
