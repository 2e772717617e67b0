"""A project spread over the hosts, made anew for each test."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.support.cluster import Cluster
from tests.support.cluster.field import Field, Store


@pytest.fixture
def store(cluster: Cluster) -> Iterator[Store]:
    """On node0."""
    store = Store(cluster["node0"], fsync="everysec")
    yield store
    store.close()


@pytest.fixture
def field(cluster: Cluster, store: Store) -> Field:
    """With the shortest lease there is, so that tests need not wait for long."""
    return Field(cluster, store, lease="2s")
