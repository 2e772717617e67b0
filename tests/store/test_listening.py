"""The embedded server opened to the network: workers may do what workers do, and nothing else."""

from __future__ import annotations

import dataclasses
import socket
from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest
import redis

from distcomp import statefolder
from distcomp.settings import DEFAULTS
from distcomp.statefolder import StateFolder
from distcomp.store.address import connect, parse
from distcomp.store.listening import worker_password
from distcomp.store.server import EmbeddedServer
from distcomp.store.store import Store
from tests.support.values import PLENTY, finish, registered, submit


@pytest.fixture
def folder(tmp_path: Path) -> StateFolder:
    return statefolder.create(tmp_path)


@pytest.fixture
def server(folder: StateFolder) -> Iterator[EmbeddedServer]:
    """Starts closed: what opens it is the setting of whoever wants that."""
    server = EmbeddedServer(folder, DEFAULTS)
    server.connect().close()
    yield EmbeddedServer(folder, msgspec.structs.replace(DEFAULTS, listen=("127.0.0.1", free_port())))
    server.stop()


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def worker_of(server: EmbeddedServer, folder: StateFolder) -> redis.Redis:
    address = parse(server.open_to_network(), {})
    return connect(dataclasses.replace(address, password=worker_password(folder.secret())))


def test_a_worker_can_work(server: EmbeddedServer, folder: StateFolder) -> None:
    with server.connect() as own, worker_of(server, folder) as client:
        submit(Store(own, "p"), "x")
        store = Store(client, "p")
        (claim,) = store.claim(registered(store), PLENTY).claims
        assert store.settle([finish(claim)]) == ["ok"]
        client.pubsub().subscribe("distcomp:{p}:wake")


@pytest.mark.parametrize(
    "command", [("FLUSHALL",), ("CONFIG", "GET", "requirepass"), ("SHUTDOWN",), ("ACL", "LIST"), ("SET", "other", "x")]
)
def test_a_worker_can_do_nothing_else(server: EmbeddedServer, folder: StateFolder, command: tuple[str, ...]) -> None:
    with worker_of(server, folder) as client, pytest.raises(redis.exceptions.NoPermissionError):
        client.execute_command(*command)


def test_nobody_gets_in_without_a_password(server: EmbeddedServer, folder: StateFolder) -> None:
    server.open_to_network()
    address = parse(server.open_to_network(), {})
    ((host, port),) = address.hosts
    with redis.Redis(host, port) as client, pytest.raises(redis.exceptions.AuthenticationError):
        client.ping()


def test_a_server_that_starts_anew_is_open_again(server: EmbeddedServer, folder: StateFolder) -> None:
    server.open_to_network()
    server.stop()
    server.connect().close()
    with worker_of(server, folder) as client:
        assert client.ping()
