"""How much of its memory a tree's processes share: asked of the kernel in a thread.

For the answer the kernel walks all pages of a process, a millisecond for each 100 MB, and waits while the process maps
memory, which takes tens of milliseconds where memory runs out. The worker's own thread has better to do then.
"""

from __future__ import annotations

import queue
import threading
import time
from collections.abc import Sequence
from typing import NamedTuple

from distcomp.runner.attempt import Live
from distcomp.runner.trees import shared_once


class Shared(NamedTuple):
    """An answer: what is left of the sum over all processes when pages that they share count once."""

    live: Live
    once: float
    cpu_s: float


class Sharing:
    """One thread, and one question at a time. All methods are called by the worker's own thread."""

    def __init__(self) -> None:
        self._questions: queue.SimpleQueue[tuple[Live, Sequence[int]] | None] = queue.SimpleQueue()
        self._answers: queue.SimpleQueue[Shared] = queue.SimpleQueue()
        self._thread = threading.Thread(target=self._run, name="sharing", daemon=True)
        self._thread.start()
        self.is_busy = False

    def ask(self, live: Live, pids: Sequence[int]) -> None:
        """Find out about these processes of an attempt."""
        self.is_busy = True
        self._questions.put((live, pids))

    def answer(self) -> Shared | None:
        """The answer to the last question, once."""
        try:
            answer = self._answers.get_nowait()
        except queue.Empty:
            return None
        self.is_busy = False
        return answer

    def close(self) -> None:
        """End the thread."""
        self._questions.put(None)
        self._thread.join()

    def _run(self) -> None:
        while (question := self._questions.get()) is not None:
            live, pids = question
            before_s = time.thread_time()
            once = shared_once(pids)
            self._answers.put(Shared(live, once, time.thread_time() - before_s))
