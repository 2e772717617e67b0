"""The limit on what an attempt prints: the middle goes, the first and the last half of the limit stay."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator

from distcomp.runner.kernel import punch_hole

_CHUNK_BYTES = 2**20


def cut_bytes(size_bytes: int, limit_bytes: int) -> int:
    """How much of so long an output goes."""
    return max(0, size_bytes - limit_bytes)


def kept(fd: int, size_bytes: int, limit_bytes: int) -> Iterator[bytes]:
    """What stays of a file, in pieces, with a line in place of what is cut.

    Raises:
        OSError: the file cannot be read.
    """
    cut = cut_bytes(size_bytes, limit_bytes)
    if not cut:
        yield from _read(fd, 0, size_bytes)
        return
    head = limit_bytes // 2
    yield from _read(fd, 0, head)
    yield f"\n... distcomp cut {cut} bytes ...\n".encode()
    yield from _read(fd, head + cut, size_bytes)


def free_middle(fd: int, size_bytes: int, limit_bytes: int) -> None:
    """Give the disk back what will be cut of a file that still grows, if its file system can."""
    with contextlib.suppress(OSError):
        punch_hole(fd, limit_bytes // 2, cut_bytes(size_bytes, limit_bytes))


def _read(fd: int, start: int, end: int) -> Iterator[bytes]:
    while start < end:
        chunk = os.pread(fd, min(_CHUNK_BYTES, end - start), start)
        if not chunk:
            return  # The task made its file shorter meanwhile.
        yield chunk
        start += len(chunk)
