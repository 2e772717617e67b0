"""What is written down about a project's nodes, in its state folder: which there are, what is wanted, how they are.

Who attends to nodes holds the lock, so nodes never have two that pull at them. Commands write down what they want,
and whoever attends reads it.
"""

from __future__ import annotations

import fcntl
import json
import os
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import msgspec

from distcomp.errors import DistcompError
from distcomp.nodes.hosts import Host, parse_hosts

NODES_START = "`distcomp nodes`"
"""Who attends to nodes that `distcomp nodes start` started, in `attended_by`."""


class NodesBusy(DistcompError):
    """Another command attends to the nodes of this project."""

    exit_code = 5


class Want(msgspec.Struct, frozen=True):
    """What is wanted of a node: "work", "drain" or "stop". A later turn replaces an earlier one."""

    what: str
    turn: int


class WishRecord(msgspec.Struct, frozen=True, kw_only=True):
    """The user's wishes as they were typed: files are read again by whoever acts on them."""

    cwd: str
    send: tuple[str, ...] = ()
    setup: str = ""
    need_files: tuple[str, ...] = ()
    need_commands: tuple[str, ...] = ()
    until_s: float = 0


class Wanted(msgspec.Struct, frozen=True):
    """All that is wanted, by host as in a host file."""

    wants: dict[str, Want] = {}
    wishes: WishRecord | None = None


class StandingRecord(msgspec.Struct, frozen=True):
    """How a node is, and as of which turn."""

    phase: str
    turn: int
    trouble: str = ""
    next_step: str = ""


class NodesRecord:
    """The files. Safe for several processes.

    Args:
        folder: is made if it is missing.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self.log_file = folder / "attend.log"

    def hosts(self) -> dict[str, Host]:
        """All hosts that were ever named, by node's name."""
        texts: list[str] = self._read("hosts.json", list[str]) or []
        return {host.name: host for text in texts for host in parse_hosts(text, "hosts.json")}

    def remember(self, hosts: Iterable[Host]) -> None:
        """Know these hosts from now on."""
        with self._changing():
            known = self.hosts() | {host.name: host for host in hosts}
            self._write("hosts.json", [str(host) for host in known.values()])

    def wanted(self) -> Wanted:
        """What is wanted now."""
        return self._read("wanted.json", Wanted) or Wanted()

    def want(self, hosts: Iterable[Host], what: str, wishes: WishRecord | None = None) -> int:
        """Write down what is wanted of some nodes; the number of the turn."""
        with self._changing():
            before = self.wanted()
            turn = 1 + max((want.turn for want in before.wants.values()), default=0)
            wants = before.wants | {str(host): Want(what, turn) for host in hosts}
            self._write("wanted.json", Wanted(wants, wishes or before.wishes))
        return turn

    def standings(self) -> dict[str, StandingRecord]:
        """How the nodes are, by host as in a host file, according to who attends or last did."""
        return self._read("standings.json", dict[str, StandingRecord]) or {}

    def phase(self, host: Host) -> str:
        """How far a node is; empty if that is not known."""
        standing = self.standings().get(str(host))
        return standing.phase if standing else ""

    def write_standings(self, standings: Mapping[str, StandingRecord]) -> None:
        """Say how they are."""
        self._write("standings.json", standings)

    @contextmanager
    def attending(self, who: str) -> Iterator[None]:
        """Attend to the nodes, alone.

        Args:
            who: what to call us in messages.

        Raises:
            NodesBusy: somebody else does.
        """
        self._folder.mkdir(mode=0o700, exist_ok=True)
        lock = os.open(self._folder / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                raise NodesBusy(
                    f"The nodes of this project are attended to by {os.pread(lock, 100, 0).decode()}.",
                    unchanged="Nothing was done.",
                    next_step="Wait for its end, or use it: `distcomp nodes status`, `distcomp submit`.",
                ) from None
            os.ftruncate(lock, 0)
            os.pwrite(lock, f"{who} (pid {os.getpid()})".encode(), 0)
            yield
        finally:
            os.close(lock)

    def attended_by(self) -> str:
        """Who attends to the nodes; nobody: an empty text."""
        try:
            lock = os.open(self._folder / "lock", os.O_RDWR | os.O_CLOEXEC)
        except OSError:
            return ""
        try:
            fcntl.flock(lock, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError:
            return os.pread(lock, 100, 0).decode() or "another command"
        finally:
            os.close(lock)
        return ""

    def _read(self, name: str, kind: Any) -> Any:
        try:
            return msgspec.json.decode((self._folder / name).read_bytes(), type=kind)
        except (OSError, msgspec.DecodeError):
            return None

    def _write(self, name: str, value: object) -> None:
        self._folder.mkdir(mode=0o700, exist_ok=True)
        draft = self._folder / f".{name}.{os.getpid()}"
        draft.write_text(json.dumps(msgspec.to_builtins(value), indent=1))
        draft.replace(self._folder / name)

    @contextmanager
    def _changing(self) -> Iterator[None]:
        self._folder.mkdir(mode=0o700, exist_ok=True)
        lock = os.open(self._folder / "changing", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(lock, fcntl.LOCK_EX)
            yield
        finally:
            os.close(lock)
