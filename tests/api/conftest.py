"""A project in a folder of its own, with its own store, and no worker but the test's own."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from distcomp import Client
from distcomp.model import NodeRoom
from distcomp.store.store import Store, WorkerName
from tests.support.values import facts

PLENTY = NodeRoom(100, 1 << 40, 64, 1 << 40, 64)
WORKER = WorkerName("w1", "1", "node-1")


@pytest.fixture
def client(tmp_path: Path) -> Iterator[Client]:
    with Client.open(tmp_path) as client:
        yield client


@pytest.fixture
def store(client: Client) -> Iterator[Store]:
    """The store as a worker has it; `WORKER` is registered."""
    store = client.project.store()
    store.register(WORKER, facts(WORKER))
    yield store
    store.close()
