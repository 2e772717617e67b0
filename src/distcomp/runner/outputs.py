"""Where what attempts printed goes after their end: small ones into packs, large ones compressed in a thread.

Everything that goes wrong here costs the output and never the attempt: the reason stands in `output_lost`.
"""

from __future__ import annotations

import errno
import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from distcomp.model import OutputPlace
from distcomp.runner.aside import Aside
from distcomp.runner.cutting import cut_bytes, kept
from distcomp.runner.limits import RunnerLimits
from distcomp.runner.packs import PackWriter

LARGE = "large"
_PART_SUFFIX = ".part"
_MOST_WAITING = 8
"""Large outputs that wait for the thread. The next is compressed while the worker waits: that bounds the disk used."""


class Printed(NamedTuple):
    """What an attempt printed: two open files, and how much is in them."""

    stdout_fd: int
    stderr_fd: int
    stdout_bytes: int
    stderr_bytes: int

    @property
    def is_empty(self) -> bool:
        """It printed nothing."""
        return not self.stdout_bytes and not self.stderr_bytes

    def is_large(self, limits: RunnerLimits) -> bool:
        """Too large for a pack, even after the cut."""
        kept_bytes = sum(min(size, limits.output_limit_bytes) for size in (self.stdout_bytes, self.stderr_bytes))
        return kept_bytes > limits.compress_above_bytes


class Stored(NamedTuple):
    """Where the output is, or why it is nowhere."""

    place: OutputPlace | None = None
    lost: str = ""


@dataclass(frozen=True, slots=True)
class _Job:
    task_id: str
    attempt: int
    printed: Printed
    limit_bytes: int


class Outputs:
    """Stores outputs below one folder.

    Args:
        folder: is made if it is missing.
        started_at_ms: of the worker.
        aside: where large outputs are compressed.
    """

    def __init__(self, folder: Path, started_at_ms: int, aside: Aside) -> None:
        """Raises OSError: the folder cannot be made."""
        self._folder = folder
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._remove_parts()
        self._packs = PackWriter(folder, started_at_ms)
        self._aside = aside

    def store_small(self, task_id: str, attempt: int, printed: Printed, limits: RunnerLimits) -> Stored:
        """Keep a small output, at once. The files stay the caller's."""
        limit_bytes = limits.output_limit_bytes
        try:
            stdout = b"".join(kept(printed.stdout_fd, printed.stdout_bytes, limit_bytes))
            stderr = b"".join(kept(printed.stderr_fd, printed.stderr_bytes, limit_bytes))
            offset = self._packs.append(task_id, attempt, stdout, stderr, limits.pack_bytes)
        except OSError as error:
            return Stored(lost=_why_lost(error))
        place = OutputPlace(
            file=self._packs.name,
            offset_bytes=offset,
            stdout_bytes=len(stdout),
            stderr_bytes=len(stderr),
            stdout_cut_bytes=cut_bytes(printed.stdout_bytes, limit_bytes),
            stderr_cut_bytes=cut_bytes(printed.stderr_bytes, limit_bytes),
        )
        return Stored(place)

    def store_large(
        self, task_id: str, attempt: int, printed: Printed, limits: RunnerLimits, then: Callable[[Stored], None]
    ) -> None:
        """Compress a large output. Its files are ours from now on; `then` is called when it is done."""
        job = _Job(task_id, attempt, printed, limits.output_limit_bytes)
        if self._aside.unfinished >= _MOST_WAITING:
            then(self._compress(job))
        else:
            self._aside.put(lambda: self._compress(job), then)

    def close(self) -> None:
        """Close the files, once nothing is left to be compressed."""
        self._packs.close()

    def _compress(self, job: _Job) -> Stored:
        name = f"{job.task_id}.{job.attempt}.zst"
        # 256 folders: a million files in one make some file systems, and everybody's ls, slow.
        place = Path(LARGE, job.task_id[:2], name)
        part = self._folder / f"{name}{_PART_SUFFIX}"
        try:
            stored = _write_compressed(job, str(place), part)
            (self._folder / place).parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            part.rename(self._folder / place)
        except OSError as error:
            part.unlink(missing_ok=True)
            return Stored(lost=_why_lost(error))
        finally:
            os.close(job.printed.stdout_fd)
            os.close(job.printed.stderr_fd)
        return Stored(stored)

    def _remove_parts(self) -> None:
        """What a killed worker was at; its attempt will be run again."""
        for part in self._folder.glob(f"*{_PART_SUFFIX}"):
            part.unlink()


def _write_compressed(job: _Job, name: str, path: Path) -> OutputPlace:
    """Two frames, stdout and stderr; `offset_bytes` is where the second begins."""
    printed = job.printed
    with path.open("wb") as file:
        stdout_bytes = _compress_stream(file.fileno(), printed.stdout_fd, printed.stdout_bytes, job.limit_bytes)
        middle = os.lseek(file.fileno(), 0, os.SEEK_CUR)
        stderr_bytes = _compress_stream(file.fileno(), printed.stderr_fd, printed.stderr_bytes, job.limit_bytes)
    return OutputPlace(
        file=name,
        offset_bytes=middle,
        stdout_bytes=stdout_bytes,
        stderr_bytes=stderr_bytes,
        is_compressed=True,
        stdout_cut_bytes=cut_bytes(printed.stdout_bytes, job.limit_bytes),
        stderr_cut_bytes=cut_bytes(printed.stderr_bytes, job.limit_bytes),
    )


def _compress_stream(to_fd: int, from_fd: int, size_bytes: int, limit_bytes: int) -> int:
    """Add one frame; how many bytes went into it."""
    from zstandard import ZstdCompressor  # Here, as most workers never see a large output.

    compressor = ZstdCompressor(level=3).compressobj()
    length = 0
    for piece in kept(from_fd, size_bytes, limit_bytes):
        length += len(piece)
        _write(to_fd, compressor.compress(piece))
    _write(to_fd, compressor.flush())
    return length


def _write(fd: int, content: bytes) -> None:
    while content:
        content = content[os.write(fd, content) :]


def _why_lost(error: OSError) -> str:
    what = "disk full" if error.errno in (errno.ENOSPC, errno.EDQUOT) else "cannot be written"
    return f"{what}: {error.strerror or error}"
