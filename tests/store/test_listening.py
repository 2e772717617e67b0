"""The embedded server opened to the network: workers may do what workers do, and nothing else."""

from __future__ import annotations

import dataclasses
import socket
from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest
import redis
from redis.backoff import NoBackoff
from redis.retry import Retry

from distcomp import statefolder
from distcomp.settings import DEFAULTS
from distcomp.statefolder import StateFolder
from distcomp.store.address import connect, parse
from distcomp.store.listening import worker_commands, worker_password
from distcomp.store.reading import Reading
from distcomp.store.server import EmbeddedServer
from distcomp.store.store import Store
from tests.support.servers import SERVER_NAMES, binary
from tests.support.values import PLENTY, finish, registered, submit


@pytest.fixture
def folder(tmp_path: Path) -> StateFolder:
    return statefolder.create(tmp_path)


@pytest.fixture(params=["valkey9"])
def server(request: pytest.FixtureRequest, folder: StateFolder) -> Iterator[EmbeddedServer]:
    """Starts closed: what opens it is the setting of whoever wants that."""
    program = Path(binary(request.param))
    server = EmbeddedServer(folder, DEFAULTS, binary=program)
    server.connect().close()
    settings = msgspec.structs.replace(DEFAULTS, listen=("127.0.0.1", free_port()), project="p")
    yield EmbeddedServer(folder, settings, binary=program)
    server.stop()


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def worker_of(server: EmbeddedServer, folder: StateFolder) -> redis.Redis:
    address = parse(server.open_to_network(), {})
    return connect(dataclasses.replace(address, password=worker_password(folder.secret(), "p")))


@pytest.mark.parametrize("server", SERVER_NAMES, indirect=True)
def test_a_worker_can_work(server: EmbeddedServer, folder: StateFolder) -> None:
    server.stop()  # version 6.2 must be started for it
    with server.connect() as own, worker_of(server, folder) as client:
        submit(Store(own, "p"), "x")
        store = Store(client, "p")
        (claim,) = store.claim(registered(store), PLENTY).claims
        assert store.settle([finish(claim)]) == ["ok"]
        assert [worker.worker for worker in Reading(store).workers()] == ["w1"]
        assert Reading(store).find(claim.task_id[:6]) == claim.task_id
        channel = client.pubsub()
        channel.subscribe("distcomp:{p}:wake")
        assert channel.get_message(timeout=5)


@pytest.mark.parametrize(
    "command",
    [
        *(("FLUSHALL",), ("FLUSHDB",), ("SWAPDB", "0", "1"), ("KEYS", "*"), ("SCAN", "0"), ("RANDOMKEY",), ("DBSIZE",)),
        *(("CONFIG", "GET", "requirepass"), ("ACL", "LIST"), ("ACL", "SETUSER", "me", "on"), ("DEBUG", "SLEEP", "0")),
        *(("SHUTDOWN",), ("SAVE",), ("REPLICAOF", "10.0.0.9", "6379"), ("MONITOR",), ("MODULE", "LIST")),
        *(("CLIENT", "LIST"), ("CLIENT", "KILL", "TYPE", "normal"), ("CLIENT", "PAUSE", "1"), ("PUBSUB", "CHANNELS")),
        *(("SCRIPT", "FLUSH"), ("SCRIPT", "KILL"), ("FUNCTION", "FLUSH"), ("SLOWLOG", "GET")),
        # Other data than this project's: by name, from within a script, and with a name that only begins alike.
        *(("SET", "other", "x"), ("GET", "distcomp:{q}:schema"), ("DEL", "distcomp:{pp}:tasks")),
        *(("HGET", "distcomp:p:tasks", "x"), ("ZADD", "distcomp:{q}:leases", "1", "w")),
        ("EVAL", "return redis.call('GET', 'distcomp:{q}:schema')", "0"),
        ("EVAL", "return redis.call('GET', KEYS[1])", "1", "distcomp:{q}:schema"),
        ("EVAL", "return redis.call('CONFIG', 'GET', '*')", "0"),
        *(("PUBLISH", "distcomp:{q}:wake", "work"), ("SUBSCRIBE", "distcomp:{q}:wake"), ("PSUBSCRIBE", "*")),
    ],
    ids=" ".join,
)
def test_a_worker_can_do_nothing_else(server: EmbeddedServer, folder: StateFolder, command: tuple[str, ...]) -> None:
    with (
        worker_of(server, folder) as client,
        pytest.raises(redis.ResponseError, match=r"(?i)permission|not allowed"),
    ):
        client.execute_command(*command)


def test_of_all_commands_of_the_server_a_worker_has_those_that_it_needs(
    server: EmbeddedServer, folder: StateFolder
) -> None:
    """Of what counts as administration or as dangerous, INFO alone: it says which version the server is."""
    server.open_to_network()
    with server.connect() as own:
        grave = {str(name) for kind in ("admin", "dangerous") for name in own.acl_cat(kind)}
        assert len(grave) > 80
        assert worker_commands() & {name for entry in grave for name in (entry, entry.partition("|")[0])} == {"info"}
        [rules] = [account for account in own.acl_list() if "worker-p" in str(account)]
        granted = {word for word in str(rules).split() if word.startswith(("+", "-"))}
        assert granted == {"-@all", *(f"+{command}" for command in worker_commands())}


def test_nobody_gets_in_without_a_password(server: EmbeddedServer, folder: StateFolder) -> None:
    server.open_to_network()
    address = parse(server.open_to_network(), {})
    ((host, port),) = address.hosts
    retry = Retry(NoBackoff(), 0)
    with redis.Redis(host, port, retry=retry) as client, pytest.raises(redis.exceptions.AuthenticationError):
        client.ping()


def test_a_server_that_starts_anew_is_open_again(server: EmbeddedServer, folder: StateFolder) -> None:
    server.open_to_network()
    server.stop()
    server.connect().close()
    with worker_of(server, folder) as client:
        assert client.ping()
