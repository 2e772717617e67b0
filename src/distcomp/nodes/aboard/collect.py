"""Gives back the files that tasks made among those that were sent: a list, then their contents."""

from __future__ import annotations

import os
import stat
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO

if TYPE_CHECKING:
    from distcomp.nodes.aboard.places import project_folder
    from distcomp.nodes.aboard.receive import has_not_changed, read_notes
    from distcomp.nodes.aboard.serving import say

CHUNK_BYTES = 1 << 18


def main(ask: dict[str, Any], payload: BinaryIO) -> dict[str, Any]:  # noqa: ARG001  the same in each script
    """Give them back. `ask`: {"globs", "have": {path: [size, time of change in ns]} of what is there already}."""
    work = project_folder(ask) / "work"
    wanted = [found for found in made(work, ask["globs"]) if ask["have"].get(found[0]) != list(found[1:3])]
    with_files = [(found, (work / found[0]).open("rb")) for found in wanted[: ask["most"]]]
    say({"files": [found for found, _ in with_files], "is_all": len(wanted) <= ask["most"]})
    for (_, size, _, _), file in with_files:
        with file:
            give(file, size)
    return {"ended": True}


def give(file: BinaryIO, left: int) -> None:
    """As much of a file as was said, though it may have changed since; zeros in the place of what is gone."""
    while left:
        piece = file.read(min(CHUNK_BYTES, left)) or b"\0" * min(CHUNK_BYTES, left)
        sys.stdout.buffer.write(piece)
        left -= len(piece)


def made(work: Path, globs: list[str]) -> Iterator[tuple[str, int, int, int]]:
    """Files that match and are not as they were sent: path, size, time of change, mode."""
    notes = read_notes(work.parent / "sent.json")
    seen = set()
    for pattern in globs:
        for path in work.glob(pattern):
            name = str(path.relative_to(work))
            found = path.lstat()
            if name in seen or not stat.S_ISREG(found.st_mode) or has_not_changed(notes.get(name), found):
                continue
            seen.add(name)
            if os.access(path, os.R_OK):
                yield name, found.st_size, found.st_mtime_ns, stat.S_IMODE(found.st_mode) & 0o777
