"""What each transition promises, one script at a time, on every supported server."""

from __future__ import annotations

import math
import re
from collections.abc import Callable
from pathlib import Path

import pytest
import redis
from msgspec.structs import replace

from distcomp.errors import Ambiguous, LeaseLost, NotFound, StoreRefused
from distcomp.model import Claim, JobContext, NodeRoom, State, TaskSpec, Use
from distcomp.packing import starvation
from distcomp.store.keys import prefix
from distcomp.store.reading import Reading
from distcomp.store.scripts import script_names
from distcomp.store.settlements import AnySettlement
from distcomp.store.store import Proof, Store, WorkerLeaseLost
from tests.support.values import (
    PLENTY,
    a_worker,
    commands,
    doubt,
    fail,
    finish,
    give_back,
    id_of,
    identify,
    only_claim,
    registered,
    retry_later,
    room,
    submit,
)

GIB = 1 << 30


# Claiming


def test_larger_priority_first_then_oldest(store: Store) -> None:
    submit(store, TaskSpec("low", priority=-5), TaskSpec("a"), TaskSpec("high", priority=7), TaskSpec("b"))
    submit(store, TaskSpec("high too", priority=7), TaskSpec("c"))
    worker = registered(store)
    assert commands(store.claim(worker, room(3)).claims) == ["high", "high too", "a"]
    assert commands(store.claim(worker, PLENTY).claims) == ["b", "c", "low"]


def test_oldest_first_across_different_needs(store: Store) -> None:
    submit(store, *(TaskSpec(f"{number}", memory_bytes=(number % 3) * GIB) for number in range(30)))
    claimed = store.claim(registered(store), PLENTY).claims
    assert commands(claimed) == [str(number) for number in range(30)]


def test_a_task_that_does_not_fit_is_passed_and_the_rest_is_claimed(store: Store) -> None:
    submit(
        store,
        TaskSpec("big", memory_bytes=8 * GIB),
        TaskSpec("small", memory_bytes=GIB),
        TaskSpec("wide", cores=8),
        "any",
    )
    claimed = store.claim(registered(store), room(10, memory_bytes=2 * GIB, cores=4)).claims
    assert commands(claimed) == ["small", "any"]


def test_claims_of_one_call_share_the_room(store: Store) -> None:
    submit(store, *(TaskSpec(f"{number}", memory_bytes=3 * GIB) for number in range(5)))
    assert len(store.claim(registered(store), room(10, memory_bytes=10 * GIB)).claims) == 3


def test_a_task_passed_over_for_too_long_is_claimed_alone_by_a_node_that_can_hold_it(
    store: Store, client: redis.Redis
) -> None:
    """An endless stream of small tasks must not starve a big one."""
    submit(store, TaskSpec("big", memory_bytes=8 * GIB), *(f"small {number}" for number in range(9)))
    worker = registered(store)
    busy = room(2, memory_bytes=GIB)
    busy = type(busy)(busy.attempts, GIB, 4, 10 * GIB, 4)
    assert commands(store.claim(worker, busy).claims) == ["small 0", "small 1"]
    [(waiting_class, since_ms)] = client.hgetall(prefix("test") + "passed").items()
    client.hset(prefix("test") + "passed", waiting_class, int(since_ms) - 1_000_001)
    assert commands(store.claim(worker, busy).claims) == ["big"], "and nothing beside it, as its need is the room"
    assert commands(store.claim(worker, busy).claims) == ["small 2", "small 3"]


def test_a_task_that_came_back_too_often_is_given_to_the_next_node_that_has_memory_to_spare(store: Store) -> None:
    """It needs no half an hour more to show that no room is left to it."""
    submit(store, "big", *(f"small {number}" for number in range(9)))
    worker = registered(store)
    for time in range(starvation.RETURNS):
        [claim] = store.claim(worker, room(1)).claims
        assert claim.spec.command == "big", f"returned {time} times"
        store.settle([give_back(claim, need_bytes=8 * GIB)])
    no_more_than_it_needs = NodeRoom(2, GIB, 4, 9 * GIB, 4)
    assert commands(store.claim(worker, no_more_than_it_needs).claims) == ["small 0", "small 1"]
    assert commands(store.claim(worker, NodeRoom(2, GIB, 4, 10 * GIB, 4)).claims) == ["big"]


def test_only_one_task_at_a_time_has_room_made_for_it(store: Store, client: redis.Redis) -> None:
    submit(store, TaskSpec("big", memory_bytes=8 * GIB), TaskSpec("wide", cores=4), "small")
    worker, busy = registered(store), NodeRoom(3, GIB, 1, 16 * GIB, 4)
    assert commands(store.claim(worker, busy).claims) == ["small"]
    for waiting_class in client.hkeys(prefix("test") + "passed"):
        client.hset(prefix("test") + "passed", waiting_class, 1)
    assert commands(store.claim(worker, busy).claims) == ["big"]
    assert commands(store.claim(worker, busy).claims) == ["wide"]


def test_tasks_of_unknown_need_wait_for_larger_ones_before_them_where_the_worker_says_so(store: Store) -> None:
    """Else large ones pile up until only they are left."""
    submit(store, "a", TaskSpec("b", memory_bytes=8 * GIB), TaskSpec("c", memory_bytes=GIB), "d", "e")
    submit(store, TaskSpec("urgent", priority=1))
    worker, busy = registered(store), NodeRoom(9, 2 * GIB, 4, 16 * GIB, 4, unknown_waits=True)
    assert commands(store.claim(worker, busy).claims) == ["urgent", "a", "c"]
    assert store.claim(worker, busy).claims == []
    larger_nodes_only = NodeRoom(1, 2 * GIB, 4, 4 * GIB, 4, unknown_waits=True)
    assert commands(store.claim(worker, larger_nodes_only).claims) == ["d"], "this one could never hold it"
    assert commands(store.claim(worker, replace(busy, unknown_waits=False)).claims) == ["e"]


def test_a_node_too_small_for_a_task_never_claims_it(store: Store, client: redis.Redis) -> None:
    submit(store, TaskSpec("big", memory_bytes=8 * GIB))
    worker = registered(store)
    assert store.claim(worker, room(2, memory_bytes=GIB)).claims == []
    assert client.hlen(prefix("test") + "passed") == 0


def test_a_claim_costs_the_same_with_a_thousand_needs_in_the_queue(store: Store, client: redis.Redis) -> None:
    """Needs are kept in steps, so the queue has a bounded number of classes."""
    submit(store, *(TaskSpec(f"{n}", memory_bytes=GIB + n * 1_000_003) for n in range(1000)))
    assert client.zcard(prefix("test") + "heads") < 50


def test_the_order_survives_chunks_and_batches(store: Store) -> None:
    submit(store, *(f"{number}" for number in range(2345)))
    worker, claimed = registered(store), []
    while claims := store.claim(worker, room(77)).claims:
        claimed += commands(claims)
    assert claimed == [str(number) for number in range(2345)]


def test_a_spec_comes_back_as_it_was_submitted(store: Store) -> None:
    spec = TaskSpec(
        "cat 'na\udcffme' \x01 ü", priority=3, memory_bytes=GIB, cores=0.5, cwd="/t", env={"A": "\udcfe"}, timeout_s=3,
        retries=0, kind="k", tags=("x", "y"), params={"size": 0.1, "trace": "a\udc80"},
    )  # fmt: skip
    submit(store, spec)
    assert only_claim(store).spec == spec


@pytest.mark.parametrize("text", ["/t/ü", "/t/caf\udce9", "\0\udcff", "e"])
def test_what_a_job_shares_comes_back_as_it_was_submitted(store: Store, reading: Reading, text: str) -> None:
    context = JobContext(cwd=text, env={text: text}, kind=text, source=text, timeout_s=3)
    job = store.open_job(context)
    assert store.job(job) == reading.jobs()[job] == context


# Leaving `running` needs the claim's own token


@pytest.mark.parametrize("settle", [finish, fail, doubt, retry_later, give_back])
def test_a_settlement_with_a_stale_token_changes_nothing(
    store: Store, reading: Reading, settle: Callable[[Claim], AnySettlement]
) -> None:
    submit(store, "t")
    first = only_claim(store, "w1")
    store.settle([give_back(first)])
    second = only_claim(store, "w2")
    before = reading.task(first.task_id)
    assert store.settle([settle(first)]) == ["lease_lost"]
    assert reading.task(first.task_id) == before
    assert store.settle([finish(second)]) == ["ok"]


def test_settlements_are_answered_in_their_own_order(store: Store, reading: Reading) -> None:
    submit(store, *"abcde")
    claims = {claim.spec.command: claim for claim in store.claim(registered(store), PLENTY).claims}
    settlements: list[AnySettlement] = [
        finish(claims["a"]),
        give_back(claims["b"]),
        fail(claims["c"]),
        finish(claims["a"]),
        retry_later(claims["d"]),
    ]
    assert store.settle(settlements) == ["ok", "ok", "ok", "lease_lost", "ok"]
    states = {record.spec.command: record.state.value for record in reading.scan()}
    assert states == {"a": "finished", "b": "todo", "c": "failed", "d": "todo", "e": "running"}


# Workers


def test_a_task_whose_worker_fell_silent_is_run_again(store: Store, client: redis.Redis) -> None:
    """A dead node loses no task, and has no say in it when it comes back."""
    submit(store, "t")
    claim = only_claim(store, "w1")
    store.reap()
    client.zadd(prefix("test") + "leases", {"w1": 1})
    assert store.reap() == 1
    again = only_claim(store, "w2")
    assert again.attempt == 2
    assert store.settle([finish(claim)]) == ["lease_lost"]
    with pytest.raises(LeaseLost):
        store.renew(a_worker("w1"), b"{}")


def test_heartbeats_add_up_what_was_used_since_the_last(store: Store, reading: Reading) -> None:
    first = Use(span_s=2, memory_byte_s=3 * GIB, total_byte_s=8 * GIB, core_s=1.5, total_core_s=4)
    later = Use(
        span_s=3, memory_byte_s=4 * GIB, total_byte_s=12 * GIB, core_s=2, total_core_s=6, peak_memory_fraction=0.75
    )
    worker = registered(store)
    store.renew(worker, b"{}", first)
    store.renew(worker, b"{}", later, told=first)
    store.renew(registered(store, "w2"), b"{}", replace(first, peak_memory_fraction=0.5, peak_cores_fraction=1.0))
    use = reading.use(reading.stats())
    assert (use.span_s, use.memory_byte_s, use.core_s) == (5, 7 * GIB, 3.5)
    assert (use.memory_fraction, use.cores_fraction) == (7 / 20, 3.5 / 10)
    assert (use.peak_memory_fraction, use.peak_cores_fraction) == (0.75, 1)
    assert reading.use(reading.stats(), since_ms=reading.now_ms() + 1000).peak_memory_fraction == 0


def test_leases_start_anew_when_nobody_could_renew_them(store: Store, client: redis.Redis) -> None:
    """A store that was away for an hour must not take its workers for dead."""
    submit(store, "t")
    only_claim(store)
    store.reap()
    client.decr(prefix("test") + "reaped_at", 3_600_000)
    client.zadd(prefix("test") + "leases", {"w1": 1})
    assert store.reap() == 0
    assert store.renew(a_worker(), b"{}").revoked == []


def test_a_heartbeat_is_told_when_anybody_has_looked_for_dead_workers(store: Store, client: redis.Redis) -> None:
    """So that one looks for all of them."""
    worker = registered(store)
    assert store.renew(worker, b"{}").looked_ago_s == math.inf
    registered(store, "w2")
    store.reap()
    client.decr(prefix("test") + "reaped_at", 3000)
    assert 3 <= store.renew(worker, b"{}").looked_ago_s < 4
    client.incrby(prefix("test") + "reaped_at", 3_600_000)
    assert store.renew(worker, b"{}").looked_ago_s == math.inf, "the clock was set back"


def test_a_store_that_was_away_for_most_of_a_lease_takes_nobody_for_dead(store: Store, client: redis.Redis) -> None:
    """The first worker that is back looks for dead ones before the others could renew."""
    submit(store, "t")
    only_claim(store)
    store.reap()
    # The worker had renewed a quarter of a lease before the store went away for four fifths of one.
    client.decr(prefix("test") + "reaped_at", 8_000)
    client.zincrby(prefix("test") + "leases", -10_500, "w1")
    assert store.reap() == 0
    assert store.renew(a_worker(), b"{}").revoked == []


def test_leases_are_dated_anew_when_the_servers_clock_was_set_back(
    store: Store, client: redis.Redis, reading: Reading
) -> None:
    submit(store, "t", "u")
    store.settle([retry_later(store.claim(registered(store), room(1)).claims[0], delay_s=1)])
    for key, field in (("leases", "w1"), ("delayed", bytes.fromhex(id_of("t")))):
        client.zincrby(prefix("test") + key, 3_600_000, field)
    client.incrby(prefix("test") + "reaped_at", 3_600_000)
    assert store.reap() == 0
    [worker] = reading.workers()
    assert worker.lease_left_s <= store.limits.lease_s
    assert sorted(commands(store.claim(a_worker(), PLENTY).claims)) == ["t", "u"], "the delay did not last an hour"


def test_a_worker_that_starts_again_returns_what_its_earlier_life_held(store: Store, reading: Reading) -> None:
    submit(store, *(f"{number}" for number in range(1200)))
    worker = registered(store)
    claim = store.claim(worker, room(1)).claims[0]
    while store.claim(worker, PLENTY).claims:
        pass
    registered(store, life="2")
    assert reading.counts()[State.TODO] == 1200
    assert store.settle([finish(claim)]) == ["lease_lost"]
    with pytest.raises(LeaseLost):
        store.claim(worker, PLENTY)


def test_reports_count_though_the_workers_own_lease_is_over(store: Store) -> None:
    """Each report stands on its own token: only what was taken from the worker is lost."""
    submit(store, "t")
    claim = only_claim(store)
    with pytest.raises(WorkerLeaseLost) as lost:
        store.settle_and_claim(a_worker(life="0"), [finish(claim)], PLENTY)
    assert lost.value.words == ["ok"]


def test_a_dead_worker_loses_all_its_tasks_however_many_they_are(
    store: Store, client: redis.Redis, reading: Reading
) -> None:
    """In several calls: none may hold the server up."""
    submit(store, *(f"{number}" for number in range(1200)))
    store.claim(registered(store), room(1200))
    store.reap()
    client.zadd(prefix("test") + "leases", {"w1": 1})
    assert [store.reap() for _ in range(4)] == [500, 500, 200, 0]
    assert reading.counts()[State.TODO] == 1200
    assert reading.workers() == []


def test_what_the_store_forgot_that_it_was_told_goes_back(store: Store, client: redis.Redis, reading: Reading) -> None:
    """A server that crashed may have lost a report that it had taken: then nobody runs the task any more."""
    submit(store, "told", "runs")
    told, runs = store.claim(registered(store), room(2)).claims
    assert store.reconcile(a_worker(), [Proof(runs.task_id, runs.token)]) == (1, [])
    assert reading.task(told.task_id).state is State.TODO
    assert store.settle([finish(runs)]) == ["ok"]
    with pytest.raises(LeaseLost):
        store.reconcile(a_worker(life="0"), [])


def test_what_the_store_forgot_that_it_gave_is_to_be_killed(store: Store) -> None:
    """It has lost the claim, so somebody else may run the task by now."""
    submit(store, "t")
    claim = only_claim(store)
    store.settle([give_back(claim)])
    again = only_claim(store)
    old, new = Proof(claim.task_id, claim.token), Proof(again.task_id, again.token)
    assert store.reconcile(a_worker(), [old, new]) == (0, [old])


def test_a_class_that_was_emptied_does_not_begin_as_starving(store: Store, client: redis.Redis) -> None:
    submit(store, TaskSpec("big", memory_bytes=8 * GIB))
    worker, small = registered(store), NodeRoom(2, GIB, 4, 10 * GIB, 4)
    store.claim(worker, small)
    assert client.hlen(prefix("test") + "passed") == 1
    store.claim(worker, PLENTY)
    assert client.hlen(prefix("test") + "passed") == 0


def test_tokens_are_not_given_twice_by_a_server_that_lost_its_counter(store: Store, client: redis.Redis) -> None:
    submit(store, "t")
    claim = only_claim(store)
    store.settle([give_back(claim)])
    client.delete(prefix("test") + "token_no")
    assert only_claim(store).token > claim.token


def test_a_worker_that_still_holds_tasks_cannot_leave(store: Store) -> None:
    submit(store, "t")
    claim = only_claim(store)
    assert store.leave(a_worker()) == "busy"
    store.settle([finish(claim)])
    assert store.leave(a_worker()) == "ok"
    assert store.leave(a_worker()) == "lease_lost"


# Users


def test_a_cancelled_attempt_is_taken_from_its_worker_which_hears_of_it_once(store: Store) -> None:
    submit(store, "t")
    claim = only_claim(store)
    assert list(store.cancel([claim.task_id])) == [(claim.task_id, "ok")]
    assert store.renew(a_worker(), b"{}").revoked == [(claim.task_id, claim.token)]
    assert store.renew(a_worker(), b"{}").revoked == []
    assert store.settle([finish(claim)]) == ["lease_lost"]


def test_a_task_cancelled_and_retried_runs_once(store: Store) -> None:
    """Its place in the fresh range is stale: only its own entry counts."""
    submit(store, "a", "t", "b")
    list(store.cancel([id_of("t")]))
    list(store.retry([id_of("t")]))
    worker = registered(store)
    assert sorted(commands(store.claim(worker, PLENTY).claims)) == ["a", "b", "t"]
    assert store.claim(worker, PLENTY).claims == []


def test_a_task_forgotten_and_submitted_again_runs_once(store: Store) -> None:
    submit(store, "a", "t", "b")
    list(store.cancel([id_of("t")]))
    list(store.forget([id_of("t")]))
    submit(store, "t")
    worker = registered(store)
    assert commands(store.claim(worker, PLENTY).claims) == ["a", "b", "t"]
    assert store.claim(worker, PLENTY).claims == []


def test_a_million_cancelled_tasks_do_not_hold_up_a_claim(store: Store) -> None:
    """A claim looks at a bounded number of entries, and says when it stopped short."""
    submit(store, *(f"{number}" for number in range(6000)))
    list(store.cancel(id_of(f"{number}") for number in range(5990)))
    worker = registered(store)
    first = store.claim(worker, PLENTY)
    assert (first.claims, first.next_due_s) == ([], 0)
    assert len(store.claim(worker, PLENTY).claims) == 10


def test_all_keys_of_a_forgotten_project_are_counters(store: Store, client: redis.Redis) -> None:
    submit(store, *(f"{number}" for number in range(250)))
    claims = [claim for _ in range(3) for claim in store.claim(registered(store), PLENTY).claims]
    store.settle([finish(claim) if number % 2 else retry_later(claim) for number, claim in enumerate(claims)])
    claims = store.claim(registered(store), room(1000)).claims
    store.settle([fail(claim) for claim in claims])
    list(store.forget(id_of(f"{number}") for number in range(250)))
    store.leave(a_worker())
    left = {key.decode()[len(prefix("test")) :] for key in client.scan_iter() if b"rate" not in key}
    assert left <= {"seq", "chunk_no", "job_no", "token_no", "jobs", "counts", "stats", "events"}


# Submitting


def test_submitting_again_adds_only_what_is_new(store: Store) -> None:
    job = submit(store, *(f"{number}" for number in range(150)))
    store.settle([finish(claim) for claim in store.claim(registered(store), room(10)).claims])
    again = store.open_job(JobContext("/"))
    submission = store.submit(again, identify, keep=[State.FINISHED])
    for number in range(200):
        submission.add(TaskSpec(f"{number}"))
    added = submission.flush()
    assert (added.new, added.known, added.duplicates) == (50, {State.TODO: 140, State.FINISHED: 10}, 0)
    assert added.jobs == {job, again}
    assert len(added.known_by_state[State.FINISHED]) == 10


def test_equal_tasks_in_one_submission_are_added_once_and_counted(store: Store) -> None:
    submission = store.submit(store.open_job(JobContext("/")), identify)
    for number in range(3000):
        submission.add(TaskSpec(f"{number % 1500}"))
    added = submission.flush()
    assert (added.new, added.duplicates, sum(added.known.values())) == (1500, 1500, 0)


def test_data_of_another_version_is_refused(store: Store, client: redis.Redis) -> None:
    store.check_schema()
    store.check_schema()
    client.set(prefix("test") + "schema", "99")
    with pytest.raises(StoreRefused, match="schema 99"):
        store.check_schema()


def test_scripts_are_sent_again_to_a_server_that_lost_them(store: Store, client: redis.Redis) -> None:
    submit(store, "t")
    client.script_flush()
    claim = only_claim(store)
    client.script_flush()
    assert store.settle([finish(claim)]) == ["ok"]


# Reading


def test_an_id_may_be_shortened_as_long_as_it_is_the_only_one(store: Store, reading: Reading) -> None:
    submit(store, *(f"{number}" for number in range(300)))
    whole = id_of("7")
    assert reading.find(whole) == whole
    assert reading.find(whole[:9].upper()) == whole
    with pytest.raises(Ambiguous):
        reading.find(whole[:1])
    with pytest.raises(NotFound):
        reading.find("0" * 16)
    with pytest.raises(NotFound, match="not a task id"):
        reading.find("status")


def test_events_tell_what_happened_and_wait(store: Store, reading: Reading) -> None:
    before = reading.last_event()
    submit(store, "a", "b")
    [(event_id, event)] = reading.events(before, wait_s=5)
    assert event == {b"event": b"submitted", b"tasks": b"2"}
    assert reading.events(event_id, wait_s=0.01) == []


# One transition, one file, one method, one row


def test_every_script_is_a_method_and_a_row_of_the_state_machine() -> None:
    in_submission = {"finish", "fail", "doubt", "retry_later", "give_back", "quarantine"}
    for name in script_names():
        assert name in in_submission or hasattr(Store, name), name
    table = (Path(__file__).parents[2] / "docs/state-machine.md").read_text()
    rows = set(re.findall(r"^\| `([a-z_]+)` \|", table, re.MULTILINE))
    assert rows == set(script_names())
