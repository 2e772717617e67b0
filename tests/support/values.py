"""Makers of values that fill in what a test is not about."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable

from distcomp.model import Cause, Claim, JobContext, NodeRoom, Outcome, TaskSpec, Usage
from distcomp.store.settlements import Doubt, Fail, Finish, GiveBack, RetryLater
from distcomp.store.store import Store, WorkerName

PLENTY = NodeRoom(100, 1 << 40, 64, 1 << 40, 64)


def identify(spec: TaskSpec) -> bytes:
    """An id for tests that are not about identity."""
    return hashlib.blake2b(f"{spec.command}\0{spec.copy}".encode("utf-8", "surrogateescape"), digest_size=8).digest()


def id_of(command: str) -> str:
    """The id that `identify` gives a command, as text."""
    return identify(TaskSpec(command)).hex()


def room(attempts: int, memory_bytes: int = 1 << 40, cores: float = 64) -> NodeRoom:
    """Room on a node that has no more than that in all."""
    return NodeRoom(attempts, memory_bytes, cores, memory_bytes, cores)


def a_worker(name: str = "w1", life: str = "1", node: str | None = None) -> WorkerName:
    """A life of a worker."""
    return WorkerName(name, life, node or f"node-{name}")


def facts(name: WorkerName) -> bytes:
    """The least that a worker says of itself."""
    return f'{{"node": "{name.node}"}}'.encode()


def registered(store: Store, name: str = "w1", life: str = "1", node: str | None = None) -> WorkerName:
    """A worker that has registered."""
    worker = a_worker(name, life, node)
    store.register(worker, facts(worker))
    return worker


def only_claim(store: Store, name: str = "w1") -> Claim:
    """The one task that there is for a worker, which has registered."""
    [claim] = store.claim(registered(store, name), PLENTY).claims
    return claim


def submit(store: Store, *specs: TaskSpec | str, job: int | None = None) -> int:
    """Submit tasks; the job's number."""
    number = job or store.open_job(JobContext("/"))
    submission = store.submit(number, identify)
    for spec in specs:
        submission.add(TaskSpec(spec) if isinstance(spec, str) else spec)
    submission.flush()
    return number


def a_claim(number: int = 0) -> Claim:
    """A claim that no store knows."""
    return Claim(f"{number:016x}", number, 1, 1, TaskSpec("x"), JobContext("/"))


def outcome(cause: Cause = Cause.FINISHED, node: str = "node-w1", attempt: int = 1, wall_s: float = 0.5) -> Outcome:
    """How an attempt ended."""
    return Outcome(cause, node, attempt, 1_000, 1_500, Usage(wall_s=wall_s, cpu_s=wall_s / 2))


def finish(claim: Claim) -> Finish:
    """A report of success."""
    return Finish(claim.task_id, claim.token, outcome(attempt=claim.attempt))


def fail(claim: Claim) -> Fail:
    """A report of failure for good."""
    return Fail(claim.task_id, claim.token, outcome(Cause.EXIT, attempt=claim.attempt))


def doubt(claim: Claim) -> Doubt:
    """A report of failure for good, on a node that may be at fault itself."""
    return Doubt(claim.task_id, claim.token, outcome(Cause.EXIT, attempt=claim.attempt))


def retry_later(claim: Claim, delay_s: float = 0, away: str = "") -> RetryLater:
    """A report of a failure that leaves tries."""
    return RetryLater(claim.task_id, claim.token, outcome(Cause.EXIT, attempt=claim.attempt), delay_s, away)


def give_back(claim: Claim, need_bytes: int = 0) -> GiveBack:
    """A report of an eviction."""
    return GiveBack(
        claim.task_id, claim.token, Cause.EVICTED, outcome(Cause.EVICTED, attempt=claim.attempt), need_bytes
    )


def commands(claims: Iterable[Claim]) -> list[str]:
    """What was claimed, in order."""
    return [claim.spec.command for claim in claims]
