"""A project in a folder of its own, driven as a user drives it: through the real program."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import redis

from distcomp.errors import StateFolderError
from distcomp.statefolder import open_existing
from tests.support.waiting import wait_until

DISTCOMP = [sys.executable, "-m", "distcomp"]
SOON_S = 60.0


class Sandbox:
    """Gives commands to distcomp and looks at what comes of them."""

    def __init__(self, folder: Path, environment: Mapping[str, str] | None = None) -> None:
        self.folder = folder
        self.environment = {**os.environ, **(environment or {})}
        self._started: list[subprocess.Popen[str]] = []

    def distcomp(self, *arguments: str, stdin: str = "", exit_code: int | None = 0) -> subprocess.CompletedProcess[str]:
        """Run a command to its end, and check its exit code unless that is None."""
        done = subprocess.run(
            [*DISTCOMP, *arguments], cwd=self.folder, env=self.environment, input=stdin, text=True,
            capture_output=True, timeout=2 * SOON_S,
        )  # fmt: skip
        assert exit_code is None or done.returncode == exit_code, (
            f"{arguments}: {done.returncode}\n{done.stdout}\n{done.stderr}"
        )
        return done

    def start(self, *arguments: str) -> subprocess.Popen[str]:
        """Start a command that goes on; ended with the sandbox at the latest."""
        process = subprocess.Popen(
            [*DISTCOMP, *arguments], cwd=self.folder, env=self.environment, text=True,
            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
        )  # fmt: skip
        self._started.append(process)
        return process

    def write(self, name: str, text: str) -> Path:
        """A file in the project's folder."""
        path = self.folder / name
        path.write_text(text)
        return path

    def settings(self, **values: object) -> None:
        """The project's distcomp.toml."""
        self.write("distcomp.toml", "".join(f"{name} = {json.dumps(value)}\n" for name, value in values.items()))

    def counts(self) -> dict[str, int]:
        """Tasks by state, straight from the store; empty while it is not there."""
        try:
            with self.client() as client:
                found = next(client.scan_iter("distcomp:*:counts", count=10_000), None)
                pairs = client.hgetall(found) if found else {}
        except (redis.ConnectionError, StateFolderError):
            return {}
        return {name.decode(): int(value) for name, value in pairs.items() if b":" not in name and int(value)}

    def client(self) -> redis.Redis:
        """A connection to the project's own server, as it runs."""
        folder = open_existing(self.folder)
        return redis.Redis(unix_socket_path=str(folder.store / "server.sock"), password=folder.secret())

    def json(self, *arguments: str) -> Any:
        """What a command prints with --json."""
        return json.loads(self.distcomp(*arguments, "--json").stdout)

    def lines(self, name: str) -> list[str]:
        """A file's lines, none if it does not exist."""
        path = self.folder / name
        return path.read_text().splitlines() if path.exists() else []

    def processes(self, word: str = "") -> dict[int, str]:
        """Command lines, by pid, of live processes that work in this folder or below, and have the word in them."""
        return {pid: line for pid, line in _processes_in(self.folder) if word in line}

    def worker_pid(self) -> int:
        """The process of this project's worker, once it has claimed the node."""

        def pids() -> list[int]:
            return [pid for pid, line in self.processes(" worker").items() if "distcomp" in line]

        wait_until(pids, "a worker runs")
        return pids()[0]

    def server_pid(self) -> int:
        """The process of this project's own server."""
        with self.client() as client:
            return int(client.info("server")["process_id"])

    def close(self) -> None:
        """End what was started, and let nothing of this folder live on."""
        for process in self._started:
            if process.poll() is None:
                process.send_signal(signal.SIGKILL)
            process.communicate()
        wait_until(lambda: not self.processes(" worker"), "workers end with those who started them")
        self.distcomp("server", "stop", exit_code=None)
        for pid in self.processes():
            os.kill(pid, signal.SIGKILL)


def _processes_in(folder: Path) -> Iterator[tuple[int, str]]:
    inside = str(folder.resolve())
    for entry in Path("/proc").iterdir():
        if not entry.name.isdigit():
            continue
        try:
            where = str((entry / "cwd").readlink())
            command = (entry / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace").strip()
        except OSError:
            continue
        if command and (where == inside or where.startswith(inside + "/")):
            yield int(entry.name), command
