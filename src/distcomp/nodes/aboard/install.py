"""Unpacks distcomp on a node: checked by its hash, tried, and put in its place in one step."""

from __future__ import annotations

import hashlib
import shutil
import subprocess
import sys
import tarfile
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO

if TYPE_CHECKING:
    from distcomp.nodes.aboard.tidy import tidied

CHUNK_BYTES = 1 << 18


def main(ask: dict[str, Any], payload: BinaryIO) -> dict[str, Any]:
    """Install the archive that follows, in the place of old ones that nobody uses.

    `ask`: {"folder", "sha256", "bytes", "name": of the program's folder}.
    """
    programs = Path(ask["folder"]).expanduser() / "programs"
    place = programs / ask["name"]
    if place.is_dir():
        return tidied(programs.parent, ask["name"])
    programs.mkdir(parents=True, exist_ok=True)
    draft = Path(tempfile.mkdtemp(prefix=".new-", dir=programs))
    try:
        receive(payload, draft / "archive", ask["bytes"], ask["sha256"])
        unpack(draft / "archive", draft / "program")
        try_out(draft / "program")
        try:
            (draft / "program").rename(place)
        except OSError:
            if not place.is_dir():  # somebody else was quicker
                raise
    finally:
        shutil.rmtree(draft, ignore_errors=True)
    return tidied(programs.parent, ask["name"])


def receive(payload: BinaryIO, path: Path, length: int, sha256: str) -> None:
    """Write what comes to a file. ValueError: it is not what was to come."""
    digest = hashlib.sha256()
    with path.open("wb") as file:
        while length and (piece := payload.read(min(length, CHUNK_BYTES))):
            digest.update(piece)
            file.write(piece)
            length -= len(piece)
    if digest.hexdigest() != sha256:
        raise ValueError("what arrived is not what was sent: the hash differs")


def unpack(archive: Path, folder: Path) -> None:
    """Unpack an archive, with nothing outside the folder."""
    with tarfile.open(archive) as tar:
        if hasattr(tarfile, "data_filter"):
            tar.extractall(folder, filter="data")
        else:
            tar.extractall(folder)  # noqa: S202  its hash is that of what we packed


_TRIAL = "import sys; sys.path.insert(0, sys.argv[1]); import distcomp.cli.worker, distcomp.worker.main, redis"


def try_out(program: Path) -> None:
    """See that a worker could start. ValueError: it does not run here."""
    command = [sys.executable, "-I", "-c", _TRIAL, str(program)]
    done = subprocess.run(command, capture_output=True, stdin=subprocess.DEVNULL, text=True, timeout=120, check=False)
    if done.returncode:
        last = (done.stderr.strip().splitlines() or [f"exit code {done.returncode}"])[-1]
        raise ValueError(f"distcomp does not run there: {last}")
