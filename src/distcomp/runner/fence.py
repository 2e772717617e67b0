"""A fence around the attempts' memory: who runs into it waits for the worker, instead of being killed by the kernel.

No look is quick enough for a task that takes a gigabyte in 20 ms. Where the worker may make a memory cgroup
(version 1, as root), all its attempts go into one whose limit leaves the node's reserve alone, and whose OOM killer
is off: an allocation beyond the limit then sleeps, the worker is woken, and chooses who goes back. SIGKILL still
works on those who sleep.
"""

from __future__ import annotations

import contextlib
import os
import re
from pathlib import Path

_MOST_BYTES = 4096
_CACHE = re.compile(rb"^total_inactive_file (\d+)", re.MULTILINE)


class Fence:
    """The cgroup of a worker's attempts. Made by `build`."""

    def __init__(self, folder: Path) -> None:
        """Raises OSError: it cannot be made, or cannot do what a fence must."""
        self._folder = folder
        self._descriptors: list[int] = []
        folder.mkdir(exist_ok=True)
        try:
            self._control = self._open("memory.oom_control", os.O_RDWR)
            os.write(self._control, b"1")
            self._procs = self._open("cgroup.procs", os.O_WRONLY)
            self._limit = self._open("memory.limit_in_bytes", os.O_RDWR)
            self._usage = self._open("memory.usage_in_bytes", os.O_RDONLY)
            self._stat = self._open("memory.stat", os.O_RDONLY)
            self.event = os.eventfd(0, os.EFD_CLOEXEC | os.EFD_NONBLOCK)
            self._descriptors.append(self.event)
            (folder / "cgroup.event_control").write_text(f"{self.event} {self._control}")
        except OSError:
            self.close()
            raise

    @classmethod
    def build(cls, name: str, proc: Path = Path("/proc"), cgroups: Path = Path("/sys/fs/cgroup")) -> Fence | None:
        """A fence below the cgroup that this process is in; None where none can be made.

        Args:
            name: unlike that of all other workers on the machine; what a killed worker left is used again.
            proc: where /proc is.
            cgroups: where cgroups are mounted.
        """
        for line in (proc / "self" / "cgroup").read_text().splitlines():
            _, controllers, path = line.split(":", 2)
            if "memory" in controllers.split(","):
                with contextlib.suppress(OSError):
                    return cls(cgroups / "memory" / path.strip("/") / f"distcomp-{name}")
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

    def set_limit(self, limit_bytes: int) -> None:
        """Move the fence. Below what is used it goes as far down as what can be reclaimed allows."""
        with contextlib.suppress(OSError):
            os.pwrite(self._limit, b"%d" % limit_bytes, 0)

    def is_reached(self) -> bool:
        """Does an attempt wait for memory? Also forgets the events up to now."""
        with contextlib.suppress(BlockingIOError):
            os.eventfd_read(self.event)
        return b"under_oom 1" in os.pread(self._control, _MOST_BYTES, 0)

    def close(self) -> None:
        """Remove the cgroup. No process may be in it any more; else it stays, for the next worker of this name."""
        for descriptor in self._descriptors:
            os.close(descriptor)
        self._descriptors = []
        with contextlib.suppress(OSError):
            self._folder.rmdir()

    def _open(self, name: str, flags: int) -> int:
        self._descriptors.append(os.open(self._folder / name, flags | os.O_CLOEXEC))
        return self._descriptors[-1]
