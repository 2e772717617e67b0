"""What is wrong with a command line, where typer cannot tell."""

from __future__ import annotations

from distcomp.errors import DistcompError


class BadUsage(DistcompError):
    """The command line makes no sense. Nothing was done."""

    exit_code = 2


def check_number(flag: str, things: str, number: int | None) -> None:
    """See that a number of things is one at least, if it was given. BadUsage: it is not."""
    if number is not None and number < 1:
        raise BadUsage(f"{flag} is a number of {things}, and not {number}.")
