"""How long attempts take and how busy they keep a core: a few numbers that follow the work."""

from __future__ import annotations

import math

from distcomp.model import Usage

AHEAD_S = 0.1
MOST_AHEAD = 256
_WINDOW = 32
_TELLING_S = 0.05


class Pace:
    """Running means over the last attempts, about 32 of them."""

    def __init__(self) -> None:
        self.typical_cores = 1.0
        self._log_wall_s = 0.0
        self._seen = self._told = 0

    def note(self, usage: Usage) -> None:
        """One attempt has ended."""
        self._seen += 1
        # Of logarithms: one task that takes a thousand times as long must not hide what the others take.
        self._log_wall_s += (math.log(max(usage.wall_s, 1e-4)) - self._log_wall_s) / min(self._seen, _WINDOW)
        if usage.wall_s >= _TELLING_S:
            self._told += 1
            self.typical_cores += (usage.cpu_s / usage.wall_s - self.typical_cores) / min(self._told + 1, _WINDOW)

    def ahead(self, slots: int) -> int:
        """How many claims to hold beyond those that run, so that `slots` stay busy while the store is asked again.

        None for tasks of more than a fraction of a second: somebody else may be free to run them.
        """
        return min(MOST_AHEAD, int(slots * AHEAD_S / math.exp(self._log_wall_s)))
