"""What a claim takes and what it leaves, where two of its rules meet."""

from __future__ import annotations

import json

import redis
from msgspec.structs import replace

from distcomp.model import Claim, NodeRoom, TaskSpec
from distcomp.store.keys import prefix
from distcomp.store.store import Store
from tests.support.values import (
    PLENTY,
    commands,
    give_back,
    id_of,
    registered,
    retry_later,
    room,
    submit,
)

GIB = 1 << 30
STARVING_MS = 1_000_000
BUSY = NodeRoom(2, GIB, 4, 10 * GIB, 4)


def key(name: str) -> str:
    return prefix("test") + name


def let_wait(client: redis.Redis, milliseconds: int) -> None:
    """All that was passed over so far has waited for so much longer."""
    for waiting_class, since_ms in client.hgetall(key("passed")).items():
        client.hset(key("passed"), waiting_class, int(since_ms) - milliseconds)


def let_shun_end(client: redis.Redis, command: str) -> None:
    """The time is over for which a task keeps away from the node where it failed last."""
    task_id = bytes.fromhex(id_of(command))
    tries = json.loads(client.hget(key("tries"), task_id) or b"")
    client.hset(key("tries"), task_id, json.dumps(tries | {"shun_until": 1}))


def test_a_claim_is_a_sign_of_life(store: Store, client: redis.Redis) -> None:
    """What it brings is not taken away at once by whoever looks for dead workers."""
    submit(store, "t")
    worker = registered(store)
    store.reap()
    client.zadd(key("leases"), {"w1": 1})
    assert commands(store.claim(worker, PLENTY).claims) == ["t"]
    assert store.reap() == 0


def test_tasks_of_one_call_share_the_cores(store: Store) -> None:
    submit(store, *(TaskSpec(f"{number}", cores=1.5) for number in range(5)))
    assert len(store.claim(registered(store), room(10, cores=4)).claims) == 2


def test_a_node_without_memory_to_spare_makes_room_for_what_has_waited_twice_as_long(
    store: Store, client: redis.Redis
) -> None:
    submit(store, TaskSpec("big", memory_bytes=9 * GIB), "small")
    worker = registered(store)
    assert commands(store.claim(worker, BUSY).claims) == ["small"]
    let_wait(client, STARVING_MS + 1)
    assert store.claim(worker, BUSY).claims == []
    let_wait(client, STARVING_MS)
    assert commands(store.claim(worker, BUSY).claims) == ["big"]


def test_who_has_the_needs_of_one_that_was_starving_waits_anew(store: Store, client: redis.Redis) -> None:
    submit(store, *(TaskSpec(f"big {number}", memory_bytes=8 * GIB) for number in range(2)))
    worker = registered(store)
    store.claim(worker, BUSY)
    let_wait(client, STARVING_MS + 1)
    assert commands(store.claim(worker, BUSY).claims) == ["big 0"]
    assert store.claim(worker, BUSY).claims == []


def test_needs_that_nobody_has_any_more_do_not_go_on_starving(store: Store, client: redis.Redis) -> None:
    submit(store, "big")
    worker = registered(store)
    store.settle([give_back(claim, need_bytes=8 * GIB) for claim in store.claim(worker, PLENTY).claims])
    store.claim(worker, BUSY)
    assert client.hlen(key("passed")) == 1
    list(store.cancel([id_of("big")]))
    assert client.hlen(key("passed")) == 0


def test_a_need_that_was_learned_is_kept_by_a_return_that_teaches_nothing(store: Store) -> None:
    submit(store, "t")
    for learned_bytes in (3 * GIB, 0):
        store.settle([give_back(claim, learned_bytes) for claim in store.claim(registered(store), PLENTY).claims])
    assert [claim.need_bytes for claim in store.claim(registered(store), PLENTY).claims] == [3 * GIB]


def test_tasks_of_unknown_need_wait_also_behind_one_of_their_own_range(store: Store) -> None:
    submit(store, "a", TaskSpec("big", memory_bytes=8 * GIB), "b", "c")
    busy = replace(BUSY, attempts=9, unknown_waits=True)
    assert commands(store.claim(registered(store), busy).claims) == ["a"]


def failed_on_first(store: Store, away: str = "") -> None:
    """A task that failed on the node of w1, while there is another node."""
    first = registered(store, "w1")
    registered(store, "w2")
    submit(store, "t")
    store.settle([retry_later(claim, away=away) for claim in store.claim(first, PLENTY).claims])


def claimed_by_first(store: Store) -> list[Claim]:
    return store.claim(registered(store, "w1", life="2"), PLENTY).claims


def test_after_a_while_a_task_may_come_back_to_where_it_failed(store: Store, client: redis.Redis) -> None:
    """The other node may never have room."""
    failed_on_first(store)
    assert claimed_by_first(store) == []
    let_shun_end(client, "t")
    assert commands(claimed_by_first(store)) == ["t"]


def test_a_node_that_fell_silent_is_no_other_node(store: Store, client: redis.Redis) -> None:
    failed_on_first(store)
    client.zadd(key("leases"), {"w2": 1})
    assert commands(claimed_by_first(store)) == ["t"]


def test_to_where_it_cannot_even_start_a_task_never_comes_back(store: Store, client: redis.Redis) -> None:
    failed_on_first(store, away="node-w1")
    let_shun_end(client, "t")
    assert claimed_by_first(store) == []


def test_tokens_grow_even_if_the_clock_was_set_back(store: Store, client: redis.Redis) -> None:
    submit(store, "t")
    [claim] = store.claim(registered(store), PLENTY).claims
    store.settle([give_back(claim)])
    before = claim.token + 3600 * 10**6
    client.set(key("token_no"), before)
    [again] = store.claim(registered(store), PLENTY).claims
    assert again.token > before
