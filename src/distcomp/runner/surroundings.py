"""What the worker's process is like while attempts run: they inherit it."""

from __future__ import annotations

import contextlib
import os

from distcomp.runner.attempt import OWN_MARK
from distcomp.runner.kernel import set_subreaper


def enter_surroundings(worker: str) -> tuple[str, str | None]:
    """Make the whole process ready to have attempts; what it was like before."""
    before = os.getcwd(), os.environ.get(OWN_MARK)  # noqa: PTH109
    set_subreaper(is_subreaper=True)
    # What Python opens is closed by exec; what the worker itself inherited is not.
    for fd in map(int, os.listdir("/proc/self/fd")):  # noqa: PTH208
        with contextlib.suppress(OSError):
            os.set_inheritable(fd, fd < 3)
    os.environ[OWN_MARK] = worker
    return before


def restore_surroundings(before: tuple[str, str | None]) -> None:
    """Undo it."""
    cwd, mark = before
    set_subreaper(is_subreaper=False)
    with contextlib.suppress(OSError):  # It may be gone by now.
        os.chdir(cwd)
    if mark is None:
        del os.environ[OWN_MARK]
    else:
        os.environ[OWN_MARK] = mark
