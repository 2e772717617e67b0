"""Brings home the files that tasks made on nodes, where files were sent there: each in one step, the newest of a name.

On a shared file system nothing has to be brought.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import IO, Any

from distcomp.nodes.aboard.serving import MARK
from distcomp.nodes.call import program, remote_command
from distcomp.nodes.hosts import Host
from distcomp.nodes.plan import Plan
from distcomp.nodes.ssh import HostTrouble, Ssh, trouble_of

CHUNK_BYTES = 1 << 18
# Open at once on a node; more come with the next question.
MOST_FILES = 500


@dataclass(slots=True)
class Harvest:
    """What came home. `several`: names that came from more than one node."""

    files: int = 0
    size_bytes: int = 0
    several: int = 0


class Collecting:
    """Collects from many nodes into one directory. Thread-safe.

    Args:
        ssh: the way to them.
        plan: of the project.
        into: the directory that was sent from.
        globs: which files, relative to it; `**` is any number of directories.
    """

    def __init__(self, ssh: Ssh, plan: Plan, into: Path, globs: Sequence[str]) -> None:
        self._ssh, self._plan, self._into, self._globs = ssh, plan, into, list(globs)
        self._lock = threading.Lock()
        self._names: set[str] = set()
        self.harvest = Harvest()

    def collect(self, host: Host) -> None:
        """Bring what a node has, and is not here as it is there.

        Raises:
            HostTrouble: it cannot be reached, or breaks off. What has come is whole.
        """
        seen = self._have()
        while not self._some(host, seen):
            pass

    def _some(self, host: Host, seen: dict[str, list[int]]) -> bool:
        """Whether that was all. Notes in `seen` what came."""
        ask = self._plan.ask(host.name, globs=self._globs, have=seen, most=MOST_FILES)
        command = self._ssh.command(host, remote_command(self._plan.python, sys.version_info[:2]))
        with subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, start_new_session=True
        ) as process:
            assert process.stdin
            assert process.stdout
            assert process.stderr
            try:
                process.stdin.write(program("places", "receive", "collect") + json.dumps(ask).encode() + b"\n")
                process.stdin.close()
                answer = _answer(process.stdout)
                if answer is None:
                    raise trouble_of(host, process.stderr.read().decode(errors="replace").strip())
                for name, size_bytes, changed_ns, mode in answer["files"]:
                    self._take(process.stdout, name, size_bytes, changed_ns, mode)
                    seen[name] = [size_bytes, changed_ns]
                return bool(answer["is_all"])
            finally:
                process.kill()

    def _have(self) -> dict[str, list[int]]:
        """Files here that match: none of them is brought again while it is the same."""
        found = {}
        for pattern in self._globs:
            for path in self._into.glob(pattern):
                if path.is_file():
                    status = path.stat()
                    found[str(path.relative_to(self._into))] = [status.st_size, status.st_mtime_ns]
        return found

    def _take(self, stream: IO[bytes], name: str, size_bytes: int, changed_ns: int, mode: int) -> None:
        if PurePosixPath(name).is_absolute() or ".." in PurePosixPath(name).parts:
            raise HostTrouble(f"{name} is no name of a file to collect")
        place = self._into / name
        place.parent.mkdir(parents=True, exist_ok=True)
        draft = place.with_name(f".{place.name}.{threading.get_ident()}.distcomp-new")
        try:
            with draft.open("wb") as file:
                _copy(stream, file, size_bytes)
            draft.chmod(mode)
            os.utime(draft, ns=(changed_ns, changed_ns))
            with self._lock:
                self._put(draft, place, name, changed_ns)
                self.harvest.size_bytes += size_bytes
        finally:
            draft.unlink(missing_ok=True)

    def _put(self, draft: Path, place: Path, name: str, changed_ns: int) -> None:
        """The newest counts, whether it is here or comes: what is older is of an attempt that did not."""
        self.harvest.several += name in self._names
        self.harvest.files += name not in self._names
        self._names.add(name)
        if not place.exists() or changed_ns > place.stat().st_mtime_ns:
            draft.replace(place)


def _answer(stream: IO[bytes]) -> dict[str, Any] | None:
    """What the script said first; None if it said nothing."""
    while line := stream.readline():
        if line.startswith(MARK[1:]):
            answer: dict[str, Any] = json.loads(line.removeprefix(MARK[1:]))
            if "error" in answer:
                raise HostTrouble(str(answer["error"]))
            return answer
    return None


def _copy(stream: IO[bytes], file: IO[bytes], left: int) -> None:
    while left:
        piece = stream.read(min(left, CHUNK_BYTES))
        if not piece:
            raise HostTrouble("the connection broke while files were collected")
        file.write(piece)
        left -= len(piece)
