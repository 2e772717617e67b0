"""`distcomp logs`."""

from __future__ import annotations

import sys
from contextlib import suppress
from typing import TYPE_CHECKING, Annotated

import typer

from distcomp.cli.opening import opened
from distcomp.cli.options import TaskId
from distcomp.cli.terminal import is_terminal
from distcomp.errors import NotFound

if TYPE_CHECKING:
    from distcomp.api import Client


def logs(
    task: TaskId,
    err: Annotated[bool, typer.Option("--err", help="What it printed to stderr.")] = False,
    follow: Annotated[bool, typer.Option("-f", "--follow", help="Go on until the attempt ends.")] = False,
    attempt: Annotated[int | None, typer.Option(metavar="N", help="Which attempt.  [default: the last]")] = None,
) -> None:
    """Print what a task printed, byte for byte."""
    with opened() as client:
        is_silent = True
        for piece in client.logs(task, "stderr" if err else "stdout", attempt=attempt, follow=follow):
            is_silent = is_silent and not piece
            sys.stdout.buffer.write(piece)
            if follow:
                sys.stdout.buffer.flush()
        sys.stdout.buffer.flush()
        # A script that takes the output takes nothing for what it is.
        if is_silent and is_terminal(sys.stderr):
            print(_elsewhere(client, task, err=err, attempt=attempt), file=sys.stderr)


def _elsewhere(client: Client, task: str, *, err: bool, attempt: int | None) -> str:
    """What is said when the asked stream is empty: the other one may not be."""
    here, there = ("stderr", "stdout") if err else ("stdout", "stderr")
    has_more = False
    with suppress(NotFound):
        has_more = any(client.logs(task, "stdout" if err else "stderr", attempt=attempt))
    if not has_more:
        return f"nothing was printed, neither to {here} nor to {there}"
    flags = ("" if err else " --err") + (f" --attempt {attempt}" if attempt else "")
    return f"nothing was printed to {here}; to {there} there was: distcomp logs{flags} {task}"
