"""The courier: claims and reports travel, whatever happens to the store."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from distcomp.clock import SystemClock
from distcomp.errors import StoreUnavailable
from distcomp.model import Claim, State
from distcomp.store.keys import prefix
from distcomp.store.reading import Reading
from distcomp.store.store import Proof, Store, StoreLimits
from distcomp.worker.courier import Courier
from distcomp.worker.doorbell import Doorbell
from distcomp.worker.spool import Spool
from tests.support.servers import Server
from tests.support.values import a_claim, a_worker, facts, finish, room, submit
from tests.support.waiting import wait_until


class Desk:
    """A worker's side of a courier: asks, and gathers what comes."""

    def __init__(self, server: Server, folder: Path, lease_s: float = 2) -> None:
        self.server, self.spool, self.lease_s = server, Spool(folder / "spool"), lease_s
        self.woken = threading.Event()
        self.claims: list[Claim] = []
        self.revoked: list[Proof] = []
        self.lost = 0
        name = a_worker()
        self.courier = Courier(self.connect, name, self.spool, SystemClock(), self.woken.set)
        self.courier.start(facts(name))

    def connect(self) -> Store:
        return Store(self.server.client(), "test", StoreLimits(lease_s=self.lease_s))

    def gather(self) -> Desk:
        news = self.courier.news()
        self.claims += news.claims
        self.revoked += news.revoked
        self.lost += news.is_lease_lost
        return self

    def ask(self, attempts: int) -> None:
        self.courier.ask(room(attempts), is_idle=True)


@pytest.fixture
def server() -> Iterator[Server]:
    with Server("valkey9", "--appendonly", "yes") as server:
        yield server


@pytest.fixture
def store(server: Server) -> Iterator[Store]:
    store = Store(server.client(), "test", StoreLimits(lease_s=2))
    yield store
    store.close()


@pytest.fixture
def desk(server: Server, tmp_path: Path) -> Iterator[Desk]:
    desk = Desk(server, tmp_path)
    yield desk
    desk.courier.stop(5)


def test_what_is_asked_for_is_claimed_once(desk: Desk, store: Store) -> None:
    submit(store, *(f"{number}" for number in range(20)))
    desk.ask(4)
    wait_until(lambda: desk.gather().claims, "claims arrive")
    assert [claim.spec.command for claim in desk.claims] == ["0", "1", "2", "3"]
    assert Reading(store).counts()[State.RUNNING] == 4


def test_asking_again_before_the_claims_were_taken_claims_no_more(desk: Desk, store: Store) -> None:
    """The worker cannot count what it has not seen."""
    submit(store, *(f"{number}" for number in range(20)))
    desk.ask(4)
    assert desk.woken.wait(10)
    for _ in range(50):
        assert not desk.courier.can_ask()
        desk.ask(4)
    desk.courier.report(finish(a_claim()))
    wait_until(lambda: not desk.courier._outbox, "a round trip is made")
    assert Reading(store).counts()[State.RUNNING] == 4


def test_who_may_not_ask_yet_is_woken_when_the_answer_is_there(desk: Desk, store: Store, server: Server) -> None:
    """Also by an answer that brings nothing: there may be more room than was asked for."""
    desk.ask(4)
    wait_until(lambda: desk.courier._is_dry, "the answer is that there is nothing")
    assert desk.courier.can_ask()
    pid = server.client().info("server")["process_id"]
    os.kill(pid, signal.SIGSTOP)
    desk.ask(4)
    desk.courier.ring()
    wait_until(lambda: not desk.courier.can_ask(), "the next question is on its way")
    desk.woken.clear()
    os.kill(pid, signal.SIGCONT)
    assert desk.woken.wait(10)
    assert desk.courier.can_ask()


def test_a_submission_rings_the_bell_of_an_idle_worker(
    desk: Desk, store: Store, server: Server, request: pytest.FixtureRequest
) -> None:
    bell = Doorbell(server.client, "test", desk.courier.ring)
    bell.start()
    request.addfinalizer(bell.stop)
    desk.ask(4)
    wait_until(lambda: server.client().pubsub_numsub(prefix("test") + "wake")[0][1] == 1, "the bell is connected")
    submit(store, "t")
    wait_until(lambda: desk.gather().claims, "the claim arrives, though nobody asked again", timeout_s=1)


def test_reports_made_while_the_store_is_away_are_on_disk_and_arrive_later(
    desk: Desk, store: Store, server: Server
) -> None:
    submit(store, *(f"{number}" for number in range(3)))
    desk.ask(3)
    wait_until(lambda: len(desk.gather().claims) == 3, "claims arrive")
    server.kill()
    for claim in desk.claims:
        desk.courier.report(finish(claim))
    wait_until(lambda: desk.spool, "reports are on disk")
    server.start()
    reading = Reading(desk.connect())
    wait_until(lambda: reading.counts()[State.FINISHED] == 3, "reports are delivered")
    wait_until(lambda: not desk.spool, "the disk is cleared")


def test_a_report_that_a_crashed_store_forgot_lets_the_task_run_again(desk: Desk, store: Store, server: Server) -> None:
    submit(store, "told", "runs")
    desk.ask(2)
    wait_until(lambda: len(desk.gather().claims) == 2, "claims arrive")
    told, runs = desk.claims
    client = server.client()
    entry = client.hget(prefix("test") + "tasks", bytes.fromhex(told.task_id))
    desk.courier.report(finish(told))
    wait_until(lambda: Reading(store).counts()[State.FINISHED] == 1, "the report is delivered")
    client.hset(prefix("test") + "tasks", bytes.fromhex(told.task_id), entry)
    client.sadd(prefix("test") + "held:w1", bytes.fromhex(told.task_id))
    server.kill()
    server.start()
    reading = Reading(desk.connect())
    wait_until(lambda: reading.task(told.task_id).state is State.TODO, "the worker says that it does not hold it")
    assert reading.task(runs.task_id).state is State.RUNNING


def test_what_a_killed_worker_left_on_disk_is_delivered_by_the_next_before_its_tasks_are_returned(
    store: Store, server: Server, tmp_path: Path
) -> None:
    submit(store, "done", "not done")
    worker = a_worker(life="earlier")
    store.register(worker, facts(worker))
    done, _ = store.claim(worker, room(2)).claims
    Spool(tmp_path / "spool").add([finish(done)])
    desk = Desk(server, tmp_path)
    assert Reading(store).counts() | {} == {
        State.TODO: 1, State.RUNNING: 0, State.FINISHED: 1, State.FAILED: 0, State.CANCELLED: 0,
    }  # fmt: skip
    desk.courier.stop(5)


def test_a_worker_taken_for_dead_hears_of_it_and_begins_a_new_life(desk: Desk, store: Store, server: Server) -> None:
    submit(store, "t")
    desk.ask(1)
    wait_until(lambda: desk.gather().claims, "the claim arrives")
    client = server.client()
    client.hdel(prefix("test") + "incarnations", "w1")
    wait_until(lambda: desk.gather().lost, "the courier says so")
    for _ in range(200):  # longer than it would take
        assert client.hget(prefix("test") + "incarnations", "w1") is None, "what it ran is not known to be dead yet"
    desk.courier.begin_new_life()
    wait_until(lambda: client.hget(prefix("test") + "incarnations", "w1") is not None, "it is registered again")
    desk.ask(1)
    wait_until(lambda: len(desk.gather().claims) == 2, "the task is claimed again")
    first, again = desk.claims
    assert store.settle([finish(first), finish(again)]) == ["lease_lost", "ok"]


def test_a_worker_hears_what_was_cancelled(desk: Desk, store: Store) -> None:
    submit(store, "t")
    desk.ask(1)
    wait_until(lambda: desk.gather().claims, "the claim arrives")
    list(store.cancel([desk.claims[0].task_id]))
    [claim] = desk.claims
    wait_until(lambda: desk.gather().revoked == [(claim.task_id, claim.token)], "the worker is told")


def test_a_worker_hears_at_once_what_was_cancelled(
    store: Store, server: Server, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    """Not with the next heartbeat, which may be minutes away."""
    desk = Desk(server, tmp_path, lease_s=3600)
    bell = Doorbell(server.client, "test", desk.courier.ring)
    bell.start()
    request.addfinalizer(lambda: desk.courier.stop(5))
    request.addfinalizer(bell.stop)
    wait_until(lambda: server.client().pubsub_numsub(prefix("test") + "wake")[0][1] == 1, "the bell is connected")
    submit(store, "t")
    desk.ask(1)
    wait_until(lambda: desk.gather().claims, "the claim arrives")
    list(store.cancel([desk.claims[0].task_id]))
    wait_until(lambda: desk.gather().revoked, "the worker is told", timeout_s=2)


def test_who_is_to_start_nothing_is_given_nothing_whoever_rings(desk: Desk, store: Store) -> None:
    """A draining worker must not claim what was submitted meanwhile."""
    desk.ask(4)
    wait_until(lambda: desk.courier._is_dry, "there is nothing to claim")
    desk.courier.ask_nothing()
    submit(store, "t")
    desk.courier.ring()
    desk.courier.report(finish(a_claim()))
    wait_until(lambda: not desk.courier._outbox, "a round trip is made")
    assert Reading(store).counts()[State.TODO] == 1


def test_a_courier_that_never_started_can_be_stopped(server: Server, tmp_path: Path) -> None:
    def refuse() -> Store:
        raise StoreUnavailable("no store")

    courier = Courier(refuse, a_worker(), Spool(tmp_path / "spool"), SystemClock(), lambda: None)
    with pytest.raises(StoreUnavailable):
        courier.start(b"{}")
    assert courier.stop(1)


def test_an_error_that_nobody_expected_reaches_the_worker_and_keeps_its_reports(desk: Desk, store: Store) -> None:
    desk.courier._store = None
    desk.courier._connect = lambda: 1 / 0  # type: ignore[assignment, return-value]
    desk.courier.report(finish(a_claim()))
    wait_until(lambda: desk.courier.news().refusal, "the worker hears of it")


def test_leaving_gives_back_what_was_claimed_on_the_last_trip(desk: Desk, store: Store) -> None:
    submit(store, *(f"{number}" for number in range(3)))
    desk.ask(3)
    assert desk.woken.wait(10)
    assert desk.courier.stop(10)
    counts = Reading(store).counts()
    assert (counts[State.TODO], counts[State.RUNNING]) == (3, 0)
    assert Reading(store).workers() == []


def test_a_report_written_half_is_left_out(tmp_path: Path) -> None:
    """The worker died while it wrote: that task runs again."""
    spool = Spool(tmp_path / "spool")
    claims = [a_claim(number) for number in range(3)]
    spool.add([finish(claim) for claim in claims])
    path = tmp_path / "spool"
    path.write_bytes(path.read_bytes()[:-5])
    [batch] = spool.batches()
    assert [settlement.token for settlement in batch] == [0, 1]
    spool.clear()
    assert not spool


def test_zeros_at_the_end_of_the_spool_do_not_stop_the_next_worker(tmp_path: Path) -> None:
    """What a machine that lost power may leave."""
    spool = Spool(tmp_path / "spool")
    spool.add([finish(a_claim(1))])
    for tail in (bytes(8), b"\0\0\0\3abc"):
        with (tmp_path / "spool").open("ab") as file:
            file.write(tail)
        [[settlement]] = spool.batches()
        assert settlement.token == 1


def test_a_full_disk_keeps_reports_out_of_the_spool_whole(tmp_path: Path) -> None:
    spool = Spool(Path("/dev/full"))
    with pytest.raises(OSError, match="No space left"):
        spool.add([finish(a_claim())])
