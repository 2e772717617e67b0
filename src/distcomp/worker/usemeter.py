"""Sums up what attempts use of the node, from look to look: for the mean and the peak of a run."""

from __future__ import annotations

from distcomp.model import Use


class UseMeter:
    """`use` is all since the worker began. Time in which nothing ran does not count."""

    def __init__(self) -> None:
        self.use = Use()
        self._at_s = self._used_bytes = 0.0
        self._ran = False

    def note(self, now_s: float, attempts: int, used_bytes: int, total_bytes: int, busy: float, cores: float) -> None:
        """One look.

        Args:
            attempts: how many run.
            used_bytes: by attempts; between two looks it is taken to go straight from one to the other.
            busy: cores at work, on average since the last look.
        """
        since_s = now_s - self._at_s if self._ran else 0.0
        use, mean_bytes = self.use, (self._used_bytes + used_bytes) / 2
        busy = min(busy, cores)
        self.use = Use(
            span_s=use.span_s + since_s,
            memory_byte_s=use.memory_byte_s + since_s * mean_bytes,
            total_byte_s=use.total_byte_s + since_s * total_bytes,
            core_s=use.core_s + since_s * busy,
            total_core_s=use.total_core_s + since_s * cores,
            peak_memory_fraction=max(use.peak_memory_fraction, used_bytes / max(1, total_bytes)),
            peak_cores_fraction=max(use.peak_cores_fraction, busy / cores if since_s else 0.0),
        )
        self._at_s, self._used_bytes, self._ran = now_s, used_bytes, attempts > 0
