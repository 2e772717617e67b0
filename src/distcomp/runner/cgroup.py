"""What the fences of both versions of cgroups do alike: files that stay open, memory in use, and the end."""

from __future__ import annotations

import os
import re
import select
from pathlib import Path

PREFIX = "distcomp-"
"""Of the names of all fences."""
FRESH_S = 60.0
"""What is younger may be another worker's that has just made it."""
_CLOSE_TRIES = 50
_MOST_BYTES = 2**14


class Cgroup:
    """A cgroup of our own.

    Args:
        usage: the file that says what is charged to it.
        cache_key: what memory.stat calls page cache that is given back on demand.
    """

    def __init__(self, folder: Path, usage: str, cache_key: str) -> None:
        self.folder = folder
        self._usage_name, self._cache = usage, re.compile(rf"^{cache_key} (\d+)".encode(), re.MULTILINE)
        self._descriptors: list[int] = []
        folder.mkdir(exist_ok=True)

    def open_memory(self) -> None:
        """Open what `used_bytes` and `charged_bytes` read. Raises OSError: memory is not counted here."""
        self.usage_fd = self.open(self._usage_name, os.O_RDONLY)
        self._stat_fd = self.open("memory.stat", os.O_RDONLY)

    def open(self, name: str, flags: int) -> int:
        """A descriptor of a file in it ("": of itself), until `close`."""
        return self.keep(os.open(self.folder / name, flags | os.O_CLOEXEC))

    def keep(self, descriptor: int) -> int:
        """Close this one with the others."""
        self._descriptors.append(descriptor)
        return descriptor

    def charged_bytes(self) -> int:
        """Memory in use, page cache included."""
        return int(os.pread(self.usage_fd, 64, 0))

    def used_bytes(self) -> int:
        """Memory in use, but for the page cache that is given back on demand."""
        cache = self._cache.search(os.pread(self._stat_fd, _MOST_BYTES, 0))
        return self.charged_bytes() - (int(cache[1]) if cache else 0)

    def close(self) -> None:
        """Close the descriptors; the cgroup stays."""
        for descriptor in self._descriptors:
            os.close(descriptor)
        self._descriptors = []

    def remove(self) -> None:
        """Remove it once nobody is in it: a thread that was joined, and who was killed, are so for a moment longer."""
        for _ in range(_CLOSE_TRIES):
            try:
                self.folder.rmdir()
            except FileNotFoundError:
                return
            except OSError:
                select.select([], [], [], 0.01)
            else:
                return
