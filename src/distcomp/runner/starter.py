"""The thread that starts processes, one after the other, while the worker's own thread does all the rest.

A start sleeps for half a millisecond, until the child has come through exec: most of what a short task costs. With the
ends of others settled meanwhile, short tasks run as fast as under `xargs`. It is a thread also because children are
born into the cgroup of the thread that starts them, where cgroups are of version 1: so no attempt is ever outside
of the fence.
"""

from __future__ import annotations

import queue
import threading
from collections import deque
from collections.abc import Callable
from typing import NamedTuple

from distcomp.runner.attempt import Live


class Started(NamedTuple):
    """What became of a start: a process, or an error."""

    live: Live
    pid: int
    error: Exception | None


class Starter:
    """One thread. `put`, `take` and `close` are called by the worker's own.

    Args:
        launch: called in the thread; the process it has started.
        wake: called in the thread, when an attempt could not be started or one is awaited.
    """

    def __init__(self, launch: Callable[[Live], int], wake: Callable[[], None]) -> None:
        self._launch, self._wake = launch, wake
        self._queue: queue.SimpleQueue[Live | None] = queue.SimpleQueue()
        self._done: deque[Started] = deque()
        self._is_awaited = False
        self._thread = threading.Thread(target=self._run, name="starter", daemon=True)
        self._thread.start()

    @property
    def thread_id(self) -> int:
        """The kernel's number of the thread."""
        assert self._thread.native_id is not None
        return self._thread.native_id

    def put(self, live: Live) -> None:
        """Start this, after those that were put before."""
        self._queue.put(live)

    def take(self) -> list[Started]:
        """What was started since the last call. Not having been woken does not mean that there is nothing.

        The end of a child wakes the worker anyway; to wake it for the start as well would cost a turn of its loop each.
        """
        return [self._done.popleft() for _ in range(len(self._done))]

    def expect(self) -> None:
        """Wake when the next one is started. Followed by a `take`, as it may just have been."""
        self._is_awaited = True

    def close(self) -> None:
        """End the thread, after what was put."""
        self._queue.put(None)
        self._thread.join()

    def _run(self) -> None:
        while (live := self._queue.get()) is not None:
            self._done.append(self._start(live))
            if self._is_awaited or self._done[-1].error is not None:
                self._is_awaited = False
                self._wake()

    def _start(self, live: Live) -> Started:
        try:
            return Started(live, self._launch(live), None)
        except Exception as error:  # noqa: BLE001  The boundary of a thread: the worker's own has to raise it.
            return Started(live, 0, error)
