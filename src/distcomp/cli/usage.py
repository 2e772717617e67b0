"""What is wrong with a command line, where typer cannot tell."""

from __future__ import annotations

from distcomp.errors import DistcompError


class BadUsage(DistcompError):
    """The command line makes no sense. Nothing was done."""

    exit_code = 2
