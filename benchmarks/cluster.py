"""A thousand workers on one store: what heartbeats, claims and reports cost its server, and how long a claim takes.

The workers are simulated: each has the connection and the store layer of a real one, and starts nothing. Time is real.
"""

from __future__ import annotations

import heapq
import os
import random
import resource
import tempfile
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import msgspec
import redis
from redis.client import PubSub

from benchmarks.queue import submit, write_tasks
from benchmarks.support import Line, Note, Project, Row, cpu_s, project
from distcomp.api import Client
from distcomp.model import Cause, Claim, NodeRoom, Outcome, Usage
from distcomp.store.keys import WAKE_CHANNEL, prefix
from distcomp.store.reading import WorkerFacts
from distcomp.store.settlements import AnySettlement, Finish
from distcomp.store.store import Store, StoreLimits, WorkerName
from distcomp.worker.courier import REAP_EVERY_S

WORKERS = 1000
SLOTS = 32
TASK_S = (60.0, 600.0)
QUEUED = 1_000_000
MEASURED_S = 15.0
THREADS = 4
LIMITS = StoreLimits()
RENEW_EVERY_S = LIMITS.lease_s / 4
SHORT_BATCH = 100
SHORT_S = 3.0


@dataclass(slots=True)
class Crew:
    """Some of the workers, driven by one thread: what each is to do next, by time."""

    stores: list[Store]
    first: int
    seed: int
    claims_s: list[float] = field(default_factory=list)
    ends: int = 0
    late_s: float = 0.0

    def work(self, begin: threading.Barrier, until_s: Callable[[], float]) -> None:
        """Fill all slots; then, from the common beginning on, do what is due until it is over."""
        chance, due = random.Random(self.seed), list[tuple[float, int, int, Claim | str]]()
        at_first = [self._claim(worker, [], SLOTS) for worker in range(len(self.stores))]
        begin.wait()
        now_s, number = time.monotonic(), 0
        for worker, claims in enumerate(at_first):
            for claim in claims:
                # As found in the middle of things: a part of its time is over.
                number += 1
                left_s = chance.uniform(0, chance.uniform(*TASK_S))
                due.append((now_s + left_s, number, worker, claim))
            number += 1
            due.append((now_s + chance.uniform(0, RENEW_EVERY_S), number, worker, "renew"))
        heapq.heapify(due)
        self.claims_s.clear()
        while (now_s := time.monotonic()) < until_s():
            at_s, ticket, worker, what = due[0]
            if at_s > now_s:
                time.sleep(min(at_s - now_s, 0.05))
                continue
            self.late_s = max(self.late_s, now_s - at_s)
            if isinstance(what, str):
                self._beat(worker)
                heapq.heapreplace(due, (at_s + RENEW_EVERY_S, ticket, worker, what))
            else:
                [following] = self._claim(worker, [_finished(what)], 1)
                heapq.heapreplace(due, (now_s + chance.uniform(*TASK_S), ticket, worker, following))
                self.ends += 1

    def _beat(self, worker: int) -> None:
        if self.stores[worker].renew(self.name(worker), _facts(self.name(worker).node)).looked_ago_s >= REAP_EVERY_S:
            self.stores[worker].reap()

    def _claim(self, worker: int, settlements: list[AnySettlement], wanted: int) -> list[Claim]:
        room = NodeRoom(wanted, 1 << 36, wanted, 1 << 38, SLOTS)
        before_s = time.perf_counter()
        words, claimed = self.stores[worker].settle_and_claim(self.name(worker), settlements, room)
        self.claims_s.append(time.perf_counter() - before_s)
        if len(claimed.claims) != wanted or set(words) - {"ok"}:
            raise RuntimeError(f"{len(claimed.claims)} of {wanted} claims, {words}")
        return claimed.claims

    def name(self, worker: int) -> WorkerName:
        """A worker's name."""
        node = f"node{self.first + worker:05d}"
        return WorkerName(node, "1", node)


def _facts(node: str) -> bytes:
    facts = WorkerFacts(node, 4711, "1.0", 1_700_000_000_000, "working", "", SLOTS, SLOTS, 1 << 38, 1 << 36, 1 << 37)
    return msgspec.json.encode(facts)


def _finished(claim: Claim) -> Finish:
    usage = Usage(wall_s=300, cpu_s=290, peak_bytes=10**9)
    return Finish(claim.task_id, claim.token, Outcome(Cause.FINISHED, "node", 1, 1, 2, usage, exit_code=0))


@dataclass(frozen=True, slots=True)
class Measured:
    """What the thousand did."""

    share: float
    claims_s: list[float]
    ends_per_s: float
    late_s: float


def measure(own: Project, workers: int, measured_s: float) -> Measured:
    """Let so many workers work for so long."""
    _allow_descriptors(2 * workers + 200)
    crews, pid, over_s = [], own.server_pid(), [float("inf")]
    with Client.open(own.folder) as client, client.project.client() as connection:
        # One pool for all, with a limit to match: each store holds a connection of its own.
        connection.connection_pool.max_connections = 2 * workers + 10
        for thread in range(THREADS):
            share = range(thread * workers // THREADS, (thread + 1) * workers // THREADS)
            stores = [Store(connection, client.project.name, LIMITS) for _ in share]
            crews.append(Crew(stores, share.start, seed=thread))
        for crew in crews:
            for worker, store in enumerate(crew.stores):
                store.register(crew.name(worker), _facts(crew.name(worker).node))
        bells = [_doorbell(connection, client.project.name) for _ in range(workers)]
        begin = threading.Barrier(THREADS + 1)
        threads = [threading.Thread(target=crew.work, args=(begin, lambda: over_s[0])) for crew in crews]
        for one in threads:
            one.start()
        begin.wait()
        began_s, cpu_before_s = time.monotonic(), cpu_s(pid)
        over_s[0] = began_s + measured_s
        for one in threads:
            one.join()
        took_s, used_s = time.monotonic() - began_s, cpu_s(pid) - cpu_before_s
        for crew in crews:
            for store in crew.stores:
                store.close()
        for bell in bells:
            bell.close()
    claims_s = sorted(taken_s for crew in crews for taken_s in crew.claims_s)
    return Measured(
        used_s / took_s, claims_s, sum(crew.ends for crew in crews) / took_s, max(crew.late_s for crew in crews)
    )


def _doorbell(connection: redis.Redis, project: str) -> PubSub:
    """Each worker's second connection, on which it hears of work."""
    bell: PubSub = connection.pubsub(ignore_subscribe_messages=True)  # type: ignore[no-untyped-call]
    bell.subscribe(prefix(project) + WAKE_CHANNEL)
    return bell


def short_task_us(own: Project) -> tuple[float, float]:
    """Microseconds of the server, and of the bare commands of a queue in a list, per short task in batches."""
    pid = own.server_pid()
    with Client.open(own.folder) as client, client.project.client() as connection:
        store, name = (
            Store(connection, client.project.name, StoreLimits(lease_s=3600)),
            WorkerName("short", "1", "short"),
        )
        store.register(name, _facts(name.node))
        room = NodeRoom(SHORT_BATCH, 1 << 40, SHORT_BATCH, 1 << 40, SHORT_BATCH)
        claims = store.claim(name, room).claims
        before_s, until_s, ends = cpu_s(pid), time.monotonic() + SHORT_S, 0
        while time.monotonic() < until_s:
            words, claimed = store.settle_and_claim(name, [_finished(claim) for claim in claims], room)
            ends += words.count("ok")
            claims = claimed.claims
        ours_us = (cpu_s(pid) - before_s) / ends * 1e6
        return ours_us, _bare_us(connection, pid)


def _bare_us(connection: redis.Redis, pid: int) -> float:
    """What LMOVE and HSET cost per task: to take it off one list, keep it on another, and note its result."""
    rounds = 300
    for _ in range(rounds):
        connection.rpush("bare", *(b"x" * 150,) * SHORT_BATCH)
    before_s = cpu_s(pid)
    for number in range(rounds):
        pipe = connection.pipeline(transaction=False)
        for task in range(SHORT_BATCH):
            pipe.lmove("bare", "busy")
            pipe.lpop("busy")
            pipe.hset("ended", str(number * SHORT_BATCH + task), b"y" * 100)
        pipe.execute()
    bare_us = (cpu_s(pid) - before_s) / (rounds * SHORT_BATCH) * 1e6
    connection.delete("bare", "busy", "ended")
    return bare_us


def _allow_descriptors(wanted: int) -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft < wanted:
        resource.setrlimit(resource.RLIMIT_NOFILE, (min(wanted, hard), hard))


def run(workers: int = WORKERS, queued: int = QUEUED, measured_s: float = MEASURED_S) -> list[Row]:
    """The benchmark's lines of the table."""
    with tempfile.TemporaryDirectory() as scratch, project() as own:
        file = Path(scratch, "tasks.txt")
        write_tasks(file, queued)
        submit(own.folder, file)
        os.unlink(file)  # noqa: PTH108  250 MB that are not needed any more
        measured = measure(own, workers, measured_s)
        short_us, bare_us = short_task_us(own)
    p99_s = measured.claims_s[int(len(measured.claims_s) * 0.99)]
    detail = f"{workers:,} workers, {measured.ends_per_s:.0f} ends/s; at most {measured.late_s:.2f} s behind"
    p50_ms = measured.claims_s[len(measured.claims_s) // 2] * 1000
    return [
        Line("share of a core, server, 1,000 workers x 32 tasks", measured.share, "<=", 0.5, detail),
        Line(
            "claim with a report, p99, ms",
            p99_s * 1000,
            "<=",
            50,
            f"p50 {p50_ms:.2g} ms, {len(measured.claims_s)} claims",
        ),
        Note(
            "the same for 10,000 workers, shares of a core", measured.share * 10_000 / workers, "worked out: ten times"
        ),
        Line(
            "short tasks: server time / bare list and hash",
            short_us / bare_us,
            "<=",
            15,
            f"{short_us:.1f} / {bare_us:.1f} us per task",
        ),
        Note("short tasks that one server can hand out per second", 1e6 / short_us, "in batches of 100"),
    ]
