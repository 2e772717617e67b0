"""Whatever befalls hosts and network: each task ends once, with the result of a quiet run, and nothing is left over."""

from __future__ import annotations

import time

import pytest

from tests.support.cluster import Cluster
from tests.support.cluster.field import Field, Store
from tests.support.waiting import wait_until

LEASE_S = 2.0
# Waits on its node until it may go on: an attempt that nobody ends would last for ever.
AT_THE_GATE = "sh -c 'until test -e gate; do sleep 0.1; done'"
AT_ANOTHER_GATE = AT_THE_GATE.replace("gate", "another")


def open_gate(field: Field, *nodes: str, gate: str = "gate") -> None:
    for node in nodes:
        field.cluster[node].put(f"{field.folder}/{gate}", "")


def see_that_it_takes_part(field: Field, node: str) -> None:
    """More tasks than the others have room for, none of which ends before this node has some."""
    field.submit(12, work=AT_ANOTHER_GATE)
    wait_until(lambda: field.held_by(node) > 0, f"{node} takes part again")
    open_gate(field, "node1", "node2", "node3", gate="another")


def test_a_quiet_run(cluster: Cluster, field: Field) -> None:
    """What the others are compared with: nothing runs twice, all nodes take part."""
    field.submit(24, sleep_s=0.2)
    field.start_workers(cluster.nodes[1:])
    field.check()
    assert set(field.started().values()) == {1}
    assert {row["node"] for row in field.rows()} == {"node1", "node2", "node3"}


def test_a_node_that_crashes_loses_its_tasks_to_others_within_15_s(cluster: Cluster, store: Store) -> None:
    """At default settings, with no word from the node: it is as if its cable and its power were pulled at once."""
    field = Field(cluster, store, max_tasks=8)
    field.submit(8, work=AT_THE_GATE)
    field.start_workers([cluster["node1"]])
    wait_until(lambda: field.held_by("node1") == 8, "all tasks run on one node")
    field.start_workers([cluster["node2"]])
    cluster["node1"].crash()
    crashed_s = time.monotonic()
    wait_until(lambda: field.held_by("node2") == 8, "its tasks run elsewhere", timeout_s=15)
    print(f"running elsewhere after {time.monotonic() - crashed_s:.1f} s")
    open_gate(field, "node2")
    cluster["node1"].boot()
    field.start_workers([cluster["node1"]])
    field.check()
    assert field.attempts("lost") == 8


@pytest.mark.parametrize("fsync", ["everysec", "always"])
def test_power_loss_of_the_stores_node(cluster: Cluster, fsync: str) -> None:
    """What `always` has confirmed stays; `everysec` may forget about a second, which is then done again."""
    store = Store(cluster["node0"], fsync)
    field = Field(cluster, store, lease="2s")
    field.submit(150, sleep_s=0.3)
    field.start_workers(cluster.nodes[1:])
    field.wait_for_finished(50)
    before = field.finished()
    cluster["node0"].lose_power()
    cluster["node0"].boot()
    store.start()
    after = field.finished()
    field.check()
    again = sum(field.started().values()) - 150
    print(f"{fsync}: {before} had finished, {after} were known after it; {again} attempts were made again")
    if fsync == "always":
        assert after >= before
        assert again == 0
    else:
        assert after >= before - 100
        assert again <= 150
    store.close()


def test_every_worker_is_killed_in_turn(cluster: Cluster, field: Field) -> None:
    """Killed with SIGKILL and started again: what it left running is dead before it claims anything."""
    field.submit(60, sleep_s=0.5)
    field.start_workers(cluster.nodes[1:])
    for done, node in zip((8, 16, 24), cluster.nodes[1:], strict=True):
        field.wait_for_finished(done)
        field.kill_worker(node)
        field.start_worker(node)
    field.check()
    assert field.attempts("lost") > 0


def test_a_worker_cut_off_for_three_leases_comes_back_with_results_that_are_too_late(
    cluster: Cluster, field: Field
) -> None:
    """Its late results lose, its attempts are killed before it claims anew, and nothing counts twice."""
    cut_off = cluster["node1"]
    field.submit(2, work=AT_ANOTHER_GATE)
    field.submit(2, work=AT_THE_GATE)
    field.start_workers([cut_off])
    wait_until(lambda: field.held_by("node1") == 4, "it has all tasks")
    cut_off.drop()
    cut_s = time.monotonic()
    open_gate(field, "node1", "node2", gate="another")
    open_gate(field, "node2")
    field.start_workers([cluster["node2"]])
    field.wait_for_finished(4)
    wait_until(lambda: time.monotonic() - cut_s > 3 * LEASE_S, "three leases have passed")
    spool = f"{field.folder}/.distcomp/nodes/node1/spool"
    wait_until(lambda: cut_off.run("ls", spool).stdout, "the results of the two that ended wait on its disk")
    assert cut_off.processes("test -e gate"), "the two others go on"
    cut_off.heal()
    field.submit(4, sleep_s=0.1)
    wait_until(lambda: "took this worker for dead" in field.log(cut_off), "it hears that it is dead")
    wait_until(lambda: not cut_off.processes("test -e gate"), "and kills what it runs")
    field.check()
    assert {row["node"] for row in field.rows() if row["n"] < 4} == {"node2"}


@pytest.mark.parametrize(("sender", "receiver"), [("node1", "node0"), ("node0", "node1")])
def test_one_way_partition(cluster: Cluster, field: Field, sender: str, receiver: str) -> None:
    """A worker that the store does not hear, or that does not hear the store, is dead until the way is free again."""
    field.submit(30, sleep_s=0.5)
    field.start_workers(cluster.nodes[1:])
    field.wait_for_finished(6)
    cluster[sender].fault("oneway", receiver)
    wait_until(lambda: field.held_by("node1") == 0, "its tasks are taken from it")
    cluster[sender].heal()
    see_that_it_takes_part(field, "node1")
    field.check()


def test_loss_and_delay(cluster: Cluster, store: Store) -> None:
    """A tenth of all packets lost and 0.1 s each way: slow, and nobody is taken for dead at default settings.

    A claim may be lost with its answer, and is then made again; no attempt is.
    """
    field = Field(cluster, store)
    # Before: a worker that cannot reach the store at its start ends.
    field.start_workers(cluster.nodes[1:])
    cluster["node1"].fault("delay", 100)
    cluster["node1"].fault("loss", 10)
    field.submit(48, sleep_s=0.4)
    field.check()
    assert "took this worker for dead" not in field.log(cluster["node1"])
    assert set(field.started().values()) == {1}
    assert "node1" in {row["node"] for row in field.rows()}


def test_a_frozen_worker_thaws_after_its_lease(cluster: Cluster, field: Field) -> None:
    """All that it ran ends while it knows nothing; it learns that it was dead before any of it counts."""
    field.submit(30, sleep_s=0.5)
    field.start_workers(cluster.nodes[1:])
    field.wait_for_finished(6)
    cluster["node1"].freeze()
    field.wait_for_finished(30)
    cluster["node1"].thaw()
    see_that_it_takes_part(field, "node1")
    field.check()


def test_clocks_that_are_wrong_by_an_hour(cluster: Cluster, field: Field) -> None:
    """One node ahead, one behind, and the store's set forth and back under way: nobody is taken for dead."""
    cluster["node1"].fault("skew", 3600)
    cluster["node2"].fault("skew", -3600)
    field.submit(60, sleep_s=0.5)
    field.start_workers(cluster.nodes[1:])
    for done, offset_s in ((10, 3600), (30, -3600)):
        field.wait_for_finished(done)
        cluster["node0"].fault("skew", offset_s)
    field.check()
    assert field.attempts("lost") == 0
    assert set(field.started().values()) == {1}
    assert max(row["wall_s"] for row in field.rows()) < 60


def test_a_full_disk_on_a_node(cluster: Cluster, field: Field) -> None:
    """What runs there ends and counts; nothing new starts there, and it says why, until there is room again."""
    field.submit(30, sleep_s=0.4)
    field.start_workers(cluster.nodes[1:])
    field.wait_for_finished(6)
    cluster["node1"].fault("fill")
    wait_until(lambda: "disk full" in field.workers()["node1"]["note"], "it says that its disk is full")
    wait_until(lambda: field.held_by("node1") == 0, "what ran there has ended")
    field.wait_for_finished(30)
    cluster["node1"].fault("unfill")
    see_that_it_takes_part(field, "node1")
    field.check()


def test_a_full_disk_under_the_store(cluster: Cluster, field: Field) -> None:
    """It takes nothing that it cannot keep: workers hold their results until it has room again."""
    field.submit(40, sleep_s=0.4)
    field.start_workers(cluster.nodes[1:])
    field.wait_for_finished(6)
    cluster["node0"].fault("fill")
    wait_until(lambda: "cannot serve now" in field.log(cluster["node1"]), "the store refuses what it cannot keep")
    cluster["node0"].fault("unfill")
    field.check()
    assert field.attempts("lost") == 0


def test_the_store_is_killed_five_times_under_load(cluster: Cluster, field: Field) -> None:
    field.submit(100, sleep_s=0.3)
    field.start_workers(cluster.nodes[1:])
    for done in (10, 25, 40, 55, 70):
        field.wait_for_finished(done)
        field.store.kill()
        field.store.start()
    field.check()
    assert set(field.started().values()) == {1}, "what the store has confirmed outlives it"


def test_nodes_come_and_go_while_tasks_run(cluster: Cluster, field: Field) -> None:
    """One is added, one drains and one gives back at once: none of them costs an attempt that was not stopped."""
    first, second, third = cluster.nodes[1:]
    field.submit(60, sleep_s=0.4)
    field.start_workers([first, second])
    field.wait_for_finished(10)
    field.start_workers([third])
    wait_until(lambda: field.held_by("node3") > 0, "the new node has work")
    field.stop_worker(first)
    field.stop_worker(second, at_once=True)
    assert set(field.workers()) == {"node3"}
    field.check()
    assert field.attempts("lost") == 0
    started = field.started()
    assert sum(started.values()) - len(started) <= 4, "only what was stopped at once has run again"


def test_two_projects_on_the_same_nodes(cluster: Cluster, store: Store) -> None:
    """They share store and nodes, and know nothing of each other."""
    fields = [Field(cluster, store, name, lease="2s", max_tasks=2) for name in ("one", "two")]
    for field in fields:
        field.submit(20, sleep_s=0.3)
        field.start_workers(cluster.nodes[1:])
    cluster["node1"].drop()
    for field in fields:
        wait_until(lambda field=field: field.held_by("node1") == 0, "its tasks are taken from it")  # type: ignore[misc]
    cluster["node1"].heal()
    for field in fields:
        field.check()


def test_a_node_that_fails_alone_is_given_nothing_more(cluster: Cluster, store: Store) -> None:
    """A file that every task needs is missing there. Without any retries, not one task is charged for it."""
    field = Field(cluster, store, lease="2s", retries=0)
    open_gate(field, "node0", "node2", "node3")
    field.write_tasks(60, sleep_s=0.3, first="test -e gate || exit 3; ")
    field.start_workers(cluster.nodes[1:])
    field.distcomp("submit", "tasks.txt")
    field.wait_for_finished(60)
    [bad] = [worker for worker in field.shown("workers") if worker["state"] == "quarantined"]
    assert bad["node"] == "node1"
    assert "failed here, while other nodes did better" in bad["note"]
    field.write_tasks(24, sleep_s=0.5)
    assert "node1 is given no more tasks" in field.distcomp("run", "tasks.txt", stream="stderr")
    open_gate(field, "node1")
    field.release("node1")
    see_that_it_takes_part(field, "node1")
    field.check()


def test_a_node_that_fails_from_its_start_costs_a_short_run_nothing(cluster: Cluster, store: Store) -> None:
    """Over before anybody is suspected, and without retries: what fails there counts only if it fails elsewhere too."""
    field = Field(cluster, store, lease="2s", retries=0, quarantine_after=1000)
    open_gate(field, "node0", "node2", "node3")
    field.write_tasks(30, sleep_s=0.2, first="test -e gate || exit 3; ")
    field.start_workers(cluster.nodes[1:])
    field.distcomp("submit", "tasks.txt")
    field.wait_for_all()
    assert field.attempts("exit") > 0, "it was given some"
    field.check()


def test_a_node_that_goes_bad_late_costs_a_short_run_two_tasks_at_most(cluster: Cluster, store: Store) -> None:
    """It has finished tasks, then a file vanishes there; without retries, and over before anybody is suspected."""
    field = Field(cluster, store, lease="2s", retries=0, quarantine_after=1000, max_tasks=1)
    open_gate(field, "node0", "node1", "node2", "node3")
    field.write_tasks(60, sleep_s=0.4, first="test -e gate || exit 3; ")
    field.start_workers(cluster.nodes[1:])
    field.distcomp("submit", "tasks.txt")
    wait_until(lambda: any(row["node"] == "node1" for row in field.rows()), "it has finished one")
    cluster["node1"].run("rm", f"{field.folder}/gate")
    field.wait_for_all()
    assert field.attempts("exit") > 2, "it was given more"
    assert field.counts()["failed"] <= 2
