"""The threads that start processes, while the worker's own thread does all the rest.

A start sleeps for half a millisecond, until the child has come through exec: most of what a short task costs. With the
ends of others settled meanwhile, and two starts at a time, short tasks run as fast as under `xargs`. They are threads
also because children are born into the cgroup of the thread that starts them, where cgroups are of version 1: so no
attempt is ever outside of the fence.
"""

from __future__ import annotations

import queue
from collections import deque
from collections.abc import Callable
from functools import partial
from typing import NamedTuple

from distcomp.runner.attempt import Live
from distcomp.runner.fence import Fence
from distcomp.runner.kernel import leave_directory_to_thread
from distcomp.runner.sidethread import SideThread

THREADS = 2


class Started(NamedTuple):
    """What became of a start: a process, or an error."""

    live: Live
    pid: int
    error: Exception | None


class Starter:
    """Some threads, each with a working directory of its own, or where the kernel refuses that a single one.

    `put`, `take` and `close` are called by the worker's own thread.

    Args:
        launch: called in the threads, by two at once; the process it has started.
        wake: called in a thread, when an attempt could not be started, or was to be killed before it was, or when one
            is awaited.
        fence: what is started shall be born inside it, where that is possible.
    """

    def __init__(self, launch: Callable[[Live], int], wake: Callable[[], None], fence: Fence | None = None) -> None:
        self._launch, self._wake = launch, wake
        self._queue: queue.SimpleQueue[Live | None] = queue.SimpleQueue()
        self._done: deque[Started] = deque()
        self._is_awaited = False
        self._threads: list[SideThread] = []
        while len(self._threads) < THREADS and self._add_thread():
            pass
        for thread in self._threads:
            if fence is not None and thread.native_id is not None:
                fence.add_thread(thread.native_id)

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
        """End the threads, after what was put."""
        for _ in self._threads:
            self._queue.put(None)
        for thread in self._threads:
            thread.join()

    def _add_thread(self) -> bool:
        """False: its working directory is that of the whole process, so it must be the only one."""
        has_own_directory: queue.SimpleQueue[bool] = queue.SimpleQueue()
        name = f"starter {len(self._threads)}"
        thread = SideThread(name, partial(self._run, has_own_directory))
        thread.start()
        is_apart = has_own_directory.get()
        if is_apart or not self._threads:
            self._threads.append(thread)
        return is_apart

    def _run(self, has_own_directory: queue.SimpleQueue[bool]) -> None:
        is_apart = leave_directory_to_thread()
        is_of_use = is_apart or not self._threads
        has_own_directory.put(is_apart)
        while is_of_use and (live := self._queue.get()) is not None:
            started = self._start(live)
            # From here on it may be taken, and what is last in the list is another's.
            self._done.append(started)
            if self._is_awaited or live.order is not None or started.error is not None:
                self._is_awaited = False
                self._wake()

    def _start(self, live: Live) -> Started:
        try:
            return Started(live, self._launch(live), None)
        except Exception as error:  # noqa: BLE001  The boundary of a thread: the worker's own has to raise it.
            return Started(live, 0, error)
