"""Removes earlier versions of distcomp from a node: those that nobody uses, but for the few that were used last."""

from __future__ import annotations

import os
import shutil
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO

if TYPE_CHECKING:
    from distcomp.nodes.aboard.places import worker_pid

KEPT = 3
"""With the one that is wanted now. Others of the user's projects may be at work with the others."""
DRAFT_OLD_S = 86_400.0


def main(ask: dict[str, Any], payload: BinaryIO) -> dict[str, Any]:  # noqa: ARG001  the same in each script
    """Remove them. `ask`: {"folder": that of distcomp there, "name": of the program that is wanted}."""
    return tidied(Path(ask["folder"]).expanduser(), ask["name"])


def tidied(folder: Path, wanted: str) -> dict[str, Any]:
    """What was removed. Nothing that goes wrong with it matters to who comes for something else."""
    programs = folder / "programs"
    removed, size_bytes = 0, 0
    try:
        remove_drafts(programs)
        os.utime(programs / wanted)
        there = [path for path in programs.iterdir() if not path.name.startswith(".")]
        newest_first = sorted(there, key=lambda path: path.stat().st_mtime, reverse=True)
        needed = {wanted, *used(folder), *(path.name for path in newest_first[:KEPT])}
        for path in there:
            if path.name not in needed:
                size_bytes += remove(path)
                removed += 1
    except OSError:
        pass
    return {"removed": removed, "removed_bytes": size_bytes}


def used(folder: Path) -> set[str]:
    """Programs of workers that run, and of those that have not been stopped in order: they may run elsewhere.

    A home directory may be shared by nodes, so a worker that cannot be seen from here is not gone.
    """
    names = set()
    for project in (folder / "projects").glob("*@*"):
        key, _, node = project.name.partition("@")
        runs = worker_pid({"folder": str(folder), "project": key, "node": node})
        if runs or (project / "distcomp.toml").exists():
            try:
                names.add(Path((project / "program").read_text()).name)
            except OSError:
                continue
    return names


def remove(path: Path) -> int:
    """Remove a program; its bytes. Nobody finds it half removed."""
    size_bytes = sum(file.lstat().st_size for file in path.rglob("*") if not file.is_dir())
    grave = Path(tempfile.mkdtemp(prefix=".old-", dir=path.parent))
    path.rename(grave / path.name)
    shutil.rmtree(grave, ignore_errors=True)
    return size_bytes


def remove_drafts(programs: Path) -> None:
    """What somebody who was killed has left half-made or half removed."""
    for path in programs.glob(".*"):
        if path.name.startswith(".old-") or time.time() - path.stat().st_mtime > DRAFT_OLD_S:
            shutil.rmtree(path, ignore_errors=True)
