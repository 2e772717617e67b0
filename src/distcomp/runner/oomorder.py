"""Whom the kernel kills first, should it be faster than the worker: the newest attempt. And whether it did."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterable, Sequence

from distcomp.packing import is_kernel_oom
from distcomp.runner.attempt import Live, RootEnd
from distcomp.runner.quick import write_once

NEWEST = 1000
_STEP, _OLDER, _OLDEST = 100, 200, 100
"""The kernel adds a thousandth of the node's memory for each point to what a process uses, and kills the largest sum:
a tenth of the node between two attempts. The worker, at 0, comes last."""

_KILLS = re.compile(rb"^oom_kill (\d+)$", re.MULTILINE)
_MOST_BYTES = 2**16


class OomOrder:
    """Keeps the order of attempts in /proc/PID/oom_score_adj, and count of the kernel's kills."""

    def __init__(self) -> None:
        self._vmstat_fd = os.open("/proc/vmstat", os.O_RDONLY | os.O_CLOEXEC)
        self._kills = self._kills_earlier = self._read_kills()

    def note_start(self, live: Live) -> None:
        """Before an attempt starts."""
        live.kills_before = self._kills

    def look(self, lives: Sequence[Live], processes: Callable[[Live], Iterable[int]]) -> None:
        """Bring the order up to date.

        Args:
            lives: those that have a process, oldest first.
            processes: all of an attempt; what they start later is placed as they are.
        """
        self._kills_earlier, self._kills = self._kills, self._read_kills()
        newest = len(lives) - 1
        for place, live in enumerate(lives):
            # The oldest from the first look on, even if it is alone: the next one may be quicker than the next look.
            score = max(_OLDER, NEWEST - _STEP * (newest - place)) if place else _OLDEST
            if live.oom_score != score:
                live.oom_score = score
                for pid in {live.attempt.pid, *processes(live)}:
                    set_oom_score(pid, score)

    def is_to_blame(self, live: Live, end: RootEnd) -> bool:
        """Whether it was the kernel that ended the attempt, for want of memory.

        It may have killed a child only, whose parent then says so in its own way. That is taken to be so where the
        attempt had nobody beside it, or fails within two looks of a kill.
        """
        if not end.status or live.order is not None or not (live.is_lasting or _may_be_oom(end)):
            return False
        kills = self._read_kills()
        own_kills = kills - (self._kills_earlier if live.others else live.kills_before) if live.is_lasting else 0
        oom_kills = kills - live.kills_before
        return is_kernel_oom(end.signal, end.exit_code, oom_kills=oom_kills, own_oom_kills=own_kills)

    def close(self) -> None:
        """Let go of /proc."""
        os.close(self._vmstat_fd)

    def _read_kills(self) -> int:
        """Of the whole machine, all cgroups included; 0 for ever on a kernel that does not count (before 4.13)."""
        match = _KILLS.search(os.pread(self._vmstat_fd, _MOST_BYTES, 0))
        return int(match[1]) if match else 0


def set_oom_score(pid: int, score: int) -> None:
    """From 0, like the worker, to 1000: the first to go. What the process starts from now on inherits it."""
    write_once(b"/proc/%d/oom_score_adj" % pid, b"%d" % score)  # Where it is gone, nothing is written.


def _may_be_oom(end: RootEnd) -> bool:
    """Not to read a file for each attempt that fails at once. A shell says by its exit code that a child was killed."""
    return end.signal is not None or end.exit_code == 137
