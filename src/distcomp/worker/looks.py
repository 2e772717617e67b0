"""What packing decides upon, made of what one look after the other saw of the node and its attempts."""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Iterable, Sequence
from dataclasses import replace

from distcomp import packing
from distcomp.clock import Clock
from distcomp.model import Claim, NodeMemory
from distcomp.runner.attempt import RunningAttempt
from distcomp.store.chunks import cores_step, memory_step

FOREIGN_LOOKS = 6


class Looks:
    """Remembers the last look, and the trend of those before."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._at_s = clock.monotonic_s()
        self._seen: packing.Seen | None = None
        self._before: packing.Seen | None = None
        self._growth_bytes, self._since_s, self._trend = 0, 0.1, 0.0
        self._attempts, self._counted_at_s, self._mean_age_s = 0, -math.inf, 0.0
        self._near_s = 0.0
        self._foreign: deque[int] = deque(maxlen=FOREIGN_LOOKS)

    def note(
        self,
        memory: NodeMemory,
        running: Sequence[RunningAttempt],
        limits: packing.NodeLimits,
        typical_wall_s: float | None,
    ) -> None:
        """One look.

        Args:
            running: oldest first.
            typical_wall_s: what an attempt lasts; None as long as none has ended.
        """
        now_s, loads = self._clock.monotonic_s(), self.loads(running)
        now = replace(packing.seen(memory, loads), foreign_bytes=self._lasting_foreign_bytes(memory, loads))
        self._before, self._seen = self._seen or now, now
        self._since_s, self._at_s = max(1e-3, now_s - self._at_s), now_s
        self._growth_bytes = packing.growth_bytes(self._before, now, loads)
        self._near_s = limits.tuning.near_s
        if now_s >= self._counted_at_s + self._near_s:
            # Looks may follow each other at once; that is no reason to start more.
            self._attempts, self._counted_at_s = len(running), now_s
        self._mean_age_s = sum(now_s - attempt.started_s for attempt in running) / max(1, len(running))
        horizon_s = packing.trend_horizon_s(typical_wall_s or self._mean_age_s, limits)
        self._trend = packing.trend_bytes_per_s(self._trend, self._growth_bytes, self._since_s, horizon_s)

    def _lasting_foreign_bytes(self, memory: NodeMemory, loads: Sequence[packing.Load]) -> int:
        """The least of some looks: what a process has given up on its way out is nobody's until the kernel has it."""
        self._foreign.append(packing.foreign_bytes(memory, loads))
        return min(self._foreign)

    def use(
        self,
        memory: NodeMemory,
        busy_cores: float,
        typical_cores: float,
        typical_wall_s: float | None,
        *,
        is_stalled: bool = False,
    ) -> packing.NodeUse:
        """The node as it was at the last look."""
        return packing.NodeUse(
            memory=memory,
            growth_bytes=self._growth_bytes,
            busy_cores=busy_cores,
            typical_cores=typical_cores,
            since_s=self._since_s,
            trend_bytes_per_s=max(0.0, self._trend),
            typical_wall_s=typical_wall_s or self._mean_age_s,
            attempts=self._attempts,
            is_stalled=is_stalled,
        )

    def loads(self, running: Iterable[RunningAttempt]) -> list[packing.Load]:
        """The attempts as packing sees them, in the same order."""
        return [self._load(attempt) for attempt in running]

    def _load(self, attempt: RunningAttempt) -> packing.Load:
        claim, measured = attempt.claim, attempt.measured
        need_bytes = known_bytes_of(claim)
        known_bytes = max(measured.peak_bytes, need_bytes)
        before = self._before.proven_bytes.get(attempt.number, need_bytes) if self._before else need_bytes
        return packing.Load(
            key=attempt.number,
            used_bytes=measured.used_bytes,
            known_bytes=known_bytes,
            declared_cores=known_cores_of(claim),
            is_new=self._at_s < attempt.started_s + self._near_s,
            need_bytes=need_bytes,
            memory_byte_s=measured.held_byte_s,
            is_dying=attempt.is_dying,
            grown_bytes=max(0, known_bytes - before),
        )


def load_to_come(claim: Claim) -> packing.Load:
    """What is claimed and not started."""
    need_bytes = known_bytes_of(claim)
    return packing.Load(0, 0, need_bytes, known_cores_of(claim), is_new=True, need_bytes=need_bytes)


def known_bytes_of(claim: Claim) -> int:
    """What the task has shown to need, or was declared to; 0: nothing is known.

    What was declared counts as the queue compared it: else what was given to this node might never fit it.
    """
    return max(claim.need_bytes, memory_step(claim.spec.memory_bytes))


def known_cores_of(claim: Claim) -> float:
    """The cores that the task was declared to need, as the queue compared them; 0: nothing is known."""
    return cores_step(claim.spec.cores) / 1000
