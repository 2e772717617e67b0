"""Who runs in which slot: a small mapped file that other processes, and the next worker, can read.

`distcomp logs --follow` finds the files of a running attempt with it, and a new worker the sessions that
a killed one left. A record is written in a tenth of a microsecond, as it is memory.
"""

from __future__ import annotations

import contextlib
import mmap
import os
import struct
from pathlib import Path
from typing import NamedTuple

_MAGIC = b"DCSLOTS1"
_HEADER_BYTES = 64
_RECORD = struct.Struct("<IIQQ40s")
_SLOTS_AT_FIRST = 63


class SlotRecord(NamedTuple):
    """An attempt that runs, or ran when its worker was killed.

    `start_ticks` is the process's start as in field 22 of /proc/PID/stat; with `pid` it tells a process from all others
    since the machine's start.
    """

    slot: int
    pid: int
    task_id: str
    attempt: int
    started_at_ms: int
    start_ticks: int


class SlotTable:
    """The worker's side: writes the file, which starts empty."""

    def __init__(self, path: Path) -> None:
        """Raises OSError: the file cannot be made, or the disk is full."""
        path.unlink(missing_ok=True)
        self._fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        self._bytes = 0
        self._map = self._grow(_SLOTS_AT_FIRST)
        self._map[: len(_MAGIC)] = _MAGIC

    def enter(self, record: SlotRecord) -> None:
        """Say who runs in a slot. OSError: the disk is too full for a longer table."""
        start = _start(record.slot)
        if start + _RECORD.size > self._bytes:
            old, self._map = self._map, self._grow(record.slot)
            old.close()
        _, pid, task_id, attempt, started_at_ms, start_ticks = record
        _RECORD.pack_into(self._map, start, pid, attempt, started_at_ms, start_ticks, task_id.encode())

    def clear(self, slot: int) -> None:
        """Nobody runs in the slot any more."""
        start = _start(slot)
        self._map[start : start + 4] = b"\0\0\0\0"

    def close(self) -> None:
        """Close the file; it stays."""
        self._map.close()
        os.close(self._fd)

    def _grow(self, slot: int) -> mmap.mmap:
        length = max(2 * self._bytes, _start(slot + 1))
        # Blocks first: touching a mapped page that a full disk has no block for is a SIGBUS.
        os.posix_fallocate(self._fd, 0, length)
        self._bytes = length
        return mmap.mmap(self._fd, length)


def read_slots(content: bytes) -> list[SlotRecord]:
    """The attempts in a table's bytes; none if it is not one.

    Read twice and compare if it matters: a record may be half-written in one reading.
    """
    if not content.startswith(_MAGIC):
        return []
    slots = (len(content) - _HEADER_BYTES) // _RECORD.size
    records = []
    for slot in range(slots):
        pid, attempt, started_at_ms, start_ticks, task_id = _RECORD.unpack_from(content, _start(slot))
        with contextlib.suppress(UnicodeDecodeError):
            if pid:
                name = task_id.rstrip(b"\0").decode()
                records.append(SlotRecord(slot, pid, name, attempt, started_at_ms, start_ticks))
    return records


def _start(slot: int) -> int:
    return _HEADER_BYTES + slot * _RECORD.size
