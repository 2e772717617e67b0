"""The files that attempts print into: two per slot, opened once and used again.

An attempt that prints nothing costs two lseeks here. Files that some process may still hold, or that became an
attempt's kept output, are never used again: the slot gets new ones.
"""

from __future__ import annotations

import heapq
import os
from pathlib import Path
from typing import NamedTuple

from distcomp.runner.spawn import Descriptors


class Slot(NamedTuple):
    """A place for one attempt at a time. The files append, wherever their offset is."""

    number: int
    stdout_fd: int
    stderr_fd: int
    files: Descriptors


class SlotFiles:
    """Makes slots and takes them back. The folder is emptied first: what is in it is a dead worker's."""

    def __init__(self, folder: Path) -> None:
        """Raises OSError: the folder cannot be made or emptied."""
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        for left in folder.iterdir():
            left.unlink()
        self._folder = folder
        self._null_fd = os.open(os.devnull, os.O_RDONLY | os.O_CLOEXEC)
        self._free: list[Slot] = []
        self._free_numbers: list[int] = []
        self._made = 0

    def take(self) -> Slot:
        """A free slot with empty files.

        Raises:
            OSError: no descriptor or no disk is left for another one.
        """
        return self._free.pop() if self._free else self._make()

    def give_back(self, slot: Slot, *, is_empty: bool) -> None:
        """The attempt is over and no process holds the files."""
        if not is_empty:
            for fd in (slot.stdout_fd, slot.stderr_fd):
                os.ftruncate(fd, 0)
                # Programs ask for the offset to know whether they are the first to print.
                os.lseek(fd, 0, os.SEEK_SET)
        self._free.append(slot)

    def detach(self, slot: Slot) -> None:
        """The files are the caller's from now on, to close; they have no names any more."""
        stdout_path, stderr_path = slot_paths(self._folder, slot.number)
        stdout_path.unlink(missing_ok=True)
        stderr_path.unlink(missing_ok=True)
        heapq.heappush(self._free_numbers, slot.number)

    def discard(self, slot: Slot) -> None:
        """Throw the files away: a process may still write to them."""
        self.detach(slot)
        os.close(slot.stdout_fd)
        os.close(slot.stderr_fd)

    def close(self) -> None:
        """Remove the files of free slots."""
        while self._free:
            self.discard(self._free.pop())
        os.close(self._null_fd)

    def _make(self) -> Slot:
        number = heapq.heappop(self._free_numbers) if self._free_numbers else self._made
        stdout_path, stderr_path = slot_paths(self._folder, number)
        try:
            stdout_fd = _open_new(stdout_path)
            try:
                stderr_fd = _open_new(stderr_path)
            except OSError:
                os.close(stdout_fd)
                raise
        except OSError:
            if number < self._made:
                heapq.heappush(self._free_numbers, number)
            raise
        self._made = max(self._made, number + 1)
        return Slot(number, stdout_fd, stderr_fd, Descriptors((self._null_fd, stdout_fd, stderr_fd)))


def slot_paths(folder: Path, number: int) -> tuple[Path, Path]:
    """Where a slot's stdout and stderr are, below the folder of running attempts' files."""
    return folder / f"{number}.out", folder / f"{number}.err"


def _open_new(path: Path) -> int:
    # What has the name is what a making of both files left when it failed half-way.
    path.unlink(missing_ok=True)
    return os.open(path, os.O_RDWR | os.O_APPEND | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
