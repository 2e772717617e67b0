"""A node that fails alone is given nothing more, and what failed there is not charged."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import redis

from distcomp.model import Claim, State
from distcomp.store.keys import prefix
from distcomp.store.reading import Reading
from distcomp.store.settlements import AnySettlement, Suspect
from distcomp.store.store import Store, WorkerName
from tests.support.values import PLENTY, commands, doubt, fail, finish, id_of, registered, retry_later, submit


def succeeds(store: Store, worker: WorkerName) -> None:
    """An attempt of this worker has just finished; whoever else has room is given nothing of it."""
    submit(store, f"done by {worker.worker}")
    store.settle([finish(claim) for claim in store.claim(worker, PLENTY).claims])


def retry_later_in_a_minute(claim: Claim) -> AnySettlement:
    return retry_later(claim, delay_s=60)


def suspect(worker: WorkerName, *failed: str) -> Suspect:
    ids = tuple(id_of(command) for command in failed)
    return Suspect("", 0, worker.worker, worker.node, "10 attempts in a row failed", 5.0, ids)


def test_what_failed_on_a_node_that_fails_alone_runs_elsewhere_uncharged(store: Store) -> None:
    bad, good = registered(store, "w1"), registered(store, "w2")
    succeeds(store, good)
    submit(store, "for good", "once")
    claims = {claim.spec.command: claim for claim in store.claim(bad, PLENTY).claims}
    store.settle([fail(claims["for good"]), retry_later(claims["once"])])
    assert store.settle([suspect(bad, "for good", "once")]) == ["ok"]
    assert Reading(store).counts()[State.TODO] == 2
    assert store.claim(bad, PLENTY).claims == []
    again = store.claim(good, PLENTY).claims
    assert sorted(commands(again)) == ["for good", "once"]
    assert {claim.failures for claim in again} == {0}


@pytest.mark.parametrize("settle", [fail, retry_later_in_a_minute])
def test_failures_that_other_nodes_share_are_the_tasks_own(
    store: Store, client: redis.Redis, settle: Callable[[Claim], AnySettlement]
) -> None:
    bad = registered(store, "bad")
    submit(store, "x")
    store.settle([fail(claim) for claim in store.claim(bad, PLENTY).claims])
    assert store.settle([suspect(bad, "x")]) == ["shared"], "there is no other node"
    other = registered(store, "other")
    succeeds(store, other)
    submit(store, "y")
    store.settle([settle(claim) for claim in store.claim(other, PLENTY).claims])
    assert store.settle([suspect(bad, "x")]) == ["shared"], "it fails as well"
    succeeds(store, other)
    client.zincrby(prefix("test") + "lately", -6000, "other")
    assert store.settle([suspect(bad, "x")]) == ["shared"], "its last success was before"
    assert Reading(store).counts()[State.TODO] + Reading(store).counts()[State.FAILED] == 2


def test_what_failed_where_nothing_has_succeeded_yet_is_tried_on_another_node(store: Store) -> None:
    """Also without retries, and before any other node has ended anything."""
    new, other = registered(store, "new"), registered(store, "other")
    submit(store, "x")
    [first] = store.claim(new, PLENTY).claims
    assert store.settle([doubt(first)]) == ["ok"]
    assert store.claim(new, PLENTY).claims == []
    [second] = store.claim(other, PLENTY).claims
    assert (second.attempt, second.failures) == (2, 1)
    assert store.settle([doubt(second)]) == ["nowhere"], "once is enough"
    assert store.settle([fail(second)]) == ["ok"]
    assert Reading(store).counts()[State.FAILED] == 1


def test_a_task_is_doubted_once_whatever_nodes_there_are(store: Store) -> None:
    first, second = registered(store, "first"), registered(store, "second")
    submit(store, "x")
    assert store.settle([doubt(claim) for claim in store.claim(first, PLENTY).claims]) == ["ok"]
    [again] = store.claim(second, PLENTY).claims
    succeeds(store, first)
    assert store.settle([doubt(again)]) == ["nowhere"]


def test_what_failed_for_good_on_another_node_stays_failed(store: Store) -> None:
    bad, good = registered(store, "bad"), registered(store, "w1")
    submit(store, "x")
    store.settle([retry_later(claim) for claim in store.claim(bad, PLENTY).claims])
    store.settle([fail(claim) for claim in store.claim(good, PLENTY).claims])
    succeeds(store, good)
    assert store.settle([suspect(bad, "x")]) == ["ok"]
    assert Reading(store).counts()[State.FAILED] == 1


def test_a_node_in_quarantine_is_no_other_node(store: Store) -> None:
    """What failed on the only one that works comes back to it."""
    good, bad = registered(store, "good"), registered(store, "bad")
    succeeds(store, good)
    assert store.settle([suspect(bad)]) == ["ok"]
    submit(store, "x")
    store.settle([retry_later(claim) for claim in store.claim(good, PLENTY).claims])
    assert commands(store.claim(good, PLENTY).claims) == ["x"]


def test_a_task_that_its_user_retries_may_be_doubted_anew(store: Store) -> None:
    new, _ = registered(store, "new"), registered(store, "other")
    submit(store, "x")
    for _ in range(2):
        [claim] = store.claim(new, PLENTY).claims
        assert store.settle([doubt(claim)]) == ["ok"]
        list(store.cancel([claim.task_id]))
        list(store.retry([claim.task_id]))


def test_a_task_is_not_doubted_where_no_other_node_may_do_better(store: Store) -> None:
    alone = registered(store, "alone")
    submit(store, *"abcd")
    claims = store.claim(alone, PLENTY).claims
    assert store.settle([doubt(claims[0])]) == ["nowhere"]
    registered(store, "neighbour", node="node-alone")
    assert store.settle([doubt(claims[0])]) == ["nowhere"], "it is on the same node"
    other = registered(store, "other")
    submit(store, "y")
    store.settle([fail(claim) for claim in store.claim(other, PLENTY).claims])
    assert store.settle([doubt(claims[0])]) == ["nowhere"], "that one fails as well"
    succeeds(store, other)
    assert store.settle([doubt(claims[0])]) == ["ok"]
    succeeds(store, registered(store, "third"))
    store.settle([suspect(other)])
    store.leave(WorkerName("third", "1", "node-third"))
    assert store.settle([doubt(claims[1])]) == ["nowhere"], "that one is in quarantine"


def test_a_doubted_task_comes_back_when_there_is_no_other_node(store: Store) -> None:
    new, other = registered(store, "new"), registered(store, "other")
    submit(store, "x")
    store.settle([doubt(claim) for claim in store.claim(new, PLENTY).claims])
    assert store.claim(new, PLENTY).claims == []
    assert store.leave(other) == "ok"
    assert commands(store.claim(new, PLENTY).claims) == ["x"]


def test_quarantine_takes_back_what_a_doubt_has_counted(store: Store) -> None:
    bad, good = registered(store, "bad"), registered(store, "good")
    succeeds(store, good)
    submit(store, "x")
    store.settle([doubt(claim) for claim in store.claim(bad, PLENTY).claims])
    assert store.settle([suspect(bad, "x")]) == ["ok"]
    assert [claim.failures for claim in store.claim(good, PLENTY).claims] == [0]


def test_a_node_in_quarantine_is_shown_until_it_is_released(store: Store) -> None:
    bad, good = registered(store, "bad"), registered(store, "good")
    succeeds(store, good)
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
        succeeds(store, worker)
    assert store.settle([suspect(first)]) == ["ok"]
    assert store.settle([suspect(second)]) == ["shared"]
