"""How much memory attempts use, and the most that each used."""

from __future__ import annotations

import re
from collections.abc import Mapping

from distcomp.runner.attempt import Live
from distcomp.runner.course import Course
from distcomp.runner.strays import Strays
from distcomp.runner.trees import TreeMemory, read_proc_file

_OWN_PEAK = re.compile(rb"VmHWM:\s*(\d+) kB")
_SLACK_BYTES = 2**20
"""By which the kernel's counts of resident pages are off, as each processor keeps some to itself."""


class PeakMemory:
    """Measures the trees of running attempts.

    The kernel counts the peak of every process (ru_maxrss), but not of a tree, and it starts counting before exec, when
    the child still shares the worker's memory: a task smaller than the worker seems as large as the worker. So
    a count that is not above the worker's own peak is used only where there is nothing better, that is
    for a task shorter than the interval.
    """

    def __init__(self) -> None:
        self._trees: TreeMemory[Live] = TreeMemory()
        self._next_s = 0.0
        self._own_peak_bytes = _own_peak_bytes()

    def measure(self, roots: Mapping[int, Live], strays: Strays, now_s: float, interval_s: float) -> None:
        """Look at all trees, unless that was less than the interval ago or no attempt is as old as that."""
        oldest = next(iter(roots.values()), None)
        if oldest is None or now_s < self._next_s or now_s < oldest.attempt.started_s + interval_s:
            return
        # Not a full interval: looks come at intervals themselves, and every second one would be a little too early.
        self._next_s = now_s + 0.9 * interval_s
        self._own_peak_bytes = _own_peak_bytes()
        for live, used_bytes in self._trees.sample({**strays.owners(), **roots}).items():
            measured = live.attempt.measured
            measured.used_bytes = used_bytes
            measured.peak_bytes = max(measured.peak_bytes, used_bytes)
            measured.course = measured.course or Course()
            measured.course.note(now_s - live.attempt.started_s, used_bytes)

    def peak_bytes(self, live: Live, largest_process_bytes: int) -> int:
        """The most that the attempt used, given what the kernel counted for its largest process."""
        seen_bytes = live.attempt.measured.peak_bytes
        if seen_bytes and largest_process_bytes <= self._own_peak_bytes + _SLACK_BYTES:
            return seen_bytes
        return max(seen_bytes, largest_process_bytes)

    def close(self) -> None:
        """Let go of /proc."""
        self._trees.close()


def _own_peak_bytes() -> int:
    match = _OWN_PEAK.search(read_proc_file("/proc/self/status"))
    return int(match[1]) * 1024 if match else 0
