"""The typed face of the store: one method per transition (docs/state-machine.md), and what workers ask."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import TYPE_CHECKING, Any, NamedTuple

import msgspec

from distcomp.errors import LeaseLost, StoreRefused
from distcomp.model import Claim, JobContext, NodeRoom, Outcome, State, TaskSpec, Use
from distcomp.packing import starvation
from distcomp.store.chunks import ChunkCache, Place
from distcomp.store.settlements import AnySettlement, Doubt, Fail, Finish, GiveBack, RetryLater, Suspect
from distcomp.store.submission import Submission
from distcomp.store.texts import decode_job, encode_job
from distcomp.store.wire import Argument, Command, Wire

if TYPE_CHECKING:
    import redis

SCHEMA = b"1"
BATCH_IDS = 500


@dataclass(frozen=True, slots=True)
class WorkerName:
    """One life of a worker. Another life of the same worker has another incarnation."""

    worker: str
    incarnation: str
    node: str


@dataclass(frozen=True, slots=True)
class StoreLimits:
    """Durations that the store's scripts are given.

    A worker that is not heard of for `lease_s` is dead. A class that does not fit is claimed all the same
    after `starving_s`. A task lost with `poison_nodes` different nodes fails.
    """

    lease_s: float = 10
    starving_s: float = starvation.WAITED_S
    poison_nodes: int = 3


@dataclass(frozen=True, slots=True)
class Claimed:
    """What a claim brought. `next_due_s`: until the next delayed task may be claimed; None when there is none."""

    claims: list[Claim]
    next_due_s: float | None


class Proof(NamedTuple):
    """One claim of a task: no two have the same token."""

    task_id: str
    token: int


@dataclass(frozen=True, slots=True)
class Renewed:
    """A heartbeat's answer.

    Args:
        revoked: what was taken from the worker since the last one: those attempts are to be killed.
        looked_ago_s: since any worker has looked for dead ones; infinite if that is not known.
    """

    revoked: list[Proof]
    looked_ago_s: float


def _proof(member: bytes) -> Proof:
    return Proof(member[:8].hex(), int.from_bytes(member[8:]))


class Tries(msgspec.Struct, frozen=True):
    """What a task's earlier attempts left: see `tries_of` in _prelude.lua."""

    attempts: int = 0
    failures: int = 0
    returns: int = 0
    need_bytes: int = 0
    lost_on: tuple[str, ...] = ()
    away: tuple[str, ...] = ()


class Store:
    """Not thread-safe: each thread makes its own from the same client.

    Raises, from every method:
        StoreUnavailable: no answer; temporary. Whether the call was carried out is not known, and calling it
            again is safe: a second report of the same attempt is LeaseLost.
        StoreRefused: the store cannot serve us.
    """

    def __init__(self, client: redis.Redis, project: str, limits: StoreLimits | None = None) -> None:
        self.wire = Wire(client, project)
        self.limits = limits or StoreLimits()
        self._chunks = ChunkCache()
        self._jobs: dict[int, JobContext] = {}

    def close(self) -> None:
        """Give the connection up."""
        self.wire.close()

    def check_schema(self) -> None:
        """Mark a new project's data with this version of the data model, or check that it is of this version.

        Raises:
            StoreRefused: the data is of another version. Nothing was written.
        """
        self.wire.command("SET", self.wire.key("schema"), SCHEMA, "NX")
        found = self.wire.command("GET", self.wire.key("schema"))
        if found != SCHEMA:
            raise StoreRefused(
                f"The project's data has schema {found.decode()}, this distcomp reads schema {SCHEMA.decode()}.",
                unchanged="Nothing was written.",
                next_step="Use the distcomp that wrote it, or another project name.",
            )

    # Jobs and tasks: (none) -> todo -> (none)

    def open_job(self, context: JobContext) -> int:
        """A new job to submit to; its number."""
        return int(self.wire.run_script("open_job", encode_job(context)))

    def drop_job(self, job: int) -> bool:
        """Remove a job that no task was added to. False: it has tasks, and stays."""
        return bool(self.wire.run_script("drop_job", job) == b"ok")

    def submit(self, job: int, identify: Callable[[TaskSpec], bytes], keep: Iterable[State] = ()) -> Submission:
        """Begin to add tasks to a job: (none) -> todo."""
        return Submission(self.wire, job, identify, keep)

    def cancel(self, task_ids: Iterable[str]) -> Iterator[tuple[str, str]]:
        """todo | running -> cancelled. Id and word of each task: 'ok', 'unknown', or the state it had ended in."""
        return self._for_each("cancel", task_ids)

    def retry(self, task_ids: Iterable[str]) -> Iterator[tuple[str, str]]:
        """failed | cancelled | finished -> todo. Id and word of each task: 'ok', 'unknown', 'todo' or 'running'."""
        return self._for_each("retry", task_ids)

    def forget(self, task_ids: Iterable[str]) -> Iterator[tuple[str, str]]:
        """finished | failed | cancelled -> (none). Id and word of each task: 'ok', 'unknown', 'todo' or 'running'."""
        return self._for_each("forget", task_ids)

    def _for_each(self, script: str, task_ids: Iterable[str]) -> Iterator[tuple[str, str]]:
        ids = iter(task_ids)
        while batch := list(islice(ids, BATCH_IDS)):
            words = self.wire.run_script(script, *(bytes.fromhex(task_id) for task_id in batch))
            yield from zip(batch, (word.decode() for word in words), strict=True)

    # Workers

    def register(self, name: WorkerName, facts: bytes) -> None:
        """Begin a life of a worker. What an earlier life of it held: running -> todo. `facts` is JSON, with "node"."""
        args = (name.worker, name.incarnation, name.node, facts, self._lease_ms(), self.limits.poison_nodes)
        while self.wire.run_script("register", *args) == b"again":
            pass

    def renew(self, name: WorkerName, facts: bytes, use: Use = Use(), told: Use = Use()) -> Renewed:  # noqa: B008
        """Say that the worker lives.

        Args:
            use: all that was used in this life of the worker; `told` is what the store knows of that.

        Raises:
            LeaseLost: the worker was believed dead. Nothing that it runs is its own any more.
        """
        peaks = f"{use.peak_memory_fraction * 1000:.0f} {use.peak_cores_fraction * 1000:.0f}"
        before = _sums(told)
        sums = [part for sum_, value in _sums(use).items() for part in (sum_, value - before[sum_])]
        reply = self.wire.run_script("renew", name.worker, name.incarnation, facts, self._lease_ms(), peaks, *sums)
        if reply == b"lease_lost":
            raise LeaseLost(f"The lease of worker {name.worker} has ended.")
        looked_ago_ms, *revoked = reply
        return Renewed([_proof(member) for member in revoked], looked_ago_ms / 1000 if looked_ago_ms >= 0 else math.inf)

    def reconcile(self, name: WorkerName, holds: Iterable[Proof]) -> tuple[int, list[Proof]]:
        """Return what the store believes the worker to hold beyond `holds`: running -> todo.

        Returns how many tasks that were, and which of `holds` are not the worker's: those attempts are to be killed.

        Raises:
            LeaseLost: the worker was believed dead.
        """
        members = [bytes.fromhex(task_id) + token.to_bytes(8) for task_id, token in holds]
        reply = self.wire.run_script("reconcile", name.worker, name.incarnation, self.limits.poison_nodes, *members)
        if reply == b"lease_lost":
            raise LeaseLost(f"The lease of worker {name.worker} has ended.")
        return int(reply[0]), [_proof(member) for member in reply[1]]

    def leave(self, name: WorkerName) -> str:
        """End a worker's life: 'ok', 'busy' (it still holds tasks; nothing was written) or 'lease_lost'."""
        return str(self.wire.run_script("leave", name.worker, name.incarnation).decode())

    def reap(self) -> int:
        """Return the tasks of workers whose lease has ended: running -> todo; -> failed for poison. How many."""
        return int(self.wire.run_script("reap", self._lease_ms(), self.limits.poison_nodes))

    def release(self, workers: Sequence[str]) -> int:
        """Give these workers tasks again, after a Suspect that counted. How many had been in quarantine."""
        return int(self.wire.run_script("release", *workers)) if workers else 0

    def settle_and_claim(
        self, name: WorkerName, settlements: Sequence[AnySettlement], room: NodeRoom | None
    ) -> tuple[list[str], Claimed]:
        """Report attempts and claim new tasks, in one round trip.

        Returns the word for each settlement: 'ok'; 'lease_lost' when the task is another's; 'nowhere' for a
        RetryLater or a Doubt that no node is left for. `room` None claims nothing.

        Raises:
            LeaseLost: the worker was believed dead; the settlements were still taken each on its own merits,
                and those that counted are 'ok' in the exception's `words`.
        """
        groups = _grouped(settlements)
        commands = [self.wire.script_command(name_, args) for name_, (args, _) in groups.items()]
        if room is not None:
            commands.append(self._claim_command(name, room))
        replies = self.wire.exchange(commands)
        words = [""] * len(settlements)
        for (_, positions), reply in zip(groups.values(), replies, strict=False):
            for position, word in zip(positions, reply, strict=True):
                words[position] = word.decode()
        if room is None:
            return words, Claimed([], None)
        if replies[-1] == b"lease_lost":
            raise WorkerLeaseLost(name.worker, words)
        return words, self._read_claims(replies[-1])

    def settle(self, settlements: Sequence[AnySettlement]) -> list[str]:
        """Report attempts: the word for each, as in `settle_and_claim`."""
        return self.settle_and_claim(WorkerName("", "", ""), settlements, None)[0]

    def claim(self, name: WorkerName, room: NodeRoom) -> Claimed:
        """todo -> running, for as many tasks as the room holds."""
        return self.settle_and_claim(name, [], room)[1]

    def _claim_command(self, name: WorkerName, room: NodeRoom) -> Command:
        return self.wire.script_command(
            "claim",
            (
                *(name.worker, name.incarnation, name.node),
                *(room.attempts, max(0, room.memory_bytes), max(0, int(room.cores * 1000))),
                *(room.total_memory_bytes, int(room.total_cores * 1000), int(room.unknown_waits)),
                *(self._lease_ms(), int(self.limits.starving_s * 1000), self._chunks.keys()),
            ),
        )

    def _read_claims(self, reply: list[Any]) -> Claimed:
        claims, chunks, next_due_ms = reply
        for at in range(0, len(chunks), 3):
            self._chunks.put(chunks[at], chunks[at + 1], chunks[at + 2])
        read = [self._read_claim(*claims[at : at + 6]) for at in range(0, len(claims), 6)]
        self._chunks.trim()
        return Claimed(read, None if next_due_ms < 0 else next_due_ms / 1000)

    def _read_claim(self, task_id: bytes, token: int, attempt: int, chunk: int, index: int, tries: bytes) -> Claim:
        job, spec = self._chunks.get(Place(chunk, index))
        left = msgspec.json.decode(tries, type=Tries) if tries else Tries()
        return Claim(task_id.hex(), token, job, attempt, spec, self.job(job), left.failures, left.need_bytes)

    def job(self, job: int) -> JobContext:
        """What the tasks of a job share."""
        context = self._jobs.get(job)
        if context is None:
            raw = self.wire.command("HGET", self.wire.key("jobs"), job)
            context = self._jobs[job] = decode_job(raw)
        return context

    def _lease_ms(self) -> int:
        return int(self.limits.lease_s * 1000)


class WorkerLeaseLost(LeaseLost):
    """The worker's own lease has ended. `words` are the replies to what it settled with the same call."""

    def __init__(self, worker: str, words: list[str]) -> None:
        self.words = words
        super().__init__(f"The lease of worker {worker} has ended.")


def _grouped(settlements: Sequence[AnySettlement]) -> dict[str, tuple[list[Argument], list[int]]]:
    """By script: its arguments, and the positions of its settlements."""
    groups: dict[str, tuple[list[Argument], list[int]]] = {}
    for position, settlement in enumerate(settlements):
        script, extra = _script_and_args(settlement)
        args, positions = groups.setdefault(script, ([], []))
        if not isinstance(settlement, Suspect):
            args += (bytes.fromhex(settlement.task_id), settlement.token)
        args += extra
        positions.append(position)
    return groups


def _script_and_args(settlement: AnySettlement) -> tuple[str, tuple[Argument, ...]]:
    match settlement:
        case Finish(outcome=outcome):
            return "finish", (*_times_ms(outcome), _encoded(outcome))
        case Fail(outcome=outcome):
            return "fail", (outcome.cause, *_times_ms(outcome), _encoded(outcome))
        case Doubt(outcome=outcome):
            return "doubt", (outcome.cause, *_times_ms(outcome), _encoded(outcome))
        case RetryLater(outcome=outcome, delay_s=delay_s, away=away):
            return "retry_later", (outcome.cause, *_times_ms(outcome), _encoded(outcome), int(delay_s * 1000), away)
        case GiveBack(cause=cause, outcome=None, need_bytes=need_bytes):
            return "give_back", (cause, 0, 0, b"", need_bytes)
        case GiveBack(cause=cause, outcome=outcome, need_bytes=need_bytes):
            assert outcome is not None
            return "give_back", (cause, *_times_ms(outcome), _encoded(outcome), need_bytes)
        case Suspect(worker=worker, node=node, reason=reason, span_s=span_s, failed=failed):
            return "quarantine", (worker, node, reason, f"{span_s:.3f}", b"".join(map(bytes.fromhex, failed)))


def _times_ms(outcome: Outcome) -> tuple[int, int]:
    return round(outcome.usage.wall_s * 1000), round(outcome.usage.cpu_s * 1000)


def _sums(use: Use) -> dict[str, int]:
    """As they are kept: whole numbers, so that differences add up."""
    return {
        "use:span_ms": round(use.span_s * 1000),
        "use:memory_mib_s": round(use.memory_byte_s / 2**20),
        "use:total_mib_s": round(use.total_byte_s / 2**20),
        "use:core_ms": round(use.core_s * 1000),
        "use:total_core_ms": round(use.total_core_s * 1000),
    }


_outcome_encoder = msgspec.msgpack.Encoder()


def _encoded(outcome: Outcome) -> bytes:
    return _outcome_encoder.encode(outcome)
