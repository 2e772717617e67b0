"""Where things of a project lie on a node, and whether its worker runs. One folder for each project and node.

A home directory may be shared by many nodes, so the node's name is part of the folder's.
"""

from __future__ import annotations

import fcntl
import os
from pathlib import Path
from typing import Any

LOCK_NAME = "worker.lock"
_DRAINING = "draining-"


def project_folder(ask: dict[str, Any]) -> Path:
    """Of the project and node that are asked about."""
    return Path(ask["folder"]).expanduser() / "projects" / f"{ask['project']}@{ask['node']}"


def node_folder(ask: dict[str, Any]) -> Path:
    """What the node's worker keeps there."""
    return project_folder(ask) / ".distcomp" / "nodes" / str(ask["node"])


def worker_pid(ask: dict[str, Any]) -> int:
    """Of the worker that holds the node; 0 if there is none."""
    try:
        descriptor = os.open(node_folder(ask) / LOCK_NAME, os.O_RDWR | os.O_CLOEXEC)
    except OSError:
        return 0
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return int(os.pread(descriptor, 20, 0) or 0)
    finally:
        os.close(descriptor)
    return 0


def note_drain(folder: Path, pid: int) -> bool:
    """Note that this worker is told to drain; False if it has been told before, by whoever it was."""
    try:
        (folder / f"{_DRAINING}{pid}").touch(exist_ok=False)
    except FileExistsError:
        return False
    return True


def forget_drains(folder: Path) -> None:
    """No worker runs that was told to drain."""
    for note in folder.glob(f"{_DRAINING}*"):
        note.unlink(missing_ok=True)


def last_lines(path: Path, lines: int, most_bytes: int = 1 << 16) -> list[str]:
    """The end of a text file; nothing if there is none."""
    try:
        with path.open("rb") as file:
            file.seek(max(0, file.seek(0, os.SEEK_END) - most_bytes))
            return file.read().decode(errors="replace").splitlines()[-lines:]
    except OSError:
        return []


def write_private(path: Path, text: str) -> None:
    """A file that only its owner may read, in one step."""
    draft = path.with_name(f".{path.name}.new")
    draft.unlink(missing_ok=True)
    with open(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
        file.write(text)
    draft.replace(path)
