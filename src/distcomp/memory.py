"""What memory the node has, for a worker that may be in a container or a batch allocation.

The kernel's own numbers tell of the whole machine. Each cgroup above the worker, of version 1 or 2, may allow less;
the tightest one counts. Page cache is free in both views, as the kernel gives it back on demand.
"""

from __future__ import annotations

import contextlib
import os
import re
from pathlib import Path
from typing import NamedTuple

from distcomp.model import NodeMemory

_TOTAL = re.compile(rb"MemTotal:\s*(\d+) kB")
# MemAvailable, not MemFree: page cache is given back on demand, so MemFree is near zero on any busy node.
_AVAILABLE = re.compile(rb"MemAvailable:\s*(\d+) kB")
_MOST_BYTES = 2**16


class _Names(NamedTuple):
    """What a version of cgroups calls its files, below the folder where it is mounted."""

    mount: str
    limits: tuple[str, ...]
    usage: str
    cache_key: bytes


# Inactive file pages, not all of them: what the kernel would reclaim without slowing down those who use them.
_V1 = _Names("memory", ("memory.limit_in_bytes",), "memory.usage_in_bytes", b"total_inactive_file ")
_V2 = _Names("", ("memory.max", "memory.high"), "memory.current", b"inactive_file ")


class NodeMemoryReader:
    """Reads the node's memory again and again, at the cost of a few reads of files that stay open.

    Args:
        proc: where /proc is.
        cgroups: where cgroups are mounted; version 1 is looked for in the folder `memory` of it.
    """

    def __init__(self, proc: Path = Path("/proc"), cgroups: Path = Path("/sys/fs/cgroup")) -> None:
        """Raises OSError: there is no such /proc."""
        self._meminfo_fd = os.open(proc / "meminfo", os.O_RDONLY | os.O_CLOEXEC)
        self._proc, self._cgroups = proc, cgroups
        self._levels = _open_levels(proc, cgroups)

    def read(self) -> NodeMemory:
        """What the node has in all, and what it has left. Limits may change from one call to the next."""
        try:
            return self._read()
        except OSError:
            # Our cgroup was removed, so we are in another one by now.
            self._close_levels()
            self._levels = _open_levels(self._proc, self._cgroups)
            return self._read()

    def close(self) -> None:
        """Close the files."""
        os.close(self._meminfo_fd)
        self._close_levels()

    def _read(self) -> NodeMemory:
        meminfo = os.pread(self._meminfo_fd, _MOST_BYTES, 0)
        total_bytes = whole_bytes = _kib(_TOTAL, meminfo)
        available_bytes = _kib(_AVAILABLE, meminfo)
        for level in self._levels:
            limit_bytes = level.limit_bytes()
            # Larger than the machine is how version 1 says that there is none.
            if limit_bytes is not None and limit_bytes < whole_bytes:
                total_bytes = min(total_bytes, limit_bytes)
                available_bytes = min(available_bytes, max(0, limit_bytes - level.used_bytes()))
        return NodeMemory(total_bytes, available_bytes)

    def _close_levels(self) -> None:
        for level in self._levels:
            level.close()


class _Level:
    """A cgroup that the worker is in, or one above that."""

    def __init__(self, folder: Path, names: _Names) -> None:
        """Raises FileNotFoundError: it does not limit memory, as the topmost one of version 2."""
        self._fds: list[int] = []
        try:
            *self._limit_fds, self._usage_fd, self._stat_fd = (
                self._open(folder / name) for name in (*names.limits, names.usage, "memory.stat")
            )
        except OSError:
            self.close()
            raise
        self._cache = re.compile(rb"^" + names.cache_key + rb"(\d+)", re.MULTILINE)

    def limit_bytes(self) -> int | None:
        """None if there is no limit."""
        limits = (os.pread(fd, 64, 0).strip() for fd in self._limit_fds)
        return min((int(limit) for limit in limits if limit != b"max"), default=None)

    def used_bytes(self) -> int:
        """What is not given back on demand."""
        used_bytes = int(os.pread(self._usage_fd, 64, 0))
        match = self._cache.search(os.pread(self._stat_fd, _MOST_BYTES, 0))
        return used_bytes - (int(match[1]) if match else 0)

    def close(self) -> None:
        """Close the files."""
        for fd in self._fds:
            os.close(fd)

    def _open(self, path: Path) -> int:
        self._fds.append(os.open(path, os.O_RDONLY | os.O_CLOEXEC))
        return self._fds[-1]


def _open_levels(proc: Path, cgroups: Path) -> list[_Level]:
    """The cgroups that bound this process's memory, from the outermost inwards."""
    own = _own_cgroup((proc / "self" / "cgroup").read_text())
    if own is None:
        return []
    names, path = own
    levels = []
    folder = cgroups / names.mount
    # In a container, the path may be the one on the host, of which nothing is mounted here but the last folder,
    # in place of the topmost.
    for part in ("", *path.strip("/").split("/")):
        folder = folder / part
        with contextlib.suppress(FileNotFoundError):
            levels.append(_Level(folder, names))
    return levels


def _own_cgroup(text: str) -> tuple[_Names, str] | None:
    """Which version accounts for our memory, and where we are in it; from /proc/self/cgroup."""
    unified = None
    for line in text.splitlines():
        _, controllers, path = line.split(":", 2)
        if "memory" in controllers.split(","):
            return _V1, path
        if not controllers:
            unified = _V2, path
    return unified


def _kib(pattern: re.Pattern[bytes], meminfo: bytes) -> int:
    match = pattern.search(meminfo)
    return int(match[1]) * 1024 if match else 0
