"""The program `distcomp`, and `python -m distcomp`: what comes before the imports."""

from __future__ import annotations

import os
import signal
import sys


def main() -> None:
    """Run the command that the arguments name, and exit.

    Until all is imported, Ctrl-C ends us without a word: nothing has begun.
    """
    if signal.getsignal(signal.SIGINT) is signal.default_int_handler:
        signal.signal(signal.SIGINT, signal.SIG_DFL)
    _fill_standard_descriptors()
    from distcomp.cli import oncall

    # Its modules and ours take as long: both are read at the same time.
    oncall.call_early(sys.argv[1:])
    from distcomp.cli.main import main as run_command

    run_command()


def _fill_standard_descriptors() -> None:
    """Where one of them was closed (`>&-`), the next file that is opened would be taken for it."""
    while (descriptor := os.open(os.devnull, os.O_RDWR)) <= 2:
        os.set_inheritable(descriptor, True)
    os.close(descriptor)


if __name__ == "__main__":
    main()
