"""What a call costs the server does not grow with the number of workers or of tasks: counted in commands, not time."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import redis

from distcomp.store.keys import WAKE_CHANNEL, prefix
from distcomp.store.settlements import Suspect
from distcomp.store.store import Store, WorkerName
from tests.support.values import (
    PLENTY,
    a_worker,
    commands,
    doubt,
    fail,
    finish,
    give_back,
    registered,
    retry_later,
    room,
    submit,
)

MANY = 300


def crowd(store: Store, workers: int) -> WorkerName:
    """So many workers that wait for work; the first of them."""
    for number in range(workers):
        registered(store, f"w{number:04d}")
    return a_worker("w0000")


def calls(client: redis.Redis, do: Callable[[], object]) -> dict[str, int]:
    """How often the server carries out each command meanwhile, within scripts too."""
    client.config_resetstat()
    do()
    stats = client.info("commandstats")
    counted = {name.removeprefix("cmdstat_"): of_it["calls"] for name, of_it in stats.items()}
    return {name: number for name, number in counted.items() if not name.startswith(("config", "info", "script"))}


def gives_a_task_back(store: Store, worker: WorkerName) -> Callable[[], object]:
    submit(store, "x")
    return lambda: store.settle([give_back(claim) for claim in store.claim(worker, PLENTY).claims])


def retries_tasks_that_no_node_can_start(store: Store, worker: WorkerName) -> Callable[[], object]:
    """Each looks for a node that is not one of those where it cannot start."""
    submit(store, *map(str, range(20)))
    claims = store.claim(worker, PLENTY).claims
    return lambda: store.settle([retry_later(claim, away=worker.node) for claim in claims])


def claims_what_has_failed_on_its_node(store: Store, worker: WorkerName) -> Callable[[], object]:
    """It is given that only if there is no other node."""
    submit(store, *map(str, range(20)))
    store.settle([retry_later(claim) for claim in store.claim(worker, PLENTY).claims])
    return lambda: store.claim(worker, PLENTY)


def doubts_its_node(store: Store, worker: WorkerName) -> Callable[[], object]:
    """It looks for a worker elsewhere that has not failed: there is one, most likely."""
    submit(store, *map(str, range(20)))
    claims = store.claim(worker, PLENTY).claims
    return lambda: store.settle([doubt(claim) for claim in claims])


def fails_like_all_others(store: Store, worker: WorkerName) -> Callable[[], object]:
    """It asks whether others do better. So do they all, every second, when the tasks are what is wrong."""
    submit(store, "x")
    store.settle([fail(claim) for claim in store.claim(worker, PLENTY).claims])
    return lambda: store.settle([Suspect("", 0, worker.worker, worker.node, "reason", 60.0, ())])


def beats(store: Store, worker: WorkerName) -> Callable[[], object]:
    return lambda: (store.reap(), store.renew(worker, b'{"node": "node-w0000"}'))


ACTIONS = [
    gives_a_task_back, retries_tasks_that_no_node_can_start, claims_what_has_failed_on_its_node, doubts_its_node,
    fails_like_all_others, beats,
]  # fmt: skip


@pytest.mark.parametrize("action", ACTIONS)
def test_it_costs_the_same_with_many_workers(
    store: Store, client: redis.Redis, action: Callable[[Store, WorkerName], Callable[[], object]]
) -> None:
    costs = []
    for workers in (20, MANY):
        client.flushall()
        worker = crowd(store, workers)
        store.reap()
        do = action(store, worker)
        do() if action is beats else None
        costs.append(sum(calls(client, do).values()))
    few, many = costs
    assert many <= few + 4, "what is done more than before is to see when the bell was rung last"


def forgets_a_claim(store: Store, worker: WorkerName) -> Callable[[], object]:
    submit(store, "x")
    store.claim(worker, PLENTY)
    return lambda: store.reconcile(worker, [])


def begins_a_new_life(store: Store, worker: WorkerName) -> Callable[[], object]:
    submit(store, "x")
    store.claim(worker, PLENTY)
    return lambda: registered(store, worker.worker, life="2")


def retries_what_has_failed(store: Store, worker: WorkerName) -> Callable[[], object]:
    submit(store, "x")
    [claim] = store.claim(worker, PLENTY).claims
    store.settle([fail(claim)])
    return lambda: list(store.retry([claim.task_id]))


def submits(store: Store, worker: WorkerName) -> Callable[[], object]:
    return lambda: submit(store, "x")


def fails_alone(store: Store, worker: WorkerName) -> Callable[[], object]:
    bad = registered(store, "w1")
    submit(store, "done", "x")
    store.settle([finish(claim) for claim in store.claim(worker, room(1)).claims])
    [claim] = store.claim(bad, PLENTY).claims
    store.settle([fail(claim)])
    return lambda: store.settle([Suspect("", 0, bad.worker, bad.node, "reason", 5.0, (claim.task_id,))])


def is_mended(store: Store, worker: WorkerName) -> Callable[[], object]:
    fails_alone(store, worker)()
    return lambda: store.release(["w1"])


RINGERS = [
    gives_a_task_back, retries_tasks_that_no_node_can_start, doubts_its_node, forgets_a_claim, begins_a_new_life,
    retries_what_has_failed, submits, fails_alone, is_mended,
]  # fmt: skip


@pytest.mark.parametrize("action", RINGERS)
def test_whatever_lets_a_task_be_claimed_rings_the_bell(
    store: Store, client: redis.Redis, action: Callable[[Store, WorkerName], Callable[[], object]]
) -> None:
    """Who waits for work has no timer."""
    do = action(store, crowd(store, 3))
    assert calls(client, do).get("publish", 0) >= 1


def test_who_takes_tasks_from_the_dead_rings_the_bell(store: Store, client: redis.Redis) -> None:
    worker = crowd(store, 3)
    submit(store, "x")
    store.claim(worker, PLENTY)
    store.reap()
    client.zadd(prefix("test") + "leases", {worker.worker: 1})
    assert calls(client, store.reap)["publish"] == 1


def test_where_workers_are_many_not_every_returned_task_wakes_them_all(store: Store, client: redis.Redis) -> None:
    """A thousand that are idle would each ask, for each task. They ask with their heartbeats: one of them very soon."""
    worker = crowd(store, MANY)
    submit(store, *map(str, range(50)))
    claims = store.claim(worker, PLENTY).claims
    assert calls(client, lambda: [store.settle([give_back(claim)]) for claim in claims]).get("publish", 0) <= 10


def test_where_workers_are_few_each_hears_of_each(store: Store, client: redis.Redis) -> None:
    worker = crowd(store, 3)
    submit(store, *map(str, range(50)))
    claims = store.claim(worker, PLENTY).claims
    assert calls(client, lambda: [store.settle([give_back(claim)]) for claim in claims])["publish"] == 50


def test_only_those_are_called_whose_tasks_are_cancelled(store: Store, client: redis.Redis) -> None:
    worker = crowd(store, 3)
    submit(store, "x")
    [claim] = store.claim(worker, PLENTY).claims
    with client.pubsub(ignore_subscribe_messages=True) as channel:  # type: ignore[no-untyped-call]
        channel.subscribe(prefix("test") + WAKE_CHANNEL)
        channel.get_message(timeout=5)
        assert dict(store.cancel([claim.task_id])) == {claim.task_id: "ok"}
        message = channel.get_message(timeout=5)
    assert message is not None
    assert message["data"] == b"revoked\nw0000"


def test_a_claim_and_a_report_cost_the_same_in_a_long_queue(store: Store, client: redis.Redis) -> None:
    costs = []
    for tasks in (200, 20_000):
        client.flushall()
        worker = crowd(store, 1)
        submit(store, *(f"{number}" for number in range(tasks)))
        store.settle([finish(claim) for claim in store.claim(worker, room(10)).claims])
        claims = store.claim(worker, room(10)).claims
        assert commands(claims)[0] == "10"
        costs.append(calls(client, lambda: store.settle_and_claim(worker, [finish(one) for one in claims], room(10))))  # noqa: B023
    assert costs[0] == costs[1]
