"""Pack files: the small outputs of thousands of attempts in one file, one frame after the other.

A frame is a header, the task's id, stdout, stderr. It is written by one call at the end of the file. Each header has a
checksum, so that the frames can be found again from the file alone, and a torn one at the end is told from a whole one.
"""

from __future__ import annotations

import os
import struct
import zlib
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import NamedTuple

# magic, length of the id, attempt, length of stdout, length of stderr; then the checksum of these and the id
_HEADER = struct.Struct("<4sHIII")
_CHECKSUM = struct.Struct("<I")
_MAGIC = b"DCO1"


class Frame(NamedTuple):
    """Where an attempt's output lies in a pack."""

    task_id: str
    attempt: int
    stdout_start: int
    stdout_bytes: int
    stderr_bytes: int

    @property
    def end(self) -> int:
        """Where the next frame starts."""
        return self.stdout_start + self.stdout_bytes + self.stderr_bytes


class PackWriter:
    """Appends to the newest pack of this worker; makes the file with the first output.

    Args:
        folder: of the packs; must exist.
        started_at_ms: part of the names, so that each worker has its own.
    """

    def __init__(self, folder: Path, started_at_ms: int) -> None:
        self._folder = folder
        self._stem = datetime.fromtimestamp(started_at_ms / 1000, UTC).strftime("%Y%m%dT%H%M%SZ")
        self._number = 0
        self._fd: int | None = None
        self._end = 0
        self.name = ""

    def append(self, task_id: str, attempt: int, stdout: bytes, stderr: bytes, pack_bytes: int) -> int:
        """Add an output; the offset of its frame in the file `name`. A file beyond `pack_bytes` is left for a new one.

        Raises:
            OSError: it could not be written whole (a full disk); the file is as before.
        """
        if self._fd is None or self._end >= pack_bytes:
            self._open_next()
        assert self._fd is not None
        name = task_id.encode()
        header = _HEADER.pack(_MAGIC, len(name), attempt, len(stdout), len(stderr)) + name
        parts = [header + _CHECKSUM.pack(zlib.crc32(header)), stdout, stderr]
        start = self._end
        try:
            self._end += _write_all(self._fd, parts)
        except OSError:
            os.ftruncate(self._fd, start)
            raise
        return start

    def close(self) -> None:
        """Close the file."""
        if self._fd is not None:
            os.close(self._fd)
            self._fd = None

    def _open_next(self) -> None:
        self.close()
        while self._fd is None:
            self._number += 1
            name = f"{self._stem}-{self._number:04}.pack"
            try:
                self._fd = os.open(
                    self._folder / name, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600
                )
            except FileExistsError:
                continue  # A worker that started in the same second, or before the clock was set back.
            self.name, self._end = name, 0


def read_frame(fd: int, start: int) -> Frame | None:
    """The frame at an offset; None if none is there, or not all of it."""
    head = os.pread(fd, _HEADER.size, start)
    if len(head) < _HEADER.size:
        return None
    magic, name_bytes, attempt, stdout_bytes, stderr_bytes = _HEADER.unpack(head)
    rest = os.pread(fd, name_bytes + _CHECKSUM.size, start + _HEADER.size)
    if magic != _MAGIC or len(rest) < name_bytes + _CHECKSUM.size:
        return None
    name, (checksum,) = rest[:name_bytes], _CHECKSUM.unpack(rest[name_bytes:])
    if checksum != zlib.crc32(head + name):
        return None
    stdout_start = start + _HEADER.size + name_bytes + _CHECKSUM.size
    return Frame(name.decode(), attempt, stdout_start, stdout_bytes, stderr_bytes)


def frames(path: Path) -> Iterator[Frame]:
    """All whole frames of a pack, in order: what is needed to find outputs without the store.

    Raises:
        OSError: the file cannot be read.
    """
    with path.open("rb") as pack:
        size_bytes = os.fstat(pack.fileno()).st_size
        start = 0
        while (frame := read_frame(pack.fileno(), start)) is not None and frame.end <= size_bytes:
            yield frame
            start = frame.end


def _write_all(fd: int, parts: list[bytes]) -> int:
    """Write the parts one after the other; their length together."""
    length = sum(map(len, parts))
    written = os.writev(fd, parts)
    if written < length:
        # The disk is almost full, or a signal came: the rest, or the reason why not.
        rest = memoryview(b"".join(parts))
        while written < length:
            written += os.write(fd, rest[written:])
    return length
