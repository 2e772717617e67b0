"""Gives back files that tasks made among those that were sent: says which there are, then gives the wanted ones."""

from __future__ import annotations

import json
import os
import stat
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO

if TYPE_CHECKING:
    from distcomp.nodes.aboard.places import node_folder, project_folder
    from distcomp.nodes.aboard.receive import NOTES, read_notes
    from distcomp.nodes.aboard.serving import say

CHUNK_BYTES = 1 << 18
# Beside the worker's other files: which files each attempt made (runner/resultfiles.py).
MADE = "made.jsonl"
File = list[Any]
"""Name, bytes, time of change (ns), mode."""


def main(ask: dict[str, Any], payload: BinaryIO) -> dict[str, Any]:  # noqa: ARG001  the same in each script
    """Say which there are, or give some.

    `ask`: {"attempts": [[task, attempt, start in ms]]}: files of these, or {"globs"}: files that match. Those that are
    as they were sent are none. Or {"wanted": files as they were said to be}: after the answer come, for each, b"1", its
    content, and b"1" if it did not change meanwhile, else b"0"; or just b"0" if it is not as it was.
    """
    work = project_folder(ask) / "work"
    if "wanted" not in ask:
        return listed(work, ask, node_folder(ask) / MADE)
    say({"follows": True})
    for name, *said in ask["wanted"]:
        give(work / name, said)
    sys.stdout.buffer.flush()
    return {"ended": True}


def listed(work: Path, ask: dict[str, Any], notes: Path) -> dict[str, Any]:
    """Which there are. "changed": how many are not as their attempt left them; "unknown": attempts without a note."""
    files, unknown = made_by(ask["attempts"], notes) if "attempts" in ask else (matching(work, ask["globs"]), 0)
    sent = read_notes(work.parent / NOTES)
    made = [file for file in files if not is_as_sent(sent.get(file[0]), file)]
    whole = [file for file in made if as_it_is(work / file[0]) == file[1:]]
    return {"files": whole, "changed": len(made) - len(whole), "unknown": unknown}


def is_as_sent(note: list[Any] | None, file: File) -> bool:
    """Whether a file is as it was sent: its size and time of change tell."""
    return note is not None and file[1:3] == note[1:3]


def give(path: Path, said: list[int]) -> None:
    """A file, if it is as it was said to be."""
    out = sys.stdout.buffer
    try:
        file = path.open("rb")
    except OSError:
        out.write(b"0")
        return
    with file:
        if as_said(os.fstat(file.fileno())) != said:
            out.write(b"0")
            return
        out.write(b"1")
        left = said[0]
        while left:
            # Zeros in the place of what is gone: as much follows as was said.
            piece = file.read(min(CHUNK_BYTES, left)) or b"\0" * min(CHUNK_BYTES, left)
            out.write(piece)
            left -= len(piece)
        out.write(b"1" if as_said(os.fstat(file.fileno())) == said else b"0")


def made_by(attempts: list[list[Any]], notes: Path) -> tuple[list[File], int]:
    """The files that these attempts made, and of how many attempts nothing is known."""
    wanted = {tuple(attempt) for attempt in attempts}
    found: dict[str, File] = {}
    try:
        lines = notes.read_bytes().split(b"\n")
    except OSError:
        lines = []
    for line in lines:
        try:
            task, attempt, started_at_ms, files = json.loads(line)
        except ValueError:
            continue  # the end of a worker that was killed
        if (task, attempt, started_at_ms) in wanted:
            wanted.discard((task, attempt, started_at_ms))
            # Where two attempts have a file of one name, it is as the later one left it.
            found.update((file[0], file) for file in files)
    return list(found.values()), len(wanted)


def matching(work: Path, globs: list[str]) -> list[File]:
    """Files that match."""
    seen = {path for pattern in globs for path in work.glob(pattern)}
    return [[str(path.relative_to(work)), *status] for path in sorted(seen) if (status := as_it_is(path))]


def as_it_is(path: Path) -> list[int]:
    """Bytes, time of change and mode of a file; nothing if it is none, or cannot be read."""
    try:
        status = path.lstat()
    except OSError:
        return []
    return as_said(status) if stat.S_ISREG(status.st_mode) and os.access(path, os.R_OK) else []


def as_said(status: os.stat_result) -> list[int]:
    """Bytes, time of change in ns, mode."""
    return [status.st_size, status.st_mtime_ns, stat.S_IMODE(status.st_mode) & 0o777]
