"""A node that fails alone is given nothing more, and what failed there is not charged."""

from __future__ import annotations

import json

from distcomp.model import State
from distcomp.store.reading import Reading
from distcomp.store.settlements import Suspect
from distcomp.store.store import Store, WorkerName
from tests.support.values import PLENTY, commands, fail, id_of, registered, retry_later, submit


def says(store: Store, worker: WorkerName, *, failures_in_a_row: int, last_finish_ago_s: float) -> None:
    facts = {"node": worker.node, "failures_in_a_row": failures_in_a_row, "last_finish_ago_s": last_finish_ago_s}
    store.renew(worker, json.dumps(facts).encode())


def suspect(worker: WorkerName, *failed: str) -> Suspect:
    ids = tuple(id_of(command) for command in failed)
    return Suspect("", 0, worker.worker, worker.node, "10 attempts in a row failed", 5.0, ids)


def test_what_failed_on_a_node_that_fails_alone_runs_elsewhere_uncharged(store: Store) -> None:
    bad, good = registered(store, "w1"), registered(store, "w2")
    submit(store, "for good", "once")
    claims = {claim.spec.command: claim for claim in store.claim(bad, PLENTY).claims}
    store.settle([fail(claims["for good"]), retry_later(claims["once"])])
    says(store, good, failures_in_a_row=0, last_finish_ago_s=1)
    assert store.settle([suspect(bad, "for good", "once")]) == ["ok"]
    assert Reading(store).counts()[State.TODO] == 2
    assert store.claim(bad, PLENTY).claims == []
    again = store.claim(good, PLENTY).claims
    assert sorted(commands(again)) == ["for good", "once"]
    assert {claim.failures for claim in again} == {0}


def test_failures_that_other_nodes_share_are_the_tasks_own(store: Store) -> None:
    bad = registered(store, "bad")
    submit(store, "x")
    store.settle([fail(claim) for claim in store.claim(bad, PLENTY).claims])
    assert store.settle([suspect(bad, "x")]) == ["shared"], "there is no other node"
    other = registered(store, "other")
    says(store, other, failures_in_a_row=3, last_finish_ago_s=1)
    assert store.settle([suspect(bad, "x")]) == ["shared"], "it fails as well"
    says(store, other, failures_in_a_row=0, last_finish_ago_s=6)
    assert store.settle([suspect(bad, "x")]) == ["shared"], "its last success was before"
    assert Reading(store).counts()[State.FAILED] == 1


def test_a_node_in_quarantine_is_shown_until_it_is_released(store: Store) -> None:
    bad, good = registered(store, "bad"), registered(store, "good")
    says(store, good, failures_in_a_row=0, last_finish_ago_s=1)
    store.settle([suspect(bad)])
    assert {record.worker: record.quarantine for record in Reading(store).workers()} == {
        "bad": "10 attempts in a row failed", "good": "",
    }  # fmt: skip
    submit(store, "x")
    assert store.release(["bad", "good"]) == 1
    assert store.settle([suspect(bad)]) == ["shared"], "what failed before its release counts no more"
    assert commands(store.claim(bad, PLENTY).claims) == ["x"]


def test_the_last_node_is_never_put_into_quarantine(store: Store) -> None:
    """One after another, until one is left: that one goes on."""
    first, second = registered(store, "first"), registered(store, "second")
    for worker in (first, second):
        says(store, worker, failures_in_a_row=0, last_finish_ago_s=1)
    assert store.settle([suspect(first)]) == ["ok"]
    assert store.settle([suspect(second)]) == ["shared"]
