"""What benchmarks share: lines of the table, a bare server, a project with its own server, CPU of processes."""

from __future__ import annotations

import contextlib
import functools
import os
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import redis

from distcomp.statefolder import open_existing
from distcomp.store.server_binary import find_binary

DISTCOMP = [sys.executable, "-m", "distcomp"]


class LeftOut(RuntimeError):
    """The benchmark cannot be done here; the text says what it lacks."""


@dataclass(frozen=True, slots=True)
class Line:
    """One line of the table: what was measured, and the bound it is to keep."""

    name: str
    value: float
    relation: str
    bound: float
    detail: str = ""

    @property
    def is_kept(self) -> bool:
        """Is the value on the right side of the bound?"""
        return self.value <= self.bound if self.relation == "<=" else self.value >= self.bound

    def __str__(self) -> str:
        mark = "ok" if self.is_kept else "MISS"
        return f"{mark:4} {self.name:55} {self.value:9.3g} {self.relation:>3} {self.bound:<5g}  {self.detail}"


@dataclass(frozen=True, slots=True)
class Note:
    """A line of the table without a bound: what users should know, and nothing that could be missed."""

    name: str
    value: float
    detail: str = ""

    @property
    def is_kept(self) -> bool:
        """There is nothing to keep."""
        return True

    def __str__(self) -> str:
        return f"{'note':4} {self.name:55} {self.value:9.3g} {'':>3} {'':5}  {self.detail}"


Row = Line | Note


class Project:
    """A project in a folder of its own, whose server stays on until the end."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.distcomp("server", "start")

    def distcomp(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        """Run the program and return what it printed.

        Raises:
            CalledProcessError: it failed.
        """
        return subprocess.run([*DISTCOMP, *arguments], cwd=self.folder, text=True, capture_output=True, check=True)

    def close(self) -> None:
        """Turn the server off."""
        if "_watching" in self.__dict__:
            self._watching.close()
        self.distcomp("server", "stop")

    def client(self, *, decode_responses: bool = False) -> redis.Redis:
        """A connection to the project's server."""
        folder = open_existing(self.folder)
        return redis.Redis(
            unix_socket_path=str(folder.store / "server.sock"),
            password=folder.secret(),
            decode_responses=decode_responses,
        )

    def server_pid(self) -> int:
        """The server's process."""
        with self.client() as client:
            return int(client.info("server")["process_id"])

    def server_memory_bytes(self) -> int:
        """What the server says it uses for data."""
        with self.client() as client:
            return int(client.info("memory")["used_memory"])

    def counts(self) -> dict[str, int]:
        """Tasks by state, once any were submitted. One short command: asking often costs next to nothing."""
        counts = self._watching.hgetall(self._counts_key)
        return {name: int(value) for name, value in counts.items() if isinstance(name, str)}

    @functools.cached_property
    def _watching(self) -> redis.Redis:
        return self.client(decode_responses=True)

    @functools.cached_property
    def _counts_key(self) -> bytes:
        with self.client() as client:
            [key] = client.scan_iter("*counts", count=1000)
        return bytes(key)


@contextlib.contextmanager
def project(settings: str = "") -> Iterator[Project]:
    """A new project; `settings` is the text of its distcomp.toml."""
    with tempfile.TemporaryDirectory(prefix="dc-bench-") as folder:
        Path(folder, "distcomp.toml").write_text(settings)
        own = Project(Path(folder))
        try:
            yield own
        finally:
            own.close()


@contextlib.contextmanager
def bare_server() -> Iterator[redis.Redis]:
    """A server with the same durability as the embedded one, for floors."""
    with tempfile.TemporaryDirectory(prefix="dc-bench-") as folder:
        socket = f"{folder}/s"
        command = [str(find_binary().path), "--port", "0", "--unixsocket", socket, "--dir", folder]
        command += ["--save", "", "--appendonly", "yes", "--appendfsync", "everysec"]
        process = subprocess.Popen(command, stdout=subprocess.DEVNULL)
        try:
            client = redis.Redis(unix_socket_path=socket)
            wait_until(lambda: _answers(client), "the bare server answers")
            yield client
        finally:
            process.kill()
            process.wait()


def _answers(client: redis.Redis) -> bool:
    try:
        return bool(client.ping())
    except redis.ConnectionError:
        return False


def wait_until(condition: Callable[[], bool], reason: str, timeout_s: float = 120, every_s: float = 0.005) -> None:
    """Poll. What is measured meanwhile should not be disturbed by it: 200 wake-ups a second cost short tasks a fifth.

    Raises:
        TimeoutError: the condition did not come true.
    """
    deadline_s = time.monotonic() + timeout_s
    while not condition():
        if time.monotonic() > deadline_s:
            raise TimeoutError(f"waited in vain until {reason}")
        time.sleep(every_s)


def cpu_s(pid: int) -> float:
    """CPU seconds of a process that runs, with those of its children that it has reaped."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return sum(int(field) for field in fields[11:15]) / os.sysconf("SC_CLK_TCK")


def children_cpu_s() -> float:
    """CPU seconds of all children that this process has reaped, with theirs."""
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    return usage.ru_utime + usage.ru_stime
