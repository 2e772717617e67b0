#!/usr/bin/env python3
"""Record a cache trace from a real program while it runs.

    record_trace.py KIND OUT.u32.xz [--limit N] -- PROGRAM [ARG...]
    record_trace.py paths traces/paths_mypy.u32.xz -- mypy --no-incremental src

KIND says which cache the program meets, and so what the objects are:

    lines   64-byte lines of memory it reads and writes    a CPU's data cache
    code    64-byte lines of its instructions              a CPU's instruction cache
    pages   4096-byte pages of memory it reads and writes  a virtual machine's memory
    blocks  4096-byte blocks of files it reads and writes  a disk cache (not what it maps into memory)
    paths   file names it looks up                         the kernel's cache of directory entries

The first three need valgrind, the others strace. Children are followed for `blocks` and `paths`.
An object asked for again at once is counted once, as any cache holds it. At --limit requests the program is ended.
The trace is listed in MANIFEST.csv beside it.
"""

from __future__ import annotations

import argparse
import contextlib
import csv
import hashlib
import itertools
import lzma
import os
import re
import shlex
import signal
import subprocess
import sys
from array import array
from collections.abc import Generator, Hashable, Iterable, Iterator
from pathlib import Path

LINE_BYTES = 64
PAGE_BYTES = 4096
# "?": newer processors do without these.
FILE_CALLS = "trace=?open,openat,?creat,lseek,read,pread64,write,pwrite64,close"

# How valgrind's tool lackey writes an access: "I  04016840,3", " L 1ffeffe7f8,8"; M is a load and a store.
MEMORY_ACCESS = re.compile(r"(I | [LSM]) ([0-9a-f]+),(\d+)$")
# How strace -f -y writes a call: '812 pread64(4</tmp/x.db>, ""..., 512, 4096) = 512'.
CALL = re.compile(r"(?:(\d+) +)?(\w+)\((.*)\) += (-?\d+)")
FILE = re.compile(r"(\d+)<(/[^>]*)>")
DIRECTORY_AND_NAME = re.compile(r'(?:(?:AT_FDCWD|\d+)<([^>]*)>, )?"([^"]+)"')
UNFINISHED = " <unfinished ...>"
RESUMED = re.compile(r"(\d+) +<\.\.\. \w+ resumed>")


def memory_accesses(lines: Iterable[str], marks: str, unit_bytes: int) -> Iterator[Hashable]:
    """Numbers of the units of memory that lackey's output says were used, by accesses of the marked kinds."""
    for line in lines:
        access = MEMORY_ACCESS.match(line)
        if access and access[1].strip() in marks:
            first = int(access[2], 16)
            yield from range(first // unit_bytes, (first + int(access[3]) - 1) // unit_bytes + 1)


def whole_calls(lines: Iterable[str]) -> Iterator[str]:
    """Lines of strace with the halves of calls joined that other processes interrupted."""
    halves: dict[str, str] = {}
    for line in lines:
        if line.endswith(UNFINISHED):
            halves[line.split()[0]] = line.removesuffix(UNFINISHED)
        elif resumed := RESUMED.match(line):
            yield halves.pop(resumed[1], "") + line[resumed.end() :]
        else:
            yield line


def file_blocks(lines: Iterable[str]) -> Iterator[Hashable]:
    """(file, block number) of what strace says was read from or written to files.

    strace tells where a descriptor points, not its position, so that is followed here, for each process apart.
    """
    positions: dict[tuple[str, str], int] = {}
    for call in filter(None, map(CALL.match, whole_calls(lines))):
        process, name, arguments, returned = call[1], call[2], call[3], int(call[4])
        file = FILE.match(arguments)
        if name in ("open", "openat", "creat"):
            positions[process, call[4]] = 0
        elif file and returned >= 0 and not file[2].startswith(("/dev/", "/proc/", "/sys/")):
            descriptor = (process, file[1])
            if name == "lseek":
                positions[descriptor] = returned
            elif "64" in name:
                yield from blocks_of(file[2], int(arguments.rpartition(", ")[2]), returned)
            elif name != "close":
                yield from blocks_of(file[2], positions.get(descriptor, 0), returned)
                positions[descriptor] = positions.get(descriptor, 0) + returned


def blocks_of(file: str, start: int, n_bytes: int) -> Iterator[Hashable]:
    """(file, block number) of each block that a piece of a file touches."""
    for block in range(start // PAGE_BYTES, (start + n_bytes + PAGE_BYTES - 1) // PAGE_BYTES):
        yield file, block


def paths(lines: Iterable[str]) -> Iterator[Hashable]:
    """The file names that strace says were looked up, whether they exist or not."""
    for call in filter(None, map(CALL.match, whole_calls(lines))):
        if looked_up := DIRECTORY_AND_NAME.match(call[3]):
            yield os.path.normpath(os.path.join(looked_up[1] or "", looked_up[2]))  # noqa: PTH118 (no such file here)


def accesses(kind: str, lines: Iterable[str]) -> Iterator[Hashable]:
    """The objects that a program used, in order, from what the tool for this kind wrote."""
    match kind:
        case "lines":
            return memory_accesses(lines, "LSM", LINE_BYTES)
        case "pages":
            return memory_accesses(lines, "LSM", PAGE_BYTES)
        case "code":
            return memory_accesses(lines, "I", LINE_BYTES)
        case "blocks":
            return file_blocks(lines)
        case _:
            return paths(lines)


def tool(kind: str, log: int) -> list[str]:
    """The command that runs a program and writes what it does to the file descriptor `log`."""
    if kind in ("blocks", "paths"):
        calls = FILE_CALLS if kind == "blocks" else "trace=%file"
        return ["strace", "-f", "-qq", "-y", "-e", "signal=none", "-e", calls, "-o", f"/dev/fd/{log}"]
    return ["valgrind", "--tool=lackey", "--trace-mem=yes", "--basic-counts=no", f"--log-fd={log}"]


def watch(kind: str, program: list[str]) -> Generator[Hashable, None, None]:
    """Run a program and yield the objects that it uses; it is ended when the iterator is closed.

    Raises:
        OSError: valgrind or strace is not installed.
    """
    reader, writer = os.pipe()
    command = [*tool(kind, writer), *program]
    try:
        process = subprocess.Popen(command, pass_fds=[writer], stdin=subprocess.DEVNULL, start_new_session=True)
    finally:
        os.close(writer)
    try:
        with open(reader, encoding="utf-8", errors="surrogateescape") as log:
            yield from accesses(kind, (line.rstrip("\n") for line in log))
    finally:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGTERM)
        process.wait()


def number(objects: Iterable[Hashable], limit: int) -> array[int]:
    """Ids from 1 in order of first appearance, one per request, `limit` at most; equal neighbours are one request."""
    ids: dict[Hashable, int] = {}
    requests = (ids.setdefault(key, len(ids) + 1) for key, _ in itertools.groupby(objects))
    return array("I", itertools.islice(requests, limit))


def write_trace(out: Path, trace: array[int], kind: str, program: list[str]) -> None:
    """Write the trace file, and its line in the MANIFEST.csv beside it, in the place of an older one."""
    if sys.byteorder == "big":
        trace.byteswap()
    out.parent.mkdir(parents=True, exist_ok=True)
    packed = lzma.compress(trace.tobytes(), preset=9 | lzma.PRESET_EXTREME)
    out.write_bytes(packed)
    name = out.name.partition(".")[0]
    row = [name, kind, shlex.join(program), len(trace), max(trace), hashlib.sha256(packed).hexdigest()]
    manifest = out.with_name("MANIFEST.csv")
    rows = list(csv.reader(manifest.read_text().splitlines()))[1:] if manifest.exists() else []
    with manifest.open("w", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(["name", "kind", "program", "requests", "objects", "sha256"])
        writer.writerows(sorted([*(old for old in rows if old[0] != name), [str(value) for value in row]]))


def main() -> None:
    """Record, write and say what was recorded."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("kind", choices=["lines", "code", "pages", "blocks", "paths"])
    parser.add_argument("out", type=Path, metavar="OUT.u32.xz")
    parser.add_argument("--limit", type=int, default=1_000_000, help="requests to record at most (default: a million)")
    parser.add_argument("program", nargs="+", metavar="PROGRAM")
    options = parser.parse_args()
    try:
        with contextlib.closing(watch(options.kind, options.program)) as objects:
            trace = number(objects, options.limit)
    except FileNotFoundError as error:
        sys.exit(f"record_trace: {error.filename} is not installed")
    if not trace:
        sys.exit("record_trace: the program used none of these objects, so nothing was written")
    write_trace(options.out, trace, options.kind, options.program)
    print(f"{options.out}: {len(trace)} requests for {max(trace)} objects, {options.out.stat().st_size} bytes")


if __name__ == "__main__":
    main()
