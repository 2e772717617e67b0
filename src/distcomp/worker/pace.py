"""How long attempts take and how busy they keep a core: a few numbers that follow the work."""

from __future__ import annotations

import math

from distcomp.model import Usage

AHEAD_S = 0.1
MOST_AHEAD = 256
_WINDOW = 32
_TELLING_S = 0.05
_IDLE_CORES = 0.1
"""An attempt that used less would not have used a whole one, however busy the node."""


class Pace:
    """Running means over the last attempts, about 32 of them."""

    def __init__(self) -> None:
        self.typical_cores = 1.0
        self._log_wall_s = 0.0
        self._seen = self._told = 0

    @property
    def typical_wall_s(self) -> float | None:
        """None as long as no attempt has ended."""
        return math.exp(self._log_wall_s) if self._seen else None

    def note(self, usage: Usage, *, is_crowded: bool) -> None:
        """One attempt has ended.

        Args:
            is_crowded: all cores were busy at its end. Then it had less of them than it would have used, and as how
                much is not known, it counts as a whole one: with what it got, more and more would be started.
        """
        self._seen += 1
        # Of logarithms: one task that takes a thousand times as long must not hide what the others take.
        self._log_wall_s += (math.log(max(usage.wall_s, 1e-4)) - self._log_wall_s) / min(self._seen, _WINDOW)
        if usage.wall_s >= _TELLING_S:
            self._told += 1
            cores = usage.cpu_s / usage.wall_s
            cores = max(cores, 1.0) if is_crowded and cores > _IDLE_CORES else cores
            self.typical_cores += (cores - self.typical_cores) / min(self._told + 1, _WINDOW)

    def ahead(self, slots: int) -> int:
        """How many claims to hold beyond those that run, so that `slots` stay busy while the store is asked again.

        None for tasks of more than a fraction of a second: somebody else may be free to run them.
        """
        return min(MOST_AHEAD, int(slots * AHEAD_S / math.exp(self._log_wall_s)))
