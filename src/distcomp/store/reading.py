"""What the store holds, read and never written. Counters cost the same whatever is in the store."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import msgspec

from distcomp.errors import Ambiguous, NotFound
from distcomp.model import JobContext, Outcome, State, TaskSpec, Use
from distcomp.store.chunks import PLACE, Place, decode_body, decode_header
from distcomp.store.store import Store, Tries
from distcomp.store.submission import STATE_OF_LETTER
from distcomp.store.texts import decode_job

CHUNKS_AT_ONCE = 50
RATE_WINDOW_S = 60


class WorkerFacts(msgspec.Struct, frozen=True):
    """What a worker says of itself with every heartbeat.

    Args:
        room_memory_bytes, room_cores: for tasks of known need.
        why_short: what becomes of the memory, for people.
        why_full: why it starts nothing, not even a task of unknown need; "" when it does.
    """

    node: str
    pid: int = 0
    version: str = ""
    started_at_ms: int = 0
    state: str = "working"
    note: str = ""
    running: int = 0
    max_attempts: int = 0
    total_memory_bytes: int = 0
    available_memory_bytes: int = 0
    attempts_memory_bytes: int = 0
    total_cores: float = 0
    busy_cores: float = 0
    room_memory_bytes: int = 0
    room_cores: float = 0
    why_short: str = ""
    why_full: str = ""


@dataclass(frozen=True, slots=True)
class TaskRecord:
    """One task as the store has it.

    `worker`, `attempt` and `claimed_at_ms` belong to a running task; `outcome` to one that has ended after an attempt.
    """

    task_id: str
    state: State
    place: Place
    job: int
    seq: int
    spec: TaskSpec
    outcome: Outcome | None = None
    worker: str = ""
    attempt: int = 0
    claimed_at_ms: int = 0
    is_delayed: bool = False


@dataclass(frozen=True, slots=True)
class WorkerRecord:
    """One worker; `lease_left_s` is negative when it is overdue. `quarantine` is why it is given nothing, or ""."""

    worker: str
    facts: WorkerFacts
    lease_left_s: float
    quarantine: str = ""


@dataclass(frozen=True, slots=True)
class NodeSize:
    """What the node of a worker has or had, be it there now or not."""

    memory_bytes: int
    cores: float


@dataclass(frozen=True, slots=True)
class Ends:
    """How many tasks ended lately, the first of them `since_s` ago, or up to a second later."""

    tasks: int
    since_s: float


@dataclass(frozen=True, slots=True)
class WaitingClass:
    """How many tasks in todo need this much: 0 means unknown."""

    memory_bytes: int
    cores: float
    tasks: int


class Reading:
    """Reads through the same connection as `store`."""

    def __init__(self, store: Store) -> None:
        self._store, self._wire = store, store.wire

    def counts(self, jobs: Iterable[int] | None = None) -> dict[State, int]:
        """Tasks by state: of the project, or of some jobs together."""
        names = (
            [(f"{job}:{state}", state) for job in jobs for state in State]
            if jobs is not None
            else [(s.value, s) for s in State]
        )
        if not names:
            return dict.fromkeys(State, 0)
        values = self._wire.command("HMGET", self._wire.key("counts"), *(name for name, _ in names))
        totals = dict.fromkeys(State, 0)
        for (_, state), value in zip(names, values, strict=True):
            totals[state] += int(value or 0)
        return totals

    def stats(self) -> dict[str, int]:
        """Sums over all attempts so far: 'attempts:CAUSE', 'wall_ms:CAUSE', 'cpu_ms:CAUSE'; use; first submission."""
        pairs = self._hash("stats")
        return {name.decode(): int(value) for name, value in pairs.items()}

    def now_ms(self) -> int:
        """The server's time."""
        seconds, microseconds = self._wire.command("TIME")
        return int(seconds) * 1000 + int(microseconds) // 1000

    def use(self, stats: Mapping[str, int], since_ms: int = 0) -> Use:
        """What attempts used so far, from `stats`; the peaks only of workers that were heard of since then.

        Those workers' peaks may be older.
        """
        peaks = [tuple(map(int, said.split())) for said in self._hash("peaks").values()]
        return Use(
            span_s=stats.get("use:span_ms", 0) / 1000,
            memory_byte_s=stats.get("use:memory_mib_s", 0) * 2**20,
            total_byte_s=stats.get("use:total_mib_s", 0) * 2**20,
            core_s=stats.get("use:core_ms", 0) / 1000,
            total_core_s=stats.get("use:total_core_ms", 0) / 1000,
            peak_memory_fraction=max((memory for at_ms, memory, _ in peaks if at_ms >= since_ms), default=0) / 1000,
            peak_cores_fraction=max((cores for at_ms, _, cores in peaks if at_ms >= since_ms), default=0) / 1000,
        )

    def ends(self) -> Ends:
        """Tasks that ended in the last minute, by the server's clock."""
        seconds, microseconds = self._wire.command("TIME")
        keys = [self._wire.key("rate", str(int(seconds) - back)) for back in range(RATE_WINDOW_S + 1)]
        numbers = [int(value or 0) for value in self._wire.command("MGET", *keys)]
        since_s = max((back for back, number in enumerate(numbers) if number), default=0) + int(microseconds) / 1e6
        return Ends(sum(numbers), since_s)

    def waiting(self) -> list[WaitingClass]:
        """Tasks in todo by what they need, largest memory first."""
        classes = []
        for name, tasks in self._hash("waiting").items():
            memory_bytes, millicores = name.split(b":")
            classes.append(WaitingClass(int(memory_bytes), int(millicores) / 1000, int(tasks)))
        return sorted(classes, key=lambda waiting: (-waiting.memory_bytes, -waiting.cores))

    def workers(self) -> list[WorkerRecord]:
        """All workers that hold a lease or have not been reaped, by name."""
        leases, facts, quarantined, time = self._wire.exchange(
            [
                ("ZRANGE", self._wire.key("leases"), 0, -1, "WITHSCORES"),
                ("HGETALL", self._wire.key("workers")),
                ("HGETALL", self._wire.key("quarantined")),
                ("TIME",),
            ]
        )
        now_ms = int(time[0]) * 1000 + int(time[1]) // 1000
        said, reasons = _pairs(facts), _pairs(quarantined)
        records = [
            WorkerRecord(
                worker.decode(),
                msgspec.json.decode(said.get(worker, b'{"node":""}'), type=WorkerFacts),
                (float(lease) - now_ms) / 1000,
                reasons.get(worker, b"").decode(),
            )
            for worker, lease in _pairs(leases).items()
        ]
        return sorted(records, key=lambda record: record.worker)

    def sizes(self) -> list[NodeSize]:
        """The nodes of all workers that ever came."""
        said = (size.split() for size in self._hash("sizes").values())
        return [NodeSize(int(memory_bytes), int(millicores) / 1000) for memory_bytes, millicores in said]

    def some_failed(self, most: int) -> list[tuple[str, Outcome | None]]:
        """Some failed tasks, at random, with how they ended; costs the same however many there are."""
        ids = self._wire.command("SRANDMEMBER", self._wire.key("failed"), most)
        entries = self._wire.command("HMGET", self._wire.key("tasks"), *ids) if ids else []
        return [(task_id.hex(), _outcome(entry)) for task_id, entry in zip(ids, entries, strict=True) if entry]

    def jobs(self) -> dict[int, JobContext]:
        """All jobs by number."""
        raw = self._hash("jobs")
        return {int(job): decode_job(raw[job]) for job in sorted(raw, key=int)}

    def find(self, text: str) -> str:
        """The one task whose id starts with `text`.

        Raises:
            NotFound: no such task.
            Ambiguous: several.
        """
        shortened = text.strip().lower()
        if not shortened or any(digit not in "0123456789abcdef" for digit in shortened) or len(shortened) > 16:
            raise NotFound(
                f"{text!r} is not a task id: ids are up to 16 digits 0-9 and a-f.", next_step="See 'distcomp tasks'."
            )
        if len(shortened) == 16:
            found = (
                [shortened] if self._wire.command("HEXISTS", self._wire.key("tasks"), bytes.fromhex(shortened)) else []
            )
        else:
            found = self._ids_starting(shortened)
        if not found:
            raise NotFound(f"There is no task {text}.", next_step="See 'distcomp tasks'.")
        if len(found) > 1:
            raise Ambiguous(
                f"{text} fits several tasks: {', '.join(sorted(found)[:5])}.", next_step="Give more digits."
            )
        return found[0]

    def _ids_starting(self, shortened: str) -> list[str]:
        whole_bytes = bytes.fromhex(shortened[: len(shortened) // 2 * 2])
        pattern = (
            b"".join(b"\\" + bytes([byte]) if byte in b"*?[]\\^-" else bytes([byte]) for byte in whole_bytes) + b"*"
        )
        cursor, found = b"0", []
        while True:
            cursor, pairs = self._wire.command(
                "HSCAN", self._wire.key("tasks"), cursor, "MATCH", pattern, "COUNT", 5000
            )
            found += [task_id.hex() for task_id in pairs[::2] if task_id.hex().startswith(shortened)]
            if cursor == b"0" or len(found) > 20:
                return found

    def task(self, task_id: str) -> TaskRecord:
        """One task.

        Raises:
            NotFound: no such task.
        """
        for record in self.tasks([task_id]):
            return record
        raise NotFound(f"There is no task {task_id}.", next_step="See 'distcomp tasks'.")

    def tries(self, task_id: str) -> Tries:
        """What the task's earlier attempts left."""
        raw = self._wire.command("HGET", self._wire.key("tries"), bytes.fromhex(task_id))
        return msgspec.json.decode(raw, type=Tries) if raw else Tries()

    def past(self, task_id: str) -> list[Outcome]:
        """Outcomes of the task's earlier attempts, oldest first; the last 20."""
        raw = self._wire.command("LRANGE", self._wire.key("past", bytes.fromhex(task_id)), 0, -1)
        return [msgspec.msgpack.decode(outcome, type=Outcome) for outcome in raw]

    def due_in_s(self, task_id: str) -> float | None:
        """Seconds until a delayed task may run again; None when it is not delayed."""
        score, time = self._wire.exchange([("ZSCORE", self._wire.key("delayed"), bytes.fromhex(task_id)), ("TIME",)])
        return None if score is None else float(score) / 1000 - int(time[0]) - int(time[1]) / 1e6

    def ids_in(self, state: State) -> Iterator[str]:
        """Ids of the tasks in one state; at once for failed, cancelled and running, by a scan for the others."""
        if state in (State.FAILED, State.CANCELLED):
            yield from (task_id.hex() for task_id in self._wire.command("SMEMBERS", self._wire.key(state)))
        elif state is State.RUNNING:
            for worker in self.workers():
                yield from (
                    task_id.hex() for task_id in self._wire.command("SMEMBERS", self._wire.key("held", worker.worker))
                )
        else:
            yield from (record.task_id for record in self.scan([state]))

    def tasks(self, task_ids: Sequence[str]) -> list[TaskRecord]:
        """These tasks, without those that do not exist, in order of submission."""
        if not task_ids:
            return []
        ids = [bytes.fromhex(task_id) for task_id in task_ids]
        entries = self._wire.command("HMGET", self._wire.key("tasks"), *ids)
        found = {task_id: entry for task_id, entry in zip(ids, entries, strict=True) if entry}
        chunk_keys = sorted({entry[1:5] for entry in found.values()})
        by_id = {record.task_id: record for record in self._chunk_records(chunk_keys, found)}
        return list(by_id.values())

    def scan(self, states: Iterable[State] = tuple(State)) -> Iterator[TaskRecord]:
        """All tasks in these states, in order of submission, a few thousand in memory at once."""
        wanted = frozenset(states)
        if wanted and wanted <= {State.FAILED, State.CANCELLED, State.RUNNING}:
            ids = [task_id for state in wanted for task_id in self.ids_in(state)]
            if len(ids) < 20_000:
                yield from (record for record in self.tasks(ids) if record.state in wanted)
                return
        last = int(self._wire.command("GET", self._wire.key("chunk_no")) or 0)
        for first in range(1, last + 1, CHUNKS_AT_ONCE):
            keys = [number.to_bytes(4) for number in range(first, min(first + CHUNKS_AT_ONCE, last + 1))]
            yield from (record for record in self._chunk_records(keys, None) if record.state in wanted)

    def _chunk_records(self, chunk_keys: list[bytes], only: dict[bytes, bytes] | None) -> Iterator[TaskRecord]:
        """The tasks of these chunks; with `only` just those, whose entries it has."""
        if not chunk_keys:
            return
        headers, bodies = self._wire.exchange(
            [("HMGET", self._wire.key(name), *chunk_keys) for name in ("chunks", "bodies")]
        )
        for key, raw_header, body in zip(chunk_keys, headers, bodies, strict=True):
            if raw_header is None:
                continue
            header, specs = decode_header(raw_header), decode_body(body)
            entries = only or dict(
                zip(header.ids, self._wire.command("HMGET", self._wire.key("tasks"), *header.ids), strict=True)
            )
            for index, task_id in enumerate(header.ids, 1):
                place, entry = Place(int.from_bytes(key), index), entries.get(task_id)
                if entry and entry[1:7] == PLACE.pack(*place):
                    yield _record(task_id, entry, place, header.job, header.seqs[index - 1], specs[index - 1])

    def events(self, after: bytes, wait_s: float) -> list[tuple[bytes, dict[bytes, bytes]]]:
        """Events after the one named, waiting for at least one for at most `wait_s` (0: not at all)."""
        block = ("BLOCK", max(1, math.ceil(wait_s * 1000))) if wait_s > 0 else ()
        reply = self._wire.command("XREAD", *block, "COUNT", 1000, "STREAMS", self._wire.key("events"), after)
        if not reply:
            return []
        [(_, events)] = reply.items() if isinstance(reply, dict) else reply
        return [(event_id, _pairs(fields)) for event_id, fields in events]

    def last_event(self) -> bytes:
        """Id of the newest event, for `events`."""
        newest = self._wire.command("XREVRANGE", self._wire.key("events"), "+", "-", "COUNT", 1)
        return newest[0][0] if newest else b"0"

    def _hash(self, name: str) -> dict[bytes, bytes]:
        return _pairs(self._wire.command("HGETALL", self._wire.key(name)))


def _pairs(reply: Any) -> dict[bytes, bytes]:
    """A flat list of names and values, as RESP2 gives it, or a map, as RESP3 does."""
    if isinstance(reply, dict):
        return reply
    if reply and isinstance(reply[0], list):
        return dict(reply)
    return dict(zip(reply[::2], reply[1::2], strict=True))


def _record(task_id: bytes, entry: bytes, place: Place, job: int, seq: int, spec: TaskSpec) -> TaskRecord:
    letter, rest = entry[:1].decode(), entry[7:]
    state = STATE_OF_LETTER[letter]
    if state is State.RUNNING:
        attempt, claimed_at_ms = int.from_bytes(rest[8:12]), int.from_bytes(rest[12:20])
        return TaskRecord(task_id.hex(), state, place, job, seq, spec, None, rest[20:].decode(), attempt, claimed_at_ms)
    return TaskRecord(task_id.hex(), state, place, job, seq, spec, _outcome(entry), is_delayed=letter == "d")


def _outcome(entry: bytes) -> Outcome | None:
    """Of a task that does not run, from its entry."""
    return msgspec.msgpack.decode(entry[7:], type=Outcome) if len(entry) > 7 else None
