"""A store of the user's own with Sentinels fails over: what Redis' replication loses is done again, and ends once."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from tests.support.certificates import Authority
from tests.support.cluster import Cluster, Node
from tests.support.cluster.field import Field, client_on
from tests.support.cluster.replicated import ReplicatedStore, role_of
from tests.support.needs import needs_openssl
from tests.support.waiting import wait_until


def finished_on(node: Node, field: Field) -> int:
    """What this node's server believes, primary or not."""
    with client_on(node) as client:
        return int(client.hget(field.key("counts"), "finished") or 0)


@pytest.mark.parametrize("way", ["plain", pytest.param("tls", marks=needs_openssl)])
def test_the_primary_is_killed_under_load(cluster: Cluster, tmp_path: Path, way: str) -> None:
    """A replica takes over with what it was sent. Workers go on with what they run, and find the new primary."""
    store = ReplicatedStore(cluster, Authority(tmp_path, "lab") if way == "tls" else None)
    field = Field(cluster, store, lease="2s")
    field.submit(60, sleep_s=0.3)
    field.start_workers(cluster.nodes[1:])
    field.wait_for_finished(20)
    before = field.finished()
    store.kill()
    killed_s = time.monotonic()
    store.follow()
    failed_over_s, after = time.monotonic() - killed_s, field.finished()
    field.wait_for_finished(after + 1)
    print(f"another primary after {failed_over_s:.1f} s, the next result after {time.monotonic() - killed_s:.1f} s")
    field.check()
    print(f"{before} results before, {after} after it; {sum(field.started().values()) - 60} attempts made again")
    store.close()


def test_a_primary_that_is_cut_off_goes_on_taking_results_and_those_are_lost(cluster: Cluster) -> None:
    """A worker beside it still reaches it. What it is told there is forgotten when it becomes a replica."""
    store = ReplicatedStore(cluster)
    old = cluster["node0"]
    field = Field(cluster, store, lease="2s")
    field.submit(80, sleep_s=0.3)
    field.start_workers([old, cluster["node3"]])
    field.wait_for_finished(10)
    old.drop()
    store.follow()
    in_common = field.finished()
    wait_until(lambda: finished_on(old, field) >= in_common + 8, "the old primary takes what no other server hears of")
    old.heal()
    lost = finished_on(old, field) - in_common
    wait_until(lambda: role_of(old) == "slave", "the old primary is a replica")
    field.check()
    again = sum(field.started().values()) - 80
    print(f"{lost} results that the old primary had confirmed are lost; {again} attempts made again")
    assert again >= 8
    store.close()
