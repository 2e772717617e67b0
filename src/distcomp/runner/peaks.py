"""How much memory attempts use, and the most that each used."""

from __future__ import annotations

import re
import time
from collections.abc import Mapping

from distcomp.clock import Clock
from distcomp.runner.aside import Aside
from distcomp.runner.attempt import Live
from distcomp.runner.course import Course
from distcomp.runner.strays import Strays
from distcomp.runner.trees import Resident, TreeMemory, read_proc_file, shared_once

_OWN_PEAK = re.compile(rb"VmHWM:\s*(\d+) kB")
_SHORT_S = 0.04
"""Not to search the process table for attempts that come and go by the thousand."""
_LARGE_BYTES = 2**25
_SHARED_SHARE = 0.02
"""Of a core, for finding out about shared pages."""
_SLACK_BYTES = 2**20
"""By which the kernel's counts of resident pages are off, as each processor keeps some to itself."""


class PeakMemory:
    """Measures the trees of running attempts.

    The kernel counts the peak of every process (ru_maxrss), but not of a tree, and it starts counting before exec, when
    the child still shares the worker's memory: a task smaller than the worker seems as large as the worker. So
    a count that is not above the worker's own peak tells nothing. Of a task so small and so short that
    no look saw it, the peak is not known.
    """

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._trees: TreeMemory[Live] = TreeMemory()
        self._own_peak_bytes = _own_peak_bytes()
        # In a thread: the kernel waits for who is just mapping memory, tens of milliseconds where it runs out.
        self._sharing = Aside("shared pages", on_done=lambda: None)
        self._shared_at_s = 0.0

    def measure(self, roots: Mapping[int, Live], strays: Strays) -> None:
        """Look at all trees, unless no attempt is old enough for it to tell anything."""
        now_s = self._clock.monotonic_s()
        oldest = next(iter(roots.values()), None)
        if oldest is None or now_s < oldest.attempt.started_s + _SHORT_S:
            return
        self._own_peak_bytes = _own_peak_bytes()
        sample = self._trees.sample({**strays.owners(), **roots})
        self._look_for_shared(sample, now_s)
        for live, resident in sample.items():
            measured = live.attempt.measured
            used_bytes = int(resident.sum_bytes * measured.shared_once)
            since_s = now_s - (measured.at_s or live.attempt.started_s)
            measured.held_byte_s += since_s * (measured.used_bytes + used_bytes) / 2
            measured.used_bytes, measured.at_s = used_bytes, now_s
            measured.peak_bytes = max(measured.peak_bytes, used_bytes)
            if used_bytes:  # else it is just ending, and its memory is gone before it is
                measured.course = measured.course or Course()
                measured.course.note(now_s - live.attempt.started_s, used_bytes)

    def _look_for_shared(self, sample: Mapping[Live, Resident], now_s: float) -> None:
        """Pages that the processes of one attempt share, as after a fork: the largest trees first, some at a time."""
        self._sharing.finish_done()
        if self._sharing.unfinished or now_s < self._shared_at_s:
            return
        trees = [
            live for live, resident in sample.items() if resident.processes > 1 and resident.sum_bytes > _LARGE_BYTES
        ]
        if trees:
            live = min(trees, key=lambda live: (live.attempt.measured.shared_at_s, -sample[live].sum_bytes))
            pids = self._trees.processes(live)
            self._sharing.put(lambda: _timed_shared_once(pids), lambda answer: self._note_shared(live, *answer))

    def _note_shared(self, live: Live, once: float, cpu_s: float) -> None:
        now_s, measured = self._clock.monotonic_s(), live.attempt.measured
        measured.shared_once, measured.shared_at_s = once, now_s
        self._shared_at_s = now_s + cpu_s / _SHARED_SHARE

    def processes(self, live: Live) -> list[int]:
        """All of an attempt's, as the last look saw them."""
        return self._trees.processes(live)

    def peak_bytes(self, live: Live, largest_process_bytes: int) -> int:
        """The most that the attempt used, given what the kernel counted for its largest process. 0: not known."""
        seen_bytes = live.attempt.measured.peak_bytes
        if self._is_above_own(largest_process_bytes):
            # The worker may have grown since it was last looked at.
            self._own_peak_bytes = _own_peak_bytes()
        return max(seen_bytes, largest_process_bytes) if self._is_above_own(largest_process_bytes) else seen_bytes

    def _is_above_own(self, size_bytes: int) -> bool:
        return size_bytes > self._own_peak_bytes + _SLACK_BYTES

    def close(self) -> None:
        """Let go of /proc."""
        self._sharing.close()
        self._trees.close()


def _timed_shared_once(pids: list[int]) -> tuple[float, float]:
    """What `shared_once` says, and the CPU seconds that it took."""
    before_s = time.thread_time()
    once = shared_once(pids)
    return once, time.thread_time() - before_s


def _own_peak_bytes() -> int:
    match = _OWN_PEAK.search(read_proc_file("/proc/self/status"))
    return int(match[1]) * 1024 if match else 0
