"""Has a worker leave in time."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable, Iterator

from distcomp.packing import leaving_times_s
from distcomp.worker.loop import Stop


@contextlib.contextmanager
def leaving_in(left_s: float | None, stop: Callable[[Stop], None]) -> Iterator[None]:
    """Have the worker leave in so many seconds; None: it stays."""
    times = () if left_s is None else zip(leaving_times_s(left_s), (Stop.DRAIN, Stop.NOW), strict=True)
    timers = [threading.Timer(after_s, stop, [how]) for after_s, how in times]
    for timer in timers:
        timer.daemon = True
        timer.start()
    try:
        yield
    finally:
        for timer in timers:
            timer.cancel()
