"""How a task comes back after an attempt: when, where, with what it is known of it, and when no more."""

from __future__ import annotations

import pytest

from distcomp.model import Cause, State
from distcomp.store.reading import Reading
from distcomp.store.settlements import GiveBack
from distcomp.store.store import Store
from tests.support.values import (
    PLENTY,
    a_worker,
    fail,
    give_back,
    only_claim,
    registered,
    retry_later,
    room,
    submit,
)

GIB = 1 << 30


# After a failure, a return or a loss


def test_a_retry_waits_for_its_delay(store: Store, reading: Reading) -> None:
    submit(store, "t")
    claim = only_claim(store)
    store.settle([retry_later(claim, delay_s=60)])
    claimed = store.claim(a_worker(), PLENTY)
    assert claimed.claims == []
    assert claimed.next_due_s is not None
    assert 50 < claimed.next_due_s <= 60
    assert reading.task(claim.task_id).is_delayed


def test_a_retry_comes_with_what_happened_before(store: Store, reading: Reading) -> None:
    submit(store, "t")
    claim = only_claim(store)
    store.settle([retry_later(claim)])
    again = only_claim(store)
    assert (again.attempt, again.failures) == (2, 1)
    store.settle([give_back(again, need_bytes=5 * GIB)])
    third = only_claim(store)
    assert (third.attempt, third.failures, third.need_bytes) == (3, 1, 5 * GIB)
    assert [past.cause for past in reading.past(claim.task_id)] == [Cause.EXIT, Cause.EVICTED]


def test_of_a_task_that_is_tried_without_end_the_latest_attempts_are_kept(store: Store, reading: Reading) -> None:
    submit(store, "t")
    for _ in range(25):
        claim = only_claim(store)
        store.settle([give_back(claim)])
    assert [past.attempt for past in reading.past(claim.task_id)] == list(range(6, 26))


@pytest.mark.parametrize("names", [("node1", "node10"), ("node10", "node1")])
def test_a_retried_task_goes_to_another_node_where_there_is_one(store: Store, names: tuple[str, str]) -> None:
    """By the node's exact name; after a while where it failed, too, should the other have no room."""
    first, second = (registered(store, f"worker on {name}", node=name) for name in names)
    submit(store, "a")
    store.settle([retry_later(store.claim(first, PLENTY).claims[0])])
    again = store.claim(first, PLENTY)
    assert again.claims == []
    assert again.next_due_s is not None
    assert 0 < again.next_due_s <= 30
    assert [claim.failures for claim in store.claim(second, PLENTY).claims] == [1]


def test_a_retried_task_comes_back_to_the_only_node(store: Store) -> None:
    """A second worker on the same node is no other node."""
    first = registered(store, "w1", node="n")
    registered(store, "w2", node="n")
    submit(store, "a")
    store.settle([retry_later(store.claim(first, PLENTY).claims[0])])
    assert [claim.failures for claim in store.claim(first, PLENTY).claims] == [1]


def test_a_task_kept_away_from_a_node_goes_to_another_one(store: Store) -> None:
    submit(store, "t")
    claim = only_claim(store, "w1")
    other = registered(store, "w2")
    assert store.settle([retry_later(claim, away="node-w1")]) == ["ok"]
    assert store.claim(a_worker("w1"), PLENTY).claims == []
    assert len(store.claim(other, PLENTY).claims) == 1


def test_a_task_kept_away_from_the_only_node_is_not_delayed_for_ever(store: Store, reading: Reading) -> None:
    submit(store, "t")
    claim = only_claim(store, "w1")
    assert store.settle([retry_later(claim, away="node-w1")]) == ["nowhere"]
    assert reading.task(claim.task_id).state is State.RUNNING, "nothing was written"
    assert store.settle([fail(claim)]) == ["ok"]


def test_a_claim_that_was_never_started_counts_as_no_attempt(store: Store) -> None:
    submit(store, "t")
    claim = only_claim(store)
    store.settle([GiveBack(claim.task_id, claim.token, Cause.DRAINED)])
    assert only_claim(store).attempt == 1


def test_a_returned_task_needs_room_for_what_it_had_reached(store: Store) -> None:
    submit(store, "t")
    claim = only_claim(store)
    store.settle([give_back(claim, need_bytes=3 * GIB)])
    worker = registered(store)
    assert store.claim(worker, room(1, memory_bytes=2 * GIB)).claims == []
    assert len(store.claim(worker, room(1, memory_bytes=3 * GIB)).claims) == 1


def test_a_task_lost_with_three_nodes_is_poison(store: Store, reading: Reading) -> None:
    submit(store, "t")
    for name in ("w1", "w2", "w3"):
        claim = only_claim(store, name)
        registered(store, name, life="2")
    record = reading.task(claim.task_id)
    assert record.state is State.FAILED
    assert record.outcome is not None
    assert record.outcome.reason == "lost with its node on 3 nodes: node-w1, node-w2, node-w3"
    assert record.outcome.attempt == 3


def test_a_task_lost_with_the_same_node_again_and_again_is_no_poison(store: Store, reading: Reading) -> None:
    """It is the node that fails."""
    submit(store, "t")
    for life in range(5):
        [claim] = store.claim(registered(store, "w1", life=f"{life}"), PLENTY).claims
    assert (claim.attempt, reading.task(claim.task_id).state) == (5, State.RUNNING)


# By the user


def test_a_retry_after_a_cancel_is_another_attempt_with_another_number(store: Store, reading: Reading) -> None:
    submit(store, "t")
    first = only_claim(store)
    list(store.cancel([first.task_id]))
    list(store.retry([first.task_id]))
    second = only_claim(store)
    assert (second.attempt, second.token != first.token) == (2, True)
    store.settle([fail(second)])
    list(store.retry([first.task_id]))
    assert only_claim(store).attempt == 3


def test_a_retry_by_the_user_forgets_which_nodes_were_lost(store: Store, reading: Reading) -> None:
    submit(store, "t")
    for name in ("w1", "w2", "w3"):
        claim = only_claim(store, name)
        registered(store, name, life="2")
    assert list(store.retry([claim.task_id])) == [(claim.task_id, "ok")]
    only_claim(store, "w1")
    registered(store, "w1", life="3")
    assert reading.task(claim.task_id).state is State.TODO


def test_a_retry_by_the_user_gives_all_tries_and_all_nodes_anew(store: Store) -> None:
    registered(store, "w2")
    submit(store, "t")
    first = only_claim(store, "w1")
    store.settle([retry_later(first, away="node-w1")])
    second = only_claim(store, "w2")
    assert second.failures == 1
    store.settle([fail(second)])
    list(store.retry([first.task_id]))
    third = only_claim(store, "w1")
    assert (third.attempt, third.failures) == (3, 0)
