"""Brings home the files that tasks made on nodes, where files were sent there: each in one step.

On a shared file system nothing has to be brought.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import Any

from distcomp.nodes.call import call
from distcomp.nodes.conversation import Conversation, conversation
from distcomp.nodes.hosts import Host
from distcomp.nodes.plan import Plan
from distcomp.nodes.ssh import HostTrouble, Ssh

CHUNK_BYTES = 1 << 18
MOST_FILES = 1000
"""In one conversation."""
LIST_S = 600.0
_SCRIPTS = ("places", "receive", "collect")

AttemptKey = tuple[str, int, int]
"""Task, attempt, and its start in ms on its node's clock: unlike that of any other, even after the store lost some."""


@dataclass(slots=True)
class Harvest:
    """What came home.

    Args:
        files, size_bytes: what came.
        several: names that came from more than one node.
        kept: names that were here before, changed later than on the node: they stay as they are.
        changed: files that were not as the attempt had left them.
        unknown: attempts whose nodes do not know what they made.
    """

    files: int = 0
    size_bytes: int = 0
    several: set[str] = field(default_factory=set)
    kept: set[str] = field(default_factory=set)
    changed: int = 0
    unknown: int = 0


@dataclass(frozen=True, slots=True)
class File:
    """One that a node has. Of two of a name the one changed last is kept."""

    name: str
    size_bytes: int
    changed_ns: int
    mode: int


class Collecting:
    """Collects from many nodes into one directory. Thread-safe.

    Args:
        ssh: the way to them.
        plan: of the project.
        into: the directory that was sent from.
        attempts: by node, those whose files are collected; None: whatever matches, whoever made it.
        globs: what is collected then, relative to `into`; `**` is any number of directories.
    """

    def __init__(
        self,
        ssh: Ssh,
        plan: Plan,
        into: Path,
        attempts: Mapping[str, Sequence[AttemptKey]] | None,
        globs: Sequence[str] = (),
    ) -> None:
        self._ssh, self._plan, self._into = ssh, plan, into
        self._attempts, self._globs = attempts, list(globs)
        self._lock = threading.Lock()
        self._names: set[str] = set()
        self.harvest = Harvest()

    def collect(self, host: Host) -> None:
        """Bring what a node has, and is not here as it is there.

        Raises:
            HostTrouble: it cannot be reached, or breaks off. What has come is whole.
        """
        wanted = [file for file in self._list(host) if not self._has(file)]
        for start in range(0, len(wanted), MOST_FILES):
            some = wanted[start : start + MOST_FILES]
            ask = self._plan.ask(host.name, wanted=[[f.name, f.size_bytes, f.changed_ns, f.mode] for f in some])
            with conversation(self._ssh, host, _SCRIPTS, ask, python=self._plan.python) as talk:
                for file in some:
                    self._take(talk, file)

    def _list(self, host: Host) -> list[File]:
        question: dict[str, Any] = {"globs": self._globs}
        if self._attempts is not None:
            question = {"attempts": list(self._attempts.get(host.name, ()))}
            if not question["attempts"]:
                return []
        ask = self._plan.ask(host.name, **question)
        answer = call(self._ssh, host, _SCRIPTS, ask, python=self._plan.python, timeout_s=LIST_S)
        with self._lock:
            self.harvest.changed += answer["changed"]
            self.harvest.unknown += answer["unknown"]
        return [File(*row) for row in answer["files"]]

    def _has(self, file: File) -> bool:
        """Whether it is here as it is there."""
        path = PurePosixPath(file.name)
        if path.is_absolute() or ".." in path.parts:
            raise HostTrouble(f"{file.name} is no name of a file to collect")
        try:
            status = (self._into / path).stat()
        except OSError:
            return False
        return (status.st_size, status.st_mtime_ns) == (file.size_bytes, file.changed_ns)

    def _take(self, talk: Conversation, file: File) -> None:
        if talk.read(1) == b"0":
            self._note_changed()
            return
        place = self._into / file.name
        place.parent.mkdir(parents=True, exist_ok=True)
        draft = place.with_name(f".{place.name}.{threading.get_ident()}.distcomp-new")
        try:
            with draft.open("wb") as copy:
                copy.writelines(_pieces(talk, file.size_bytes))
            if talk.read(1) == b"0":
                self._note_changed()
                return
            draft.chmod(file.mode)
            os.utime(draft, ns=(file.changed_ns, file.changed_ns))
            with self._lock:
                self._put(draft, place, file)
        finally:
            draft.unlink(missing_ok=True)

    def _note_changed(self) -> None:
        with self._lock:
            self.harvest.changed += 1

    def _put(self, draft: Path, place: Path, file: File) -> None:
        is_newest = not place.exists() or file.changed_ns > place.stat().st_mtime_ns
        if file.name in self._names:
            self.harvest.several.add(file.name)
        elif not is_newest:
            self.harvest.kept.add(file.name)
            return
        else:
            self.harvest.files += 1
        self.harvest.size_bytes += file.size_bytes
        self._names.add(file.name)
        if is_newest:
            draft.replace(place)


def _pieces(talk: Conversation, left: int) -> Iterator[bytes]:
    while left:
        piece = talk.read(min(left, CHUNK_BYTES))
        left -= len(piece)
        yield piece
