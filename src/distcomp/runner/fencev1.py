"""The fence of cgroups version 1, as root.

The kernel's killer stays on inside. Without it (oom_kill_disable) page faults would wait for the worker, but reads and
writes would fail with ENOMEM: measured, 3 of 200 programs under pressure lost their output or failed so.
"""

from __future__ import annotations

import contextlib
import os
import re
import select
import threading
from pathlib import Path

_PREFIX = "distcomp-"
_FRESH_S = 60.0
_CLOSE_TRIES = 50
_MOST_BYTES = 4096
_LEVELS = 100
"""Uses of the node's memory at whose crossing the kernel tells: one for each percent."""
_CACHE = re.compile(rb"^total_inactive_file (\d+)", re.MULTILINE)


def remove_unused(parent: Path, made_before_s: float) -> None:
    """Remove the fences that killed workers left. One in use has a thread of its worker in it, so it stays.

    Args:
        parent: the cgroup that the workers were in.
        made_before_s: since 1970; into one that is newer its worker's thread may be about to go.
    """
    for folder in parent.glob(f"{_PREFIX}*"):
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
        self._folder = folder
        self._descriptors: list[int] = []
        self._is_closing = False
        self._thread: threading.Thread | None = None
        folder.mkdir(exist_ok=True)
        try:
            # What an earlier version may have left.
            (folder / "memory.oom_control").write_text("0")
            self._limit = self._open("memory.limit_in_bytes", os.O_RDWR)
            self._usage = self._open("memory.usage_in_bytes", os.O_RDONLY)
            self._stat = self._open("memory.stat", os.O_RDONLY)
            self._control = self._open("cgroup.event_control", os.O_WRONLY)
        except OSError:
            self.close()
            raise
        self.event = os.eventfd(0, os.EFD_CLOEXEC | os.EFD_NONBLOCK)
        self._descriptors.append(self.event)
        self._thread = threading.Thread(target=self._set_levels, args=(total_bytes,), name="fence", daemon=True)
        self._thread.start()

    @classmethod
    def build(cls, parent: Path, name: str, total_bytes: int, now_s: float) -> FenceV1:
        """A fence below the cgroup that this process is in. Raises OSError: it cannot be made."""
        remove_unused(parent, made_before_s=now_s - _FRESH_S)
        return cls(parent / f"{_PREFIX}{name}", total_bytes)

    def add_thread(self, thread_id: int) -> None:
        """From now on, what this thread starts is born inside; what it allocates itself is not counted.

        Raises:
            OSError: it cannot be moved.
        """
        (self._folder / "tasks").write_text(str(thread_id))

    def take_in(self, pid: int) -> None:
        """It was born inside."""

    def is_stalled(self) -> bool:
        """Nobody waits here: the kernel kills."""
        return False

    def used_bytes(self) -> int:
        """What the attempts use together, but for the page cache that is given back on demand."""
        cache = _CACHE.search(os.pread(self._stat, _MOST_BYTES, 0))
        return self._charged_bytes() - (int(cache[1]) if cache else 0)

    def set_limit(self, limit_bytes: int) -> None:
        """Move the fence. Not below what is used: the kernel would look for it, page by page, while we wait."""
        limit_bytes = max(limit_bytes, self._charged_bytes())
        with contextlib.suppress(OSError):
            os.pwrite(self._limit, b"%d" % limit_bytes, 0)

    def note_event(self) -> None:
        """Make `event` ready for the next one."""
        with contextlib.suppress(BlockingIOError):
            os.eventfd_read(self.event)

    def _charged_bytes(self) -> int:
        return int(os.pread(self._usage, 64, 0))

    def _set_levels(self, total_bytes: int) -> None:
        """From the top: what matters most first."""
        for level in range(_LEVELS, 0, -1):
            if self._is_closing:
                return
            with contextlib.suppress(OSError):
                os.write(self._control, f"{self.event} {self._usage} {total_bytes * level // _LEVELS}".encode())

    def close(self) -> None:
        """Remove the cgroup. No process may be in it any more; else it stays, for the next worker of this name."""
        self._is_closing = True
        if self._thread is not None:
            self._thread.join()
        for descriptor in self._descriptors:
            os.close(descriptor)
        self._descriptors = []
        # A thread that has been joined is on its way out for a moment longer.
        for _ in range(_CLOSE_TRIES):
            try:
                self._folder.rmdir()
            except FileNotFoundError:
                return
            except OSError:
                select.select([], [], [], 0.01)
            else:
                return

    def _open(self, name: str, flags: int) -> int:
        self._descriptors.append(os.open(self._folder / name, flags | os.O_CLOEXEC))
        return self._descriptors[-1]
