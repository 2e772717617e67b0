"""`distcomp submit`."""

from __future__ import annotations

from typing import Annotated

import typer

from distcomp.cli import render
from distcomp.cli.commands import TakesCommand, words_after_dashes
from distcomp.cli.opening import opened
from distcomp.cli.options import AsJson, SubmitFlags, with_flags
from distcomp.cli.usage import BadUsage


@with_flags
def submit(
    ctx: typer.Context,
    flags: SubmitFlags,
    file: Annotated[
        str | None,
        typer.Argument(
            metavar="[FILE | - | -- COMMAND...]", help="A task file; - is stdin. One word after -- is a shell line."
        ),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Add tasks; a running worker starts them at once.

    Adds only what is new, and says how many were known. A line with a fault stops the whole submission:
    all faults are listed, and nothing is added.
    """
    from distcomp.cli import submitting

    words = words_after_dashes(ctx)
    if file is None and words is None:
        raise BadUsage("Expected a task file, - for stdin, or -- and a command.")
    with opened(create=True) as client:
        render.show(submitting.submit(client, file, words, flags, run=False), as_json, submitting.lines)


submit.command_class = TakesCommand  # type: ignore[attr-defined]
