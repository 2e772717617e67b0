"""Makes a project's folder on a node: settings, password, and a place for the socket that leads to the store."""

from __future__ import annotations

import contextlib
import os
import socket
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO

if TYPE_CHECKING:
    from distcomp.nodes.aboard.places import project_folder, worker_pid, write_private

# sockaddr_un has 108 bytes; a socket's own name and a zero come to the folder's.
_LONGEST_FOLDER = 90


def main(ask: dict[str, Any], payload: BinaryIO) -> dict[str, Any]:  # noqa: ARG001  the same in each script
    """Make it. `ask`: {"settings": text of distcomp.toml with @SOCKETS@ and @PROJECT@ in it, "password", "files"}."""
    folder = project_folder(ask)
    # An empty state folder, so that one further up is not taken for this project's.
    (folder / ".distcomp").mkdir(parents=True, exist_ok=True)
    folder.chmod(0o700)
    sockets = sockets_folder(folder)
    if ask["password"]:
        write_private(folder / "password", ask["password"])
    for name, text in ask["files"].items():
        write_private(folder / name, text)
    settings = ask["settings"].replace("@SOCKETS@", str(sockets)).replace("@PROJECT@", str(folder))
    write_private(folder / "distcomp.toml", settings)
    return {"folder": str(folder), "sockets": str(sockets), "pid": worker_pid(ask)}


def sockets_folder(folder: Path) -> Path:
    """The project's folder, if sockets can be there; else one among temporary files, the same each time."""
    if len(os.fsencode(folder)) <= _LONGEST_FOLDER and can_hold_sockets(folder):
        return folder
    link = folder / "sockets"
    with contextlib.suppress(OSError):
        # It is removed when nobody needs it; a worker that runs knows it by this name.
        link.readlink().mkdir(mode=0o700)
    if not link.is_symlink() or not link.is_dir() or link.stat().st_uid != os.getuid():
        link.unlink(missing_ok=True)
        link.symlink_to(tempfile.mkdtemp(prefix="distcomp-", dir="/tmp"))
    return link.readlink()


def can_hold_sockets(folder: Path) -> bool:
    """Some network file systems cannot."""
    probe = folder / f"probe-{os.getpid()}"
    try:
        with socket.socket(socket.AF_UNIX) as tried:
            tried.bind(str(probe))
        return True
    except OSError:
        return False
    finally:
        probe.unlink(missing_ok=True)
