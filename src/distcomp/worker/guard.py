"""Watches the node's memory between two looks, where it may be out before the second.

A glance costs a fiftieth of a look: it reads what is free, and nothing of the attempts.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import replace
from enum import IntEnum

from distcomp import packing
from distcomp.model import NodeMemory
from distcomp.runner.fence import Fence
from distcomp.runner.wakeup import Wakeup

WATCHED = 0.5
"""The part of a node's memory below which less is available when the fence's events are heeded."""
OUTSIDE = 8
"""Of what is to be kept free, this part is left outside the fence, for others to grow until the next look."""


FURTHER = 0.75
"""Where a look found less than has to be free and could do nothing about it, the next is due at this part of it."""


class Sight(IntEnum):
    """What a glance saw. All but NOTHING are reasons to look."""

    NOTHING = 0
    CLOSE = 1
    SHORT = 2


class Guard:
    """Knows when to glance, and where the fence has to be.

    `glance_at_s`: when the next glance is due; infinite as long as the next look is soon enough.
    `is_close`: what is free could be gone before the next look; not known before the first.
    `is_stalled`: at the last look, attempts waited for memory at the fence.
    """

    def __init__(self, read_memory: Callable[[], NodeMemory], wakeup: Wakeup, fence: Fence | None) -> None:
        self.glance_at_s = math.inf
        self._read_memory, self._wakeup, self._fence = read_memory, wakeup, fence
        self._limits: packing.NodeLimits | None = None
        self.is_close = True
        self._is_watching = False
        self._short_bytes = 0
        self.is_stalled = False

    def note_look(self, use: packing.NodeUse, limits: packing.NodeLimits, now_s: float, *, is_busy: bool) -> None:
        """After a look: glance from now on if need be, and move the fence."""
        self._limits = limits
        self.is_close = packing.is_close(use, limits)
        self._set_next_glance(now_s if is_busy else math.inf, limits)
        line_bytes, available_bytes = packing.line_bytes(use, limits), use.memory.available_bytes
        self._short_bytes = line_bytes if available_bytes >= line_bytes else int(FURTHER * available_bytes)
        if self._fence is None:
            return
        self.is_stalled = self._fence.is_stalled()
        most_bytes = self._fence.used_bytes() + available_bytes
        self._fence.set_limit(most_bytes - limits.keep_free_bytes // OUTSIDE)
        # Far from it, short tasks would cross and cross again a level that means nothing.
        is_watching = available_bytes < WATCHED * use.memory.total_bytes
        if is_watching != self._is_watching:
            self._is_watching = is_watching
            (self._wakeup.watch if is_watching else self._wakeup.unwatch)(self._fence.event)

    def heed(self, ready: Sequence[int]) -> None:
        """Descriptors that woke the worker: the fence's says that much more is used than a moment ago, or less."""
        if self._fence is not None and self._fence.event in ready:
            self._fence.note_event()
            self.glance_at_s = 0.0

    def glance(self, use: packing.NodeUse, now_s: float) -> Sight:
        """See what is free, if it is time to.

        Args:
            use: of the last look.
        """
        if now_s < self.glance_at_s or self._limits is None:
            return Sight.NOTHING
        use = replace(use, memory=self._read_memory())
        was_close, self.is_close = self.is_close, packing.is_close(use, self._limits)
        self._set_next_glance(now_s, self._limits)
        if use.memory.available_bytes < self._short_bytes:
            return Sight.SHORT
        return Sight.CLOSE if self.is_close > was_close else Sight.NOTHING

    def _set_next_glance(self, now_s: float, limits: packing.NodeLimits) -> None:
        self.glance_at_s = now_s + limits.tuning.glance_s if self.is_close else math.inf
