"""Acts when memory is short: gives attempts back, and lets the others wait until what those had is free."""

from __future__ import annotations

from collections.abc import Collection, Sequence

from distcomp import packing
from distcomp.clock import Clock
from distcomp.model import Cause
from distcomp.runner.attempt import RunningAttempt
from distcomp.runner.runner import Runner

LONGEST_PAUSE_S = 0.25
"""From the last return on. Some need long to die, as when they wait for a disk: nobody is to stand still for that."""
PAUSED_LOOK_S = 0.01


class Relief:
    """Used by the worker at each look."""

    def __init__(self, runner: Runner, clock: Clock) -> None:
        self._runner, self._clock = runner, clock
        self._pause_until_s, self._line_bytes = 0.0, 0

    def act(
        self,
        use: packing.NodeUse,
        loads: Sequence[packing.Load],
        limits: packing.NodeLimits,
        running: Collection[RunningAttempt],
    ) -> None:
        """Kill who has to go, and stop or let go on the others.

        Args:
            running: oldest first, as `loads`.
        """
        now_s, available_bytes = self._clock.monotonic_s(), use.memory.available_bytes
        line_bytes = packing.line_bytes(use, limits)
        for returned in packing.relieve_pressure(use, loads, limits):
            attempt = next(attempt for attempt in running if attempt.number == returned.key)
            # Killed first and reported when it is gone, so that two copies never run at once. Dying between
            # the two is safe: the lease ends and the task is reaped.
            cause = Cause.OOM if returned.has_outgrown_node else Cause.EVICTED
            self._runner.kill(attempt, cause, returned.reason, grace=False)
            self._pause_until_s, self._line_bytes = now_s + LONGEST_PAUSE_S, line_bytes
        # As it was when they were chosen: who stands still does not grow, and would go on at once.
        is_short = available_bytes < self._line_bytes
        if is_short and now_s < self._pause_until_s and self._runner.is_killing:
            self._runner.pause()
        else:
            self._runner.go_on()

    @property
    def is_over(self) -> bool:
        """Has what was to be freed been freed? Then a look is due, however short ago the last one was."""
        return self._runner.is_paused and not self._runner.is_killing
