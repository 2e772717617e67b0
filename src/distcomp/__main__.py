"""The program `distcomp`, and `python -m distcomp`: what comes before the imports."""

from __future__ import annotations

import signal


def main() -> None:
    """Run the command that the arguments name, and exit.

    Until all is imported, Ctrl-C ends us without a word: nothing has begun.
    """
    if signal.getsignal(signal.SIGINT) is signal.default_int_handler:
        signal.signal(signal.SIGINT, signal.SIG_DFL)
    from distcomp.cli.main import main as run_command

    run_command()


if __name__ == "__main__":
    main()
