"""Stops attempts for a moment, so that nobody takes memory while one that was killed gives back its own.

Memory comes back when the killed have run to their end in the kernel, for which they need a processor. While others
fill memory they wait for their turn, and what they free is taken before anybody sees it.

A child that has left its attempt's process group goes on as long as its parent lives: finding it would take too long.
"""

from __future__ import annotations

import contextlib
import os
import signal
from collections.abc import Iterable, Mapping

from distcomp.runner.attempt import Live
from distcomp.runner.strays import Strays


class Pause:
    """The attempts that stand still. They are in no other way different: memory, files and timeouts stay theirs."""

    def __init__(self) -> None:
        self._stopped: set[Live] = set()

    def __bool__(self) -> bool:
        return bool(self._stopped)

    def stop(self, lives: Iterable[Live], strays: Strays) -> None:
        """Stop those that run, but for those that were told to end."""
        for live in lives:
            if not (live in self._stopped or live.was_killed or live.was_termed):
                self._stopped.add(live)
                _signal(live, strays, signal.SIGSTOP)

    def go_on(self, roots: Mapping[int, Live], strays: Strays) -> None:
        """Let all go on that have not ended.

        Args:
            roots: by process id, those whose first process was not reaped: the number is still theirs.
        """
        for live in self._stopped:
            if roots.get(live.attempt.pid) is live:
                _signal(live, strays, signal.SIGCONT)
        self._stopped.clear()


def _signal(live: Live, strays: Strays, signal_number: int) -> None:
    """To the attempt's group and its known orphans: not worth a look through the process table."""
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(live.attempt.pid, signal_number)
    for pid in strays.surely_of(live) if strays else ():
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.kill(pid, signal_number)
