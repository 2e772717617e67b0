"""How fast tasks end, and how long the rest will take. Pure."""

from __future__ import annotations

WINDOW_S = 60.0
FEW = 10
"""Fewer ends than these, in a minute, say less than what attempts took so far."""


def rate_per_s(ends: int, since_s: float, mean_wall_s: float) -> float:
    """Tasks that ended per second, over the last minute or less.

    Args:
        ends: in that time, the first of them `since_s` ago.
        mean_wall_s: what an attempt takes. Those that ended first have begun so long before.
    """
    return ends / min(WINDOW_S, max(1.0, since_s + mean_wall_s)) if ends else 0.0


def eta_s(left: int, per_s: float, ends: int, running: int, mean_wall_s: float) -> float | None:
    """Seconds until what is left has ended; None if that cannot be told.

    Args:
        left: tasks that have not ended, and that some node can run.
        per_s: from `rate_per_s`, of so many `ends`.
        running: of those left.
        mean_wall_s: what an attempt takes; 0: none has ended yet.
    """
    if not left:
        return 0.0
    if ends < FEW and running and mean_wall_s:
        return left * mean_wall_s / running
    return left / per_s if per_s else None
