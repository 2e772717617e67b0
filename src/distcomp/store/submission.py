"""Adding tasks to a job: many in flight, one round trip per thousand."""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import islice
from typing import Any, TypeVar

from msgspec.structs import replace

from distcomp.model import State, TaskSpec
from distcomp.store.chunks import CHUNK_BYTES, CHUNK_TASKS, ENTRY, cores_step, encode_alike, encode_body, memory_step
from distcomp.store.wire import Argument, Wire

BATCH_TASKS = 1000
IN_FLIGHT = 4
DUPLICATES_NAMED = 5
NEW = "-"
_Item = TypeVar("_Item")
STATE_OF_LETTER = {
    "t": State.TODO,
    "b": State.TODO,
    "d": State.TODO,
    "r": State.RUNNING,
    "f": State.FINISHED,
    "x": State.FAILED,
    "c": State.CANCELLED,
}


@dataclass(slots=True)
class Added:
    """What a submission did.

    `known` counts tasks that were there before, by state; `duplicates` those that the same submission had already
    added, and `duplicate_ids` are the first few of them; `jobs` are all jobs that hold tasks of this submission.
    `known_by_state` has the ids of known tasks in the states that are kept. `known_in` counts known tasks by job, and
    `other_needs_in` those of them that have another priority or other needs than they were submitted with now.
    """

    new: int = 0
    known: Counter[State] = field(default_factory=Counter)
    duplicates: int = 0
    duplicate_ids: list[bytes] = field(default_factory=list)
    jobs: set[int] = field(default_factory=set)
    known_by_state: dict[State, list[bytes]] = field(default_factory=dict)
    known_in: Counter[int] = field(default_factory=Counter)
    other_needs_in: Counter[int] = field(default_factory=Counter)


@dataclass(slots=True)
class _Chunk:
    """Tasks with the same priority and needs, as they gather.

    `tasks` are specs; or commands, of tasks that are all like `pattern`.
    """

    pattern: TaskSpec | None
    ids: list[bytes] = field(default_factory=list)
    seqs: list[int] = field(default_factory=list)
    tasks: list[Any] = field(default_factory=list)
    command_bytes: int = 0

    def first(self) -> TaskSpec:
        """A task whose priority and needs are those of all."""
        spec: TaskSpec = self.pattern or self.tasks[0]
        return spec

    def body(self) -> bytes:
        """The tasks as one value."""
        return encode_alike(self.pattern, self.tasks) if self.pattern else encode_body(self.tasks)


class Submission:
    """Tasks on their way into one job. Feed it with `add`, end it with `flush`.

    Args:
        identify: the 8-byte id of a spec.
        keep: states of which the ids of known tasks are wanted, in `added.known_by_state`.
    """

    def __init__(self, wire: Wire, job: int, identify: Callable[[TaskSpec], bytes], keep: Iterable[State] = ()) -> None:
        self.added = Added()
        self._wire, self._job, self._identify, self._keep = wire, job, identify, frozenset(keep)
        self._open: dict[TaskSpec | tuple[int, int, float], _Chunk] = {}
        self._gathered = 0
        self._in_batch: set[bytes] = set()
        self._in_flight: deque[list[_Chunk]] = deque()
        self._loaded = False

    def add(self, spec: TaskSpec) -> None:
        """Add one task, some time before `flush` returns."""
        self._add(spec, self._identify(spec))

    def add_alike(self, pattern: TaskSpec, commands: Sequence[bytes], task_ids: Sequence[bytes]) -> None:
        """As `add`, for some thousand tasks at most that are `pattern` but for their commands, in UTF-8."""
        fresh = set(task_ids)
        if len(fresh) < len(task_ids) or not fresh.isdisjoint(self._in_batch):
            for command, task_id in zip(commands, task_ids, strict=True):
                self._add(replace(pattern, command=command.decode()), task_id)
            return
        self._in_batch |= fresh
        chunk = self._open.setdefault(pattern, _Chunk(pattern))
        chunk.ids += task_ids
        chunk.seqs += range(self._gathered, self._gathered + len(task_ids))
        chunk.tasks += commands
        chunk.command_bytes += sum(map(len, commands))
        self._gathered += len(task_ids)
        if self._gathered >= BATCH_TASKS:
            self._send_batch()

    def _add(self, spec: TaskSpec, task_id: bytes) -> None:
        if task_id in self._in_batch:
            self._note_duplicates([task_id], 1)
            return
        self._in_batch.add(task_id)
        key = (spec.priority, spec.memory_bytes, spec.cores)
        chunk = self._open.get(key)
        if chunk is None:
            chunk = self._open[key] = _Chunk(None)
        chunk.ids.append(task_id)
        chunk.seqs.append(self._gathered)
        chunk.tasks.append(spec)
        chunk.command_bytes += len(spec.command)
        self._gathered += 1
        if self._gathered >= BATCH_TASKS:
            self._send_batch()

    def flush(self) -> Added:
        """Wait until all tasks are in the store, on its disk as far as its settings go."""
        self._send_batch()
        while self._in_flight:
            self._receive()
        return self.added

    def _send_batch(self) -> None:
        chunks = [part for chunk in self._open.values() for part in _parts(chunk)]
        if not chunks:
            return
        self._open, self._gathered, self._in_batch = {}, 0, set()
        if not self._loaded:
            self._wire.load_scripts("submit")
            self._loaded = True
        self._send(chunks)
        while len(self._in_flight) >= IN_FLIGHT:
            self._receive()

    def _send(self, chunks: list[_Chunk]) -> None:
        seqs = 1 + max(chunk.seqs[-1] for chunk in chunks)
        args: list[Argument] = [self._job, seqs]
        for chunk in chunks:
            spec = chunk.first()
            args += (spec.priority, memory_step(spec.memory_bytes), cores_step(spec.cores))
            args.append(b"".join(map(ENTRY.pack, chunk.ids, chunk.seqs)))
            args.append(chunk.body())
        self._wire.send([self._wire.script_command("submit", args)])
        self._in_flight.append(chunks)

    def _receive(self) -> None:
        chunks = self._in_flight.popleft()
        flags, jobs = self._wire.receive()
        for job, known, other in zip(*[iter(jobs)] * 3, strict=True):
            self.added.jobs.add(job)
            if job != self._job:
                self.added.known_in[job] += known
                self.added.other_needs_in[job] += other
        rest = []
        for chunk, flag in zip(chunks, flags, strict=True):
            if not flag:
                self.added.new += len(chunk.ids)
                self.added.jobs.add(self._job)
            elif unknown := self._unknown(chunk, flag.decode()):
                rest.append(unknown)
        if rest:
            self._send(rest)

    def _unknown(self, chunk: _Chunk, flags: str) -> _Chunk | None:
        """Count the tasks that are known; the others are to be sent again, without them."""
        for flag, number in Counter(flags).items():
            if flag.isupper():
                self._note_duplicates(_where(chunk.ids, flags, flag), number)
            elif flag != NEW:
                state = STATE_OF_LETTER[flag]
                self.added.known[state] += number
                if state in self._keep:
                    self.added.known_by_state.setdefault(state, []).extend(_where(chunk.ids, flags, flag))
        if NEW not in flags:
            return None
        ids, seqs, tasks = (list(_where(items, flags, NEW)) for items in (chunk.ids, chunk.seqs, chunk.tasks))
        return _Chunk(chunk.pattern, ids, seqs, tasks)

    def _note_duplicates(self, task_ids: Iterable[bytes], number: int) -> None:
        self.added.duplicates += number
        room = DUPLICATES_NAMED - len(self.added.duplicate_ids)
        self.added.duplicate_ids += islice(task_ids, room)


def _where(items: Iterable[_Item], flags: str, wanted: str) -> Iterator[_Item]:
    """The items whose flag is the wanted one."""
    return (item for item, flag in zip(items, flags, strict=True) if flag == wanted)


def _parts(chunk: _Chunk) -> list[_Chunk]:
    """The chunk in pieces of at most CHUNK_TASKS tasks, and fewer where commands are long."""
    per_part = max(1, min(CHUNK_TASKS, CHUNK_TASKS * CHUNK_BYTES // max(1, chunk.command_bytes)))
    pieces = [slice(at, at + per_part) for at in range(0, len(chunk.ids), per_part)]
    return [_Chunk(chunk.pattern, chunk.ids[piece], chunk.seqs[piece], chunk.tasks[piece]) for piece in pieces]
