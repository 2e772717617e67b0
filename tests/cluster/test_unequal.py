"""Nodes of unequal size: the larger ones take more, and what only they can hold waits for them and for nobody else."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.support.cluster import Cluster, Node
from tests.support.cluster.field import Field, Store
from tests.support.waiting import wait_until

SMALL, LARGE = "192M", "512M"
# Holds so much memory for as long as its node's gate is closed: dd cannot write into a pipe that nobody reads.
HOLD = "sh -c 'dd if=/dev/zero bs={size} count=1 2>/dev/null | until test -e gate; do sleep 0.2; done'"
TOO_MUCH_FOR_A_SMALL_ONE = "python3 -c 'len(b\"x\" * (250 << 20))' || exit $?; "


@pytest.fixture
def unequal(cluster: Cluster) -> Iterator[Cluster]:
    """Node1 is small, node2 has more than twice as much."""
    cluster["node1"].fault("memory", SMALL)
    yield cluster
    cluster["node1"].fault("memory", LARGE)


def test_a_larger_node_takes_more(unequal: Cluster, store: Store) -> None:
    """Nobody has said what tasks need: each node takes what it can hold."""
    field = Field(unequal, store, lease="2s", max_tasks=16)
    small, large = unequal.nodes[1:3]
    field.submit(24, work=HOLD.format(size="30M"))
    field.start_workers([small, large])
    wait_until(lambda: all(worker["why_full"] for worker in field.workers().values()), "both nodes are full")
    print(f"{holding(small)} on the small node, {holding(large)} on the large one")
    assert holding(small) + 4 <= holding(large)
    assert holding(small) + holding(large) < 24, "others wait for room"
    for node in (small, large):
        node.put(f"{field.folder}/gate", "")
    field.check()


def test_what_no_small_node_can_hold_waits_for_a_large_one_and_holds_nobody_up(unequal: Cluster, store: Store) -> None:
    """Its need is known from where it did not fit. While the large node is busy, the small one goes on with others."""
    field = Field(unequal, store, lease="2s", max_tasks=1)
    small, large = unequal.nodes[1:3]
    field.submit(1, work=HOLD.format(size="1M"))
    field.start_workers([large])
    wait_until(lambda: field.held_by("node2") == 1, "the large node is busy")
    field.write_tasks(4, first=TOO_MUCH_FOR_A_SMALL_ONE)
    field.distcomp("submit", "tasks.txt")
    field.start_workers([small])
    # The large one may have one of them already, for when it has room.
    wait_until(lambda: tried(field) >= 3 and field.held_by("node1") == 0, "they do not fit into the small node")
    at_first = tried(field)

    field.submit(8, sleep_s=0.1)
    field.wait_for_finished(8)
    assert {(row["n"], row["node"]) for row in field.rows()} == {(n, "node1") for n in range(5, 13)}
    large.put(f"{field.folder}/gate", "")
    field.check()

    assert {row["node"] for row in field.rows() if row["n"] < 5} == {"node2"}
    assert tried(field) == at_first <= 4, "none was tried again where it does not fit"


def holding(node: Node) -> int:
    return sum(line.startswith("dd ") for line in node.processes().values())


def tried(field: Field) -> int:
    """How many attempts were ended by memory."""
    return field.attempts("oom") + field.attempts("evicted")
