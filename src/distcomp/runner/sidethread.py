"""The worker's threads beside its main one."""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable


class SideThread(threading.Thread):
    """A daemon thread that the end of a child does not wake.

    The kernel tells one thread of a child's end: the one that started it if that one listens, else any that does. Only
    the main one reaps. Another one would wake for nothing, and may be within a call that nothing ends, as in the start
    of a process whose program is slow to read: until then nobody would know.
    """

    def __init__(self, name: str, work: Callable[[], None]) -> None:
        super().__init__(name=name, target=work, daemon=True)

    def run(self) -> None:
        """The thread's life."""
        signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGCHLD])
        super().run()
