"""Outputs that grow too long while the attempt still prints."""

from __future__ import annotations

import os

from distcomp.runner.attempt import Live
from distcomp.runner.cutting import cut_bytes, free_middle
from distcomp.runner.limits import RunnerLimits

SOON_S = 0.1
"""Until the next look at what is in motion: a new attempt, a fast growing output, processes that are dying."""


def limit_output(live: Live, now_s: float, limits: RunnerLimits) -> float:
    """Give back the disk that the middle of a too long output takes; in how many seconds to look again."""
    seen_bytes = 0
    for fd in (live.slot.stdout_fd, live.slot.stderr_fd):
        size_bytes = os.lseek(fd, 0, os.SEEK_END)
        seen_bytes += size_bytes
        if cut_bytes(size_bytes, limits.output_limit_bytes):
            free_middle(fd, size_bytes, limits.output_limit_bytes)
    is_fast = seen_bytes - live.seen_bytes > limits.output_limit_bytes // 8
    live.seen_bytes = seen_bytes
    is_new = now_s < live.attempt.started_s + limits.look_interval_s
    return SOON_S if is_fast or is_new else limits.look_interval_s
