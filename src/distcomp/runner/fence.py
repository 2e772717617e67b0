"""A fence around the attempts' memory: they have a limit of their own, and near it the worker is woken.

No look is quick enough for a task that takes a gigabyte in 20 ms. Where the worker may make a memory cgroup (version
1, as root), all its attempts are in one whose limit leaves the node's reserve alone. Short of the limit the kernel
wakes the worker, which chooses who goes back. Who is quicker than that meets the limit, and there the kernel's killer
finds attempts only, the newest first: never the worker, the store or anybody else on the node.

The killer stays on. Without it (oom_kill_disable) page faults would wait for the worker, but reads and writes would
fail with ENOMEM: measured, 3 of 200 programs under pressure lost their output or failed so.
"""

from __future__ import annotations

import contextlib
import os
import re
import select
from pathlib import Path

_PREFIX = "distcomp-"
_FRESH_S = 60.0
_CLOSE_TRIES = 50
_MOST_BYTES = 4096
_STEPS = 200
"""The warning moves with the limit in steps of half a percent."""
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


class Fence:
    """The cgroup of a worker's attempts. Made by `build`."""

    def __init__(self, folder: Path) -> None:
        """Raises OSError: it cannot be made, or cannot do what a fence must."""
        self._folder = folder
        self._descriptors: list[int] = []
        self.event = -1
        self._warn_bytes = 0
        folder.mkdir(exist_ok=True)
        try:
            # What an earlier version may have left.
            (folder / "memory.oom_control").write_text("0")
            self._procs = self._open("cgroup.procs", os.O_WRONLY)
            self._limit = self._open("memory.limit_in_bytes", os.O_RDWR)
            self._usage = self._open("memory.usage_in_bytes", os.O_RDONLY)
            self._stat = self._open("memory.stat", os.O_RDONLY)
            self.event = os.eventfd(0, os.EFD_CLOEXEC | os.EFD_NONBLOCK)
        except OSError:
            self.close()
            raise

    @classmethod
    def build(
        cls, name: str, now_s: float, proc: Path = Path("/proc"), cgroups: Path = Path("/sys/fs/cgroup")
    ) -> Fence | None:
        """A fence below the cgroup that this process is in; None where none can be made.

        Args:
            name: unlike that of all other workers on the machine; what a killed worker left is used again.
            now_s: since 1970.
            proc: where /proc is.
            cgroups: where cgroups are mounted.
        """
        for line in (proc / "self" / "cgroup").read_text().splitlines():
            _, controllers, path = line.split(":", 2)
            if "memory" in controllers.split(","):
                parent = cgroups / "memory" / path.strip("/")
                remove_unused(parent, made_before_s=now_s - _FRESH_S)
                with contextlib.suppress(OSError):
                    return cls(parent / f"{_PREFIX}{name}")
        return None

    def add(self, pid: int) -> bool:
        """Put a process in, and what it will start. False: it is gone already."""
        try:
            os.write(self._procs, b"%d" % pid)
        except ProcessLookupError:
            return False
        return True

    def add_thread(self, thread_id: int) -> None:
        """From now on, what this thread starts is born inside; what it allocates itself is not counted.

        Raises:
            OSError: it cannot be moved.
        """
        (self._folder / "tasks").write_text(str(thread_id))

    def used_bytes(self) -> int:
        """What the attempts use together, but for the page cache that is given back on demand."""
        cache = _CACHE.search(os.pread(self._stat, _MOST_BYTES, 0))
        return int(os.pread(self._usage, 64, 0)) - (int(cache[1]) if cache else 0)

    def set_limit(self, limit_bytes: int, warn_bytes: int) -> None:
        """Move the fence. Not below what is used: the kernel would look for it, page by page, while we wait.

        Args:
            warn_bytes: `event` can be read when so much is used, page cache included.
        """
        limit_bytes = max(limit_bytes, int(os.pread(self._usage, 64, 0)))
        with contextlib.suppress(OSError):
            os.pwrite(self._limit, b"%d" % limit_bytes, 0)
        if abs(warn_bytes - self._warn_bytes) > limit_bytes // _STEPS:
            self._warn_at(warn_bytes)

    def is_near(self) -> bool:
        """Has the warning come since the last call?"""
        try:
            return os.eventfd_read(self.event) > 0
        except BlockingIOError:
            return False

    def _warn_at(self, warn_bytes: int) -> None:
        """A warning stays as long as its descriptor; `event` keeps its number, so that it can be watched for ever."""
        fresh = os.eventfd(0, os.EFD_CLOEXEC | os.EFD_NONBLOCK)
        os.dup2(fresh, self.event, inheritable=False)
        os.close(fresh)
        with contextlib.suppress(OSError):
            (self._folder / "cgroup.event_control").write_text(f"{self.event} {self._usage} {warn_bytes}")
            self._warn_bytes = warn_bytes

    def close(self) -> None:
        """Remove the cgroup. No process may be in it any more; else it stays, for the next worker of this name."""
        for descriptor in self._descriptors:
            os.close(descriptor)
        self._descriptors = []
        if self.event >= 0:
            os.close(self.event)
            self.event = -1
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
