"""Waits for jobs to end: told by the store's events, not by asking again and again."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from time import sleep

from distcomp.api.records import Progress
from distcomp.errors import StoreUnavailable
from distcomp.store.reading import Reading

FEW = 64
# While much is left, ends are counted together: the store has other things to do than to count for us.
PAUSE_S = 0.1
RETRY_FIRST_S, RETRY_CAP_S = 0.05, 2.0


def watch(
    read: Callable[[], Reading], forget: Callable[[], None], jobs: Sequence[int] | None, every_s: float
) -> Iterator[Progress]:
    """How far the jobs are: now, whenever something happened, and at least `every_s`; ends when none is left.

    Args:
        read: the store as it is connected now; it connects again if need be.
        forget: the connection is broken.
        jobs: their numbers; None for all of the project.
        every_s: at most this long from one value to the next.

    Raises:
        StoreUnavailable: at the start only. Later, the last value comes again, with the trouble in it.
        StoreRefused: the store will not serve us.
    """
    progress = Progress(read().counts(jobs))
    after, retry_s = read().last_event(), RETRY_FIRST_S
    while True:
        yield progress
        if not progress.trouble and not progress.left:
            return
        try:
            events = read().events(after, every_s)
            if events:
                after = events[-1][0]
                sleep(PAUSE_S if progress.left > FEW else 0)
            progress, retry_s = Progress(read().counts(jobs)), RETRY_FIRST_S
        except StoreUnavailable as error:
            forget()
            progress = Progress(progress.counts, error.what)
            sleep(min(retry_s, every_s))
            retry_s = min(RETRY_CAP_S, retry_s * 2)
