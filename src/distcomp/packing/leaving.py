"""When a worker that has to be gone by a certain time stops starting tasks, and when it gives back what runs."""

from __future__ import annotations

# To kill what runs and to deliver the last reports.
FAREWELL_S = 30.0
DRAIN_SHARE = 0.1
LONGEST_DRAIN_S = 600.0


def leaving_times_s(left_s: float) -> tuple[float, float]:
    """From now: when to start nothing more, and when to give back what runs.

    What runs gets the last tenth of the time to end by itself, ten minutes at most: what would be given back later is
    work for nothing.
    """
    stop_in_s = left_s - FAREWELL_S if left_s > 2 * FAREWELL_S else left_s / 2
    return stop_in_s - min(DRAIN_SHARE * left_s, LONGEST_DRAIN_S), stop_in_s
