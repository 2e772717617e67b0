"""Work that would hold up the worker: done one after the other in a thread, handed over in the worker's own."""

from __future__ import annotations

import queue
from collections import deque
from collections.abc import Callable
from typing import TypeVar

from distcomp.runner.sidethread import SideThread

_Result = TypeVar("_Result")


class Aside:
    """Used by one thread, but for what it is given to do. The thread is started when there is something.

    Args:
        name: of the thread.
        on_done: called in it when something is done; `finish_done` then hands it over.
    """

    def __init__(self, name: str, on_done: Callable[[], None]) -> None:
        self._name, self._on_done = name, on_done
        self._waiting: queue.SimpleQueue[Callable[[], Callable[[], None]] | None] = queue.SimpleQueue()
        self._done: deque[Callable[[], None]] = deque()
        self._thread: SideThread | None = None
        self.unfinished = 0

    def put(self, work: Callable[[], _Result], then: Callable[[_Result], None]) -> None:
        """Have `work` done, which raises nothing; `finish_done` calls `then` with what comes of it."""

        def bound() -> Callable[[], None]:
            result = work()
            return lambda: then(result)

        self.unfinished += 1
        if self._thread is None:
            self._thread = SideThread(self._name, self._work)
            self._thread.start()
        self._waiting.put(bound)

    def finish_done(self) -> None:
        """Hand over what is done by now."""
        while self._done:
            then = self._done.popleft()
            self.unfinished -= 1
            then()

    def close(self) -> None:
        """Wait until all is done."""
        if self._thread is not None:
            self._waiting.put(None)
            self._thread.join()
            self._thread = None

    def _work(self) -> None:
        while (work := self._waiting.get()) is not None:
            self._done.append(work())
            self._on_done()
