"""The fence of cgroups version 1, as root.

The kernel's killer stays on inside. Without it (oom_kill_disable) page faults would wait for the worker, but reads and
writes would fail with ENOMEM: measured, 3 of 200 programs under pressure lost their output or failed so.
"""

from __future__ import annotations

import contextlib
import os
from functools import partial
from pathlib import Path

from distcomp.runner.cgroup import FRESH_S, PREFIX, Cgroup
from distcomp.runner.sidethread import SideThread

_LEVELS = 100
"""Uses of the node's memory at whose crossing the kernel tells: one for each percent."""


def remove_unused(parent: Path, made_before_s: float) -> None:
    """Remove the fences that killed workers left. One in use has a thread of its worker in it, so it stays.

    Args:
        parent: the cgroup that the workers were in.
        made_before_s: since 1970; into one that is newer its worker's thread may be about to go.
    """
    for folder in parent.glob(f"{PREFIX}*"):
        with contextlib.suppress(OSError):
            if folder.stat().st_mtime < made_before_s:
                folder.rmdir()


class FenceV1:
    """The cgroup of a worker's attempts. Made by `build`.

    `event` can be read when use, page cache included, has crossed a level, up or down: a percent of the node. The
    levels are set once, in a thread: for each, the kernel waits for all processors, 10 to 40 ms, and whoever moved a
    single level with each look would be too late with the look itself.
    """

    def __init__(self, folder: Path, total_bytes: int) -> None:
        """Raises OSError: it cannot be made, or cannot do what a fence must."""
        self._is_closing = False
        self._cgroup = Cgroup(folder, "memory.usage_in_bytes", "total_inactive_file")
        try:
            # What an earlier version may have left.
            (folder / "memory.oom_control").write_text("0")
            self._cgroup.open_memory()
            self._limit = self._cgroup.open("memory.limit_in_bytes", os.O_RDWR)
            self._control = self._cgroup.open("cgroup.event_control", os.O_WRONLY)
        except OSError:
            self._cgroup.close()
            self._cgroup.remove()
            raise
        self.event = self._cgroup.keep(os.eventfd(0, os.EFD_CLOEXEC | os.EFD_NONBLOCK))
        self._thread = SideThread("fence", partial(self._set_levels, total_bytes))
        self._thread.start()

    @classmethod
    def build(cls, parent: Path, name: str, total_bytes: int, now_s: float) -> FenceV1:
        """A fence below the cgroup that this process is in. Raises OSError: it cannot be made."""
        remove_unused(parent, made_before_s=now_s - FRESH_S)
        return cls(parent / f"{PREFIX}{name}", total_bytes)

    def add_thread(self, thread_id: int) -> None:
        """From now on, what this thread starts is born inside; what it allocates itself is not counted.

        Raises:
            OSError: it cannot be moved.
        """
        (self._cgroup.folder / "tasks").write_text(str(thread_id))

    def take_in(self, pid: int) -> None:
        """It was born inside."""

    def is_stalled(self) -> bool:
        """Nobody waits here: the kernel kills."""
        return False

    def used_bytes(self) -> int:
        """What the attempts use together, but for the page cache that is given back on demand."""
        return self._cgroup.used_bytes()

    def set_limit(self, limit_bytes: int) -> None:
        """Move the fence. Not below what is used: the kernel would look for it, page by page, while we wait."""
        limit_bytes = max(limit_bytes, self._cgroup.charged_bytes())
        with contextlib.suppress(OSError):
            os.pwrite(self._limit, b"%d" % limit_bytes, 0)

    def note_event(self) -> None:
        """Make `event` ready for the next one."""
        with contextlib.suppress(BlockingIOError):
            os.eventfd_read(self.event)

    def _set_levels(self, total_bytes: int) -> None:
        """From the top: what matters most first."""
        for level in range(_LEVELS, 0, -1):
            if self._is_closing:
                return
            with contextlib.suppress(OSError):
                os.write(
                    self._control, f"{self.event} {self._cgroup.usage_fd} {total_bytes * level // _LEVELS}".encode()
                )

    def close(self) -> None:
        """Remove the cgroup. No process may be in it any more; else it stays, for the next worker of this name."""
        self._is_closing = True
        self._thread.join()
        self._cgroup.close()
        self._cgroup.remove()
