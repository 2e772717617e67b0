"""`distcomp logs`."""

from __future__ import annotations

import sys
from typing import Annotated

import typer

from distcomp.cli.opening import opened
from distcomp.cli.options import TaskId


def logs(
    task: TaskId,
    err: Annotated[bool, typer.Option("--err", help="What it printed to stderr.")] = False,
    follow: Annotated[bool, typer.Option("-f", "--follow", help="Go on until the attempt ends.")] = False,
    attempt: Annotated[int | None, typer.Option(metavar="N", help="Which attempt.  [default: the last]")] = None,
) -> None:
    """Print what a task printed, byte for byte."""
    with opened() as client:
        for piece in client.logs(task, "stderr" if err else "stdout", attempt=attempt, follow=follow):
            sys.stdout.buffer.write(piece)
            if follow:
                sys.stdout.buffer.flush()
        sys.stdout.buffer.flush()
