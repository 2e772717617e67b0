"""Every test here runs on each server that distcomp supports."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import redis

from distcomp.store.keys import declared, prefix
from distcomp.store.reading import Reading
from distcomp.store.store import Store, StoreLimits
from tests.support.servers import SERVER_NAMES, running_server


@pytest.fixture(scope="session", params=SERVER_NAMES)
def server_socket(request: pytest.FixtureRequest) -> Iterator[str]:
    with running_server(request.param) as socket:
        yield socket


@pytest.fixture
def client(server_socket: str) -> Iterator[redis.Redis]:
    client = redis.Redis(unix_socket_path=server_socket)
    client.flushall()
    yield client
    undeclared = [key for key in client.scan_iter() if not _is_declared(key)]
    client.close()
    assert not undeclared, "every key is declared in keys.py"


@pytest.fixture
def store(client: redis.Redis) -> Iterator[Store]:
    store = Store(client, "test", StoreLimits(lease_s=10, starving_s=1000))
    yield store
    store.close()


@pytest.fixture
def reading(store: Store) -> Reading:
    return Reading(store)


def _is_declared(key: bytes) -> bool:
    start = prefix("test").encode()
    return key.startswith(start) and declared(key[len(start) :].decode("latin-1")) is not None
