"""Files of the user's that go to nodes before work: what there is, and sending what a node does not have.

They lie there as here, relative to the directory that the tasks run in. Each content is sent to a node once: what is
there already, unchanged, stays.
"""

from __future__ import annotations

import hashlib
import os
import stat
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

from distcomp.errors import BadInput, Fault
from distcomp.nodes.call import call
from distcomp.nodes.hosts import Host
from distcomp.nodes.plan import Plan
from distcomp.nodes.ssh import HostTrouble, Ssh

LEFT_OUT = {".distcomp", ".git", "__pycache__"}
CHUNK_BYTES = 1 << 18
SEND_S = 3600.0
LOOK_S = 120.0
_KEEP_FREE_BYTES = 64 << 20


@dataclass(frozen=True, slots=True)
class Cargo:
    """What is sent: entries by path below `root`, as aboard/receive.py has them."""

    root: Path
    files: dict[str, tuple[str, int, int, str]] = field(default_factory=dict)

    @property
    def size_bytes(self) -> int:
        """Of all files together."""
        return sum(size for _, _, size, _ in self.files.values())


def load(root: Path, paths: Iterable[Path]) -> Cargo:
    """Files and whole directories, read once for their hashes. Those of `LEFT_OUT` are not part of a directory.

    Args:
        root: where the tasks run; all paths are in it.
        paths: which.

    Raises:
        BadInput: a path is missing, cannot be read, or is elsewhere.
    """
    root = Path(os.path.abspath(root))  # noqa: PTH100  as the user names it, without resolving links
    cargo, faults = Cargo(root), []
    for path in paths:
        full = Path(os.path.normpath(root / path))
        if not full.is_relative_to(root):
            faults.append(Fault(f"--send {path}", 0, 0, f"is not in {root}, where the tasks run"))
        elif not full.exists():
            faults.append(Fault(f"--send {path}", 0, 0, "there is no such file"))
        else:
            try:
                cargo.files.update(_entries(root, full))
            except OSError as error:
                faults.append(Fault(f"--send {path}", 0, 0, f"{error.filename}: {error.strerror}"))
    if faults:
        raise BadInput(faults, unchanged="Nothing was sent.")
    return cargo


def _entries(root: Path, path: Path) -> Iterator[tuple[str, tuple[str, int, int, str]]]:
    name = str(path.relative_to(root))
    found = path.lstat()
    if stat.S_ISLNK(found.st_mode) and not _leads_out(root, path):
        yield name, ("link", 0, 0, os.readlink(path))  # noqa: PTH115
        return
    found = path.stat()
    if stat.S_ISDIR(found.st_mode):
        yield name, ("folder", 0, 0, "")
        for inner in sorted(path.iterdir()):
            if inner.name not in LEFT_OUT:
                yield from _entries(root, inner)
    elif stat.S_ISREG(found.st_mode):
        with path.open("rb") as file:
            digest = hashlib.file_digest(file, "sha256").hexdigest()
        yield name, ("file", stat.S_IMODE(found.st_mode) & 0o777, found.st_size, digest)


def _leads_out(root: Path, link: Path) -> bool:
    """Whether a link leads to where nodes have nothing: then what it leads to is sent in its place."""
    target = os.readlink(link)  # noqa: PTH115
    inside = Path(os.path.normpath(link.parent / target))
    return os.path.isabs(target) or not inside.is_relative_to(root)  # noqa: PTH117


def send(ssh: Ssh, host: Host, plan: Plan, cargo: Cargo, python: str) -> int:
    """See that a node has the files; how many were sent.

    Raises:
        HostTrouble: it cannot take them.
    """
    ask = plan.ask(host.name, files=cargo.files, wanted=None)
    answer = call(ssh, host, ("places", "receive"), ask, python=python, timeout_s=LOOK_S)
    missing = list(answer["missing"])
    size_bytes = sum(cargo.files[path][2] for path in missing)
    if size_bytes + _KEEP_FREE_BYTES > answer["free_bytes"]:
        raise HostTrouble(f"its disk has {answer['free_bytes'] >> 20} MiB, and {size_bytes >> 20} MiB are to be sent")
    ask["wanted"] = missing
    contents = _contents(cargo, missing)
    call(ssh, host, ("places", "receive"), ask, python=python, payload=contents, timeout_s=SEND_S)
    return len(missing)


def _contents(cargo: Cargo, paths: Iterable[str]) -> Iterator[bytes]:
    """The files one after the other, each as long as was said: what grew meanwhile is noticed by its hash."""
    for path in paths:
        left = cargo.files[path][2]
        with (cargo.root / path).open("rb") as file:
            while left and (piece := file.read(min(left, CHUNK_BYTES))):
                left -= len(piece)
                yield piece
        if left:
            raise HostTrouble(f"{path} has changed while it was sent")
