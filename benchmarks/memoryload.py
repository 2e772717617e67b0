"""A program whose memory follows a known curve, with real pages: memoryload.py SHAPE PEAK_BYTES SECONDS [SEED [LOG]].

It prints one line of JSON whose checksum is made from the pages themselves, so a page that was lost or mixed up shows.
Into LOG it writes when it starts and ends, from which others learn of attempts that did not come to an end.

The curve is a list of steps of 50 ms. A step lasts as long as its pages take to be written, if that is longer: like a
program that computes, it does not hurry afterwards.
"""

from __future__ import annotations

import mmap
import os
import sys
import time
import zlib

STEP_S = 0.05
PAGE_BYTES = 4096
CHILDREN = 3
READERS = 4
_MADV_POPULATE_WRITE = 23
_PIECE_BYTES = 2**21
PROGRESS = "MEMORYLOAD_PROGRESS"
"""The variable that names a file for the number of steps that are done: four bytes, the lowest first."""
SHAPES = ("flat", "ramp", "jump", "saw", "forked", "shared", "cache", "mmap")
_PATTERN = bytes(range(251)) * 64
"""One byte a page; 251 is prime, so no two neighbouring blocks of pages are alike."""


def plan(shape: str, seconds: float, seed: int = 0) -> list[float]:
    """The part of the peak that is held in each step."""
    steps = max(2, round(seconds / STEP_S))
    if shape in ("flat", "storm"):
        return [1.0] * steps
    if shape == "jump":
        jump = round(steps * (0.6 + seed % 31 / 100))
        return [0.2 if step < jump else 1.0 for step in range(steps)]
    if shape == "late":
        return [0.03 if step < steps * 0.85 else 1.0 for step in range(steps)]
    if shape == "saw":
        tooth = max(2, steps // (2 + seed % 3))
        return [0.4 + 0.6 * (step % tooth + 1) / tooth for step in range(steps)]
    return [(step + 1) / steps for step in range(steps)]


def levels(shape: str, peak_bytes: int, seconds: float, seed: int = 0) -> list[int]:
    """Pages of one process that are held in each step; a forked program has several such processes."""
    parts = CHILDREN if shape in ("forked", "storm") else 1
    pages = max(1, peak_bytes // PAGE_BYTES // parts)
    return [max(1, round(part * pages)) for part in plan(shape, seconds, seed)]


def line(shape: str, peak_bytes: int, seed: int, checksum: int) -> str:
    """What the program prints."""
    return f'{{"shape": "{shape}", "peak_bytes": {peak_bytes}, "seed": {seed}, "checksum": "{checksum:08x}"}}'


def expected_line(shape: str, peak_bytes: int, seconds: float, seed: int = 0) -> str:
    """What it must print; works it out without the memory."""
    checksum = 0
    held = 0
    for level in [*levels(shape, peak_bytes, seconds, seed), 0]:
        if level < held:
            checksum = _checksum_of_pattern(held, seed, checksum)
        held = level
    if shape in ("forked", "storm"):
        checksum = _join([checksum] * CHILDREN)
    return line(shape, peak_bytes, seed, checksum)


def _pattern(start: int, end: int, seed: int) -> bytes:
    """The bytes of pages `start` to `end`."""
    shift = (start + seed) % 251
    return (_PATTERN * ((end - start + shift) // len(_PATTERN) + 1))[shift : shift + end - start]


def _checksum_of_pattern(pages: int, seed: int, before: int) -> int:
    return zlib.crc32(_pattern(0, pages, seed), before)


def _join(checksums: list[int]) -> int:
    return zlib.crc32(b"".join(checksum.to_bytes(4, "big") for checksum in checksums))


class Pages:
    """Pages of a mapping that are held: always its first ones."""

    def __init__(self, memory: mmap.mmap, seed: int) -> None:
        self.memory, self._seed = memory, seed
        self.held, self.checksum = 0, 0

    def hold(self, pages: int) -> None:
        """Take or give back pages until it is so many. What is given back was read before."""
        if pages < self.held:
            read = self.memory[: self.held * PAGE_BYTES : PAGE_BYTES]
            self.checksum = zlib.crc32(read, self.checksum)
            self.memory.madvise(mmap.MADV_DONTNEED, pages * PAGE_BYTES, (self.held - pages) * PAGE_BYTES)
        elif pages > self.held:
            start_bytes, end_bytes = self.held * PAGE_BYTES, pages * PAGE_BYTES
            self._populate(start_bytes, end_bytes)
            self.memory[start_bytes:end_bytes:PAGE_BYTES] = _pattern(self.held, pages, self._seed)
        self.held = pages

    def _populate(self, start_bytes: int, end_bytes: int) -> None:
        """A fifth quicker than a fault for each page. Where it fails, as at a limit, the writes do the same.

        In pieces: a program's own faults are no single system call, in which no signal but KILL would reach it.
        """
        for at_bytes in range(start_bytes, end_bytes, _PIECE_BYTES):
            try:
                self.memory.madvise(_MADV_POPULATE_WRITE, at_bytes, min(_PIECE_BYTES, end_bytes - at_bytes))
            except OSError:
                return


def anonymous(pages: int, flags: int = mmap.MAP_PRIVATE) -> mmap.mmap:
    """Memory without a file."""
    return mmap.mmap(-1, pages * PAGE_BYTES, flags | mmap.MAP_ANONYMOUS)


def sparse_file(size_bytes: int) -> int:
    """A file without a name on disk, all holes: to read it fills the page cache and costs no disk."""
    fd = os.open(os.environ.get("TMPDIR", "/var/tmp"), os.O_TMPFILE | os.O_RDWR)
    os.ftruncate(fd, size_bytes)
    return fd


class Steps:
    """Lets each step last its time, and tells how many there were to whoever wants to know."""

    def __init__(self) -> None:
        self._began_s = time.monotonic()
        self._done = 0
        name = os.environ.get(PROGRESS)
        self._progress_fd = os.open(name, os.O_WRONLY) if name else -1

    def end(self) -> None:
        """Wait for the end of the step."""
        time.sleep(max(0.0, self._began_s + STEP_S - time.monotonic()))
        self._began_s = time.monotonic()
        self._done += 1
        if self._progress_fd >= 0:
            os.pwrite(self._progress_fd, self._done.to_bytes(4, "little"), 0)


def follow(pages: Pages, curve: list[int]) -> int:
    """Hold what the curve says, step by step; the checksum of it all."""
    steps = Steps()
    for level in curve:
        pages.hold(level)
        steps.end()
    pages.hold(0)
    return pages.checksum


def in_children(curve: list[int], seed: int) -> int:
    """As many processes as CHILDREN, each with the curve; this one only waits."""
    ends = []
    for _ in range(CHILDREN):
        read, write = os.pipe()
        if os.fork() == 0:
            checksum = follow(Pages(anonymous(max(curve)), seed), curve)
            os.write(write, checksum.to_bytes(4, "big"))
            os._exit(0)
        os.close(write)
        ends.append(read)
    replies = [os.read(read, 4) for read in ends]
    for _ in ends:
        os.wait()
    if b"" in replies:
        sys.exit("a child was killed")
    return _join([int.from_bytes(reply, "big") for reply in replies])


def with_readers(curve: list[int], seed: int) -> int:
    """Shared memory, written here and read by READERS children, so that each of these seems to have it all."""
    memory, written = anonymous(max(curve), mmap.MAP_SHARED), anonymous(1, mmap.MAP_SHARED)
    for _ in range(READERS):
        if os.fork() == 0:
            _read_along(memory, written, os.getppid())
    pages, steps = Pages(memory, seed), Steps()
    for level in curve:
        pages.hold(level)
        written[:8] = level.to_bytes(8, "little")
        steps.end()
    written[:8] = b"\xff" * 8
    for _ in range(READERS):
        if os.wait()[1]:
            sys.exit("a reader was killed")
    return zlib.crc32(memory[: pages.held * PAGE_BYTES : PAGE_BYTES])


def _read_along(memory: mmap.mmap, written: mmap.mmap, parent: int) -> None:
    """The life of a reader: what has been written, as soon as it is there."""
    seen = 0
    while os.getppid() == parent:
        level = int.from_bytes(written[:8], "little")
        if level >> 63:
            os._exit(0)
        if level > seen:
            assert memory[seen * PAGE_BYTES : level * PAGE_BYTES : PAGE_BYTES]
            seen = level
        time.sleep(STEP_S)
    os._exit(1)


def beside_cache(curve: list[int], seed: int) -> int:
    """Memory along the curve, and a file of the same size that is read meanwhile."""
    size_bytes = max(curve) * PAGE_BYTES
    fd, position, piece = sparse_file(size_bytes), 0, bytearray(2**20)
    # Read ahead into pieces of 2 MiB, it would be the zeroing that takes most of the time.
    os.posix_fadvise(fd, 0, 0, os.POSIX_FADV_RANDOM)
    pages, steps = Pages(anonymous(max(curve)), seed), Steps()
    for step, level in enumerate(curve):
        pages.hold(level)
        while position < size_bytes * (step + 1) // len(curve):
            os.preadv(fd, [piece], position)
            position += len(piece)
        steps.end()
    pages.hold(0)
    return pages.checksum


def of_a_file(curve: list[int], seed: int) -> int:
    """Private pages of a mapped file."""
    size_bytes = max(curve) * PAGE_BYTES
    fd = sparse_file(size_bytes)
    memory = mmap.mmap(fd, size_bytes, mmap.MAP_PRIVATE)
    # As above: page by page.
    memory.madvise(mmap.MADV_RANDOM)
    return follow(Pages(memory, seed), curve)


def run(shape: str, peak_bytes: int, seconds: float, seed: int) -> int:
    """Do what the shape says; the checksum."""
    curve = levels(shape, peak_bytes, seconds, seed)
    if shape in ("forked", "storm"):
        return in_children(curve, seed)
    if shape == "shared":
        return with_readers(curve, seed)
    if shape == "cache":
        return beside_cache(curve, seed)
    if shape == "mmap":
        return of_a_file(curve, seed)
    return follow(Pages(anonymous(max(curve)), seed), curve)


def note(log: str, what: str, words: list[str]) -> None:
    """A line in the log, whole, whoever else writes there."""
    if log:
        fd = os.open(log, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
        os.write(fd, f"{what} {os.getpid()} {time.monotonic():.3f} {' '.join(words)}\n".encode())
        os.close(fd)


def main(words: list[str]) -> None:
    """The program."""
    shape, peak_bytes, seconds = words[0], int(words[1]), float(words[2])
    seed = int(words[3]) if len(words) > 3 else 0
    log = words[4] if len(words) > 4 else ""
    note(log, "start", words[:4])
    checksum = run(shape, peak_bytes, seconds, seed)
    print(line(shape, peak_bytes, seed, checksum), flush=True)
    note(log, "end", words[:4])


if __name__ == "__main__":
    main(sys.argv[1:])
