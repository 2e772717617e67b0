"""Faults at random, several at once, while tasks run: in the end each task has ended once, with the right result.

For 20 s and with one seed in CI. `make chaos` goes on for ten minutes, with a seed of its own, which it prints; the
same seed makes the same faults in the same order:

    CHAOS_SEED=7 CHAOS_S=600 python -m pytest -s tests/chaos
"""

from __future__ import annotations

import os
import random
import time
from collections.abc import Callable

import pytest

from tests.support.cluster import Cluster, Node
from tests.support.cluster.field import Field, Store
from tests.support.waiting import wait_until

SEED = int(os.environ.get("CHAOS_SEED", "1"))
LENGTH_S = float(os.environ.get("CHAOS_S", "20"))
LONGEST_FAULT_S = 4.0
AT_ONCE = 3
LOOK_EVERY_S = 5.0
"""Whether all workers are there: those that were started while the store was not have ended."""

Undo = Callable[[], object]


class Chaos:
    """Breaks one node after another, and mends each after a while."""

    def __init__(self, field: Field, seed: int) -> None:
        self._field, self._random = field, random.Random(seed)
        self._store_node, *self._worker_nodes = field.cluster.nodes
        self._broken: dict[str, tuple[float, Undo]] = {}
        self._began_s = self._look_s = time.monotonic()
        self.story: list[str] = []

    def go_on(self, length_s: float) -> None:
        """For so long; then mend everything."""
        while time.monotonic() - self._began_s < length_s:
            self._keep_busy()
            if len(self._broken) < AT_ONCE:
                self._break_something()
            self._mend_what_is_due()
        for node in list(self._broken):
            self._mend(node)

    def _keep_busy(self) -> None:
        if self._store_node.name in self._broken:
            return
        if self._field.counts().get("todo", 0) < 20:
            self._field.submit(40, sleep_s=self._random.choice((0.1, 0.5, 2)))
        if time.monotonic() >= self._look_s:
            self._look_s = time.monotonic() + LOOK_EVERY_S
            self._field.start_missing_workers(but=self._broken)

    def _break_something(self) -> None:
        # Mostly a worker's: while the store is broken, not much happens.
        nodes = [self._store_node, *self._worker_nodes, *self._worker_nodes]
        node = self._random.choice([node for node in nodes if node.name not in self._broken])
        kinds = STORE_FAULTS if node is self._store_node else WORKER_FAULTS
        kind = self._random.choice(kinds)
        lasts_s = self._random.uniform(0, LONGEST_FAULT_S)
        self._tell(f"{node}: {kind.__name__} for {lasts_s:.1f} s")
        self._broken[node.name] = time.monotonic() + lasts_s, kind(self._field, node)

    def _mend_what_is_due(self) -> None:
        if len(self._broken) == AT_ONCE:
            wait_until(self._due, "a fault has lasted long enough")
        for node in self._due():
            self._mend(node)

    def _due(self) -> list[str]:
        return [node for node, (until_s, _) in self._broken.items() if until_s <= time.monotonic()]

    def _mend(self, node: str) -> None:
        _, undo = self._broken.pop(node)
        self._tell(f"{node}: mended")
        undo()

    def _tell(self, what: str) -> None:
        line = f"{time.monotonic() - self._began_s:6.1f} s  {what}"
        print(line)
        self.story.append(line)


def is_cut_off(_field: Field, node: Node) -> Undo:
    node.drop()
    return node.heal


def is_not_heard(field: Field, node: Node) -> Undo:
    node.fault("oneway", field.store.node.name)
    return node.heal


def does_not_hear(field: Field, node: Node) -> Undo:
    field.store.node.fault("oneway", node.name)
    return node.heal


def loses_packets(_field: Field, node: Node) -> Undo:
    node.fault("loss", 20)
    return node.heal


def is_far_away(_field: Field, node: Node) -> Undo:
    node.fault("delay", 150, 50)
    return node.heal


def hangs(_field: Field, node: Node) -> Undo:
    node.freeze()
    return node.thaw


def has_another_time(_field: Field, node: Node) -> Undo:
    node.fault("skew", 3600)
    return lambda: node.fault("skew", -3600)


def has_a_full_disk(_field: Field, node: Node) -> Undo:
    node.fault("fill")
    return lambda: node.fault("unfill")


def loses_its_worker(field: Field, node: Node) -> Undo:
    field.kill_worker(node)
    return lambda: field.start_worker(node)


def is_left(field: Field, node: Node) -> Undo:
    field.tell_worker_to_stop(node)
    return lambda: field.start_worker(node, wait=True)


def crashes(field: Field, node: Node) -> Undo:
    node.crash()
    return lambda: start_again(field, node)


def loses_power(field: Field, node: Node) -> Undo:
    node.lose_power()
    return lambda: start_again(field, node)


def start_again(field: Field, node: Node) -> None:
    node.boot()
    field.start_worker(node)


def loses_its_store(field: Field, _node: Node) -> Undo:
    field.store.kill()
    return field.store.start


WORKER_FAULTS = (
    *(is_cut_off, is_not_heard, does_not_hear, loses_packets, is_far_away, hangs, has_another_time, has_a_full_disk),
    *(loses_its_worker, is_left, crashes, loses_power),
)
STORE_FAULTS = (is_cut_off, loses_packets, is_far_away, hangs, has_another_time, has_a_full_disk, loses_its_store)


@pytest.mark.timeout(2 * LENGTH_S + 240)
def test_whatever_happens_every_task_ends_once(cluster: Cluster) -> None:
    store = Store(cluster["node0"], fsync="everysec")
    # That many nodes die under a task here that it would be taken for what kills them.
    field = Field(cluster, store, lease="2s", poison_after=100_000)
    field.submit(60, sleep_s=0.2)
    field.start_workers(cluster.nodes[1:])
    print(f"CHAOS_SEED={SEED} CHAOS_S={LENGTH_S:g}")
    chaos = Chaos(field, SEED)
    chaos.go_on(LENGTH_S)
    field.start_missing_workers()
    field.check()
    print(f"{len(chaos.story)} events, {field.finished()} tasks, {field.attempts('lost')} attempts lost on the way")
    store.close()
