"""Takes files on a node: each content once. The first question says which are missing; they follow in the second."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO

if TYPE_CHECKING:
    from distcomp.nodes.aboard.places import project_folder, write_private

CHUNK_BYTES = 1 << 18
# Beside the folder of files, by path: hash, size and time of change of each file that was sent.
NOTES = "sent.json"
Note = list[Any]


def main(ask: dict[str, Any], payload: BinaryIO) -> dict[str, Any]:
    """Take files.

    `ask`: {"files": {path: [kind, mode, size, hash or target]}, "wanted": paths whose contents follow, or null}.
    Kinds are "file", "link" and "folder".
    """
    folder = project_folder(ask)
    work, notes = folder / "work", read_notes(folder / NOTES)
    files = ask["files"]
    if ask["wanted"] is None:
        missing = [path for path, entry in files.items() if entry[0] == "file" and not has(work, path, entry, notes)]
        return {"missing": missing, "free_bytes": shutil.disk_usage(folder).free}
    for path, entry in files.items():
        if entry[0] == "folder":
            (work / path).mkdir(parents=True, exist_ok=True)
    for path in ask["wanted"]:
        notes[path] = take(work, path, files[path], payload)
    for path, entry in files.items():
        if entry[0] == "link":
            link(work / path, entry[3])
    for path in notes.keys() - files.keys():
        (work / path).unlink(missing_ok=True)
    kept = {path: note for path, note in notes.items() if path in files}
    write_private(folder / NOTES, json.dumps(kept))
    return {"folder": str(work)}


def read_notes(path: Path) -> dict[str, Note]:
    """What was sent before; nothing if that is not known."""
    try:
        return dict(json.loads(path.read_text()))
    except (OSError, ValueError):
        return {}


def has(work: Path, path: str, entry: list[Any], notes: dict[str, Note]) -> bool:
    """Whether this content is there as it was sent."""
    note = notes.get(path)
    if note is None or note[0] != entry[3] or note[3] != entry[1]:
        return False
    try:
        return has_not_changed(note, (work / path).stat())
    except OSError:
        return False


def has_not_changed(note: Note | None, found: os.stat_result) -> bool:
    """Whether a file is as it was sent."""
    return note is not None and [found.st_size, found.st_mtime_ns] == note[1:3]


def take(work: Path, path: str, entry: list[Any], payload: BinaryIO) -> Note:
    """Write what comes to its place, in one step. ValueError: it is not what was to come."""
    _, mode, left, expected = entry
    place = work / path
    place.parent.mkdir(parents=True, exist_ok=True)
    draft = place.with_name(f".{place.name}.distcomp-new")
    digest = hashlib.sha256()
    try:
        with draft.open("wb") as file:
            while left and (piece := payload.read(min(left, CHUNK_BYTES))):
                digest.update(piece)
                file.write(piece)
                left -= len(piece)
        if digest.hexdigest() != expected:
            raise ValueError(f"{path} has changed while it was sent")
        draft.chmod(mode)
        draft.replace(place)
    finally:
        draft.unlink(missing_ok=True)
    written = place.stat()
    return [expected, written.st_size, written.st_mtime_ns, mode]


def link(place: Path, target: str) -> None:
    """A symbolic link, as it is here."""
    if not place.is_symlink() or os.readlink(place) != target:  # noqa: PTH115
        place.unlink(missing_ok=True)
        place.parent.mkdir(parents=True, exist_ok=True)
        place.symlink_to(target)
