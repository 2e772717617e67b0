"""From task files and task specs to tasks in the store: checked as a whole first, then added.

Nothing here holds a whole file in memory.
"""

from __future__ import annotations

import os
import shutil
import sys
import tempfile
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from itertools import islice
from typing import BinaryIO, cast

import msgspec

from distcomp.errors import BadInput, Fault, StoreUnavailable
from distcomp.identity import Identifier
from distcomp.intake.submitted import Submitted
from distcomp.model import JobContext, State, TaskSpec
from distcomp.store.store import Store
from distcomp.store.submission import Added
from distcomp.taskfile import Format, guess_format
from distcomp.taskfile.fields import BadCommand, check_command
from distcomp.taskfile.source import AlikePiece, Faults, Piece, TaskFile, in_pieces

AnyPiece = Piece | AlikePiece

STDIN = "-"
_GUESS_BYTES = 4096
_OPTIONS = ("timeout_s", "retries", "kind")
_JOBS_LOOKED_AT = 200
# One byte per slot: among a million ids, one in thirty meets a slot that another one took.
_SLOT_DIGITS = 3


@contextmanager
def open_task_file(path: str, file_format: Format | None, base: TaskSpec) -> Iterator[TaskFile]:
    """A task file by its path; "-" is stdin. What cannot be read twice is copied to a file without a name.

    Args:
        path: of the file.
        file_format: None to guess: JSONL by name or first line, else LINE.
        base: as for TaskFile.

    Raises:
        BadInput: it cannot be read.
    """
    name = "stdin" if path == STDIN else path
    try:
        file = _seekable(os.dup(sys.stdin.fileno()) if path == STDIN else os.open(path, os.O_RDONLY | os.O_CLOEXEC))
        start = file.read(_GUESS_BYTES)
    except OSError as error:
        step = "If it is a command and no file: put -- before it." if " " in path else ""
        raise BadInput([Fault(name, 0, 0, f"cannot be read: {error.strerror or error}")], next_step=step) from error
    with file:
        yield TaskFile(file, name, file_format or guess_format(path, start.splitlines()), base)


def _seekable(descriptor: int) -> BinaryIO:
    """The file, from its start, or what can be read from it now."""
    source = os.fdopen(descriptor, "rb")
    if source.seekable() and source.tell() == 0:
        return source
    with source:
        spool = tempfile.TemporaryFile(prefix="distcomp-", buffering=1 << 16)  # noqa: SIM115  the caller closes it
        shutil.copyfileobj(source, spool, 1 << 20)
        spool.seek(0)
        return cast(BinaryIO, spool)


def submit_file(
    connect: Callable[[], Store],
    context: JobContext,
    file: TaskFile,
    *,
    retry: frozenset[State] = frozenset(),
    skip_bad: bool = False,
    allow_duplicates: bool = False,
) -> Submitted:
    """Add the tasks of a file: all of them, or none if any line has a fault.

    Args:
        connect: where to; called when the file has no faults.
        context: what the tasks share.
        file: is read from its start, twice or more.
        retry: states of known tasks in which they are put back into todo.
        skip_bad: leave lines with faults out, and add the others.
        allow_duplicates: number equal tasks, so that each is a task of its own.

    Raises:
        BadInput: lines have faults; all are listed, up to FAULTS_LISTED. Nothing was added.
        StoreUnavailable: some tasks may have been added.
    """
    faults = Faults()
    if not skip_bad:
        file.check(faults.add)
        faults.check()
    submitted = _submit(
        connect(),
        context,
        file.pieces(faults.add),
        lambda: file.pieces(lambda _: None),
        retry=retry,
        allow_duplicates=allow_duplicates,
    )
    if not skip_bad:
        faults.check(f"The file changed while it was read; {submitted.new:,} of its tasks were added.")
    return msgspec.structs.replace(submitted, faulty=faults.lines, faults=tuple(str(fault) for fault in faults.listed))


def submit_specs(
    connect: Callable[[], Store],
    context: JobContext,
    specs: Callable[[], Iterable[TaskSpec]],
    *,
    retry: frozenset[State] = frozenset(),
    allow_duplicates: bool = False,
) -> Submitted:
    """Add tasks. `specs` gives them anew each time it is called; the rest is as in `submit_file`.

    Raises:
        BadInput: a command cannot be run. Nothing was added.
        StoreUnavailable: some tasks may have been added.
    """
    faults = Faults()
    for number, spec in enumerate(specs(), 1):
        try:
            check_command(spec.type, spec.command)
        except BadCommand as fault:
            faults.add(Fault("task", number, fault.column, fault.what))
    faults.check()

    def pieces() -> Iterator[AnyPiece]:
        return in_pieces(enumerate(specs(), 1))

    return _submit(connect(), context, pieces(), pieces, retry=retry, allow_duplicates=allow_duplicates)


def _submit(
    store: Store,
    context: JobContext,
    pieces: Iterator[AnyPiece],
    look_again: Callable[[], Iterator[AnyPiece]],
    *,
    retry: frozenset[State],
    allow_duplicates: bool,
) -> Submitted:
    """Add tasks that were checked. `look_again` gives the same tasks once more."""
    identifier = Identifier(context)
    copies = _Copies(identifier, look_again()) if allow_duplicates else None
    try:
        job = store.open_job(context)
        tasks, added = _add_all(store, job, identifier, copies, pieces, retry)
        if not added.new:
            store.drop_job(job)
        again = [task_id.hex() for state in retry for task_id in added.known_by_state.get(state, ())]
        kept = _kept(store, context, added)
        retried = sum(1 for _, word in store.retry(again) if word == "ok")
    except StoreUnavailable as error:
        raise StoreUnavailable(
            error.what,
            unchanged="Some of the tasks may have been added.",
            next_step="Submit them again: those are known then.",
        ) from error
    return Submitted(
        tasks=tasks,
        new=added.new,
        known={state: added.known[state] for state in State if added.known[state]},
        retried=retried,
        equal=added.duplicates,
        equal_lines=_equal_lines(identifier, look_again(), added.duplicate_ids) if added.duplicates else (),
        faulty=0,
        faults=(),
        job=job if added.new else None,
        jobs=tuple(sorted(added.jobs)),
        kept=kept,
    )


def _kept(store: Store, context: JobContext, added: Added) -> int:
    """How many known tasks keep other options than the ones given now: a look at their jobs, and none at them."""
    return sum(
        known if any(_differs(context, store.job(job), name) for name in _OPTIONS) else added.other_needs_in[job]
        for job, known in islice(added.known_in.items(), _JOBS_LOOKED_AT)
    )


def _differs(given: JobContext, before: JobContext, option: str) -> bool:
    """Whether an option was given, and is another than before."""
    value = getattr(given, option)
    return value is not None and value != getattr(before, option)


def _add_all(
    store: Store,
    job: int,
    identifier: Identifier,
    copies: _Copies | None,
    pieces: Iterator[AnyPiece],
    keep: frozenset[State],
) -> tuple[int, Added]:
    submission = store.submit(job, identifier.digest, keep)
    tasks = 0
    try:
        for piece in pieces:
            tasks += len(piece.numbers)
            ids = _ids(identifier, piece)
            if copies and copies.are_among(ids):
                for spec in copies.numbered(piece.specs(), ids):
                    submission.add(spec)
            elif isinstance(piece, AlikePiece):
                submission.add_alike(piece.pattern, piece.commands, ids)
            else:
                for spec in piece.tasks:
                    submission.add(spec)
        return tasks, submission.flush()
    except BaseException:
        # Replies that nobody waits for any more may be on their way.
        store.close()
        raise


def _ids(identifier: Identifier, piece: AnyPiece) -> list[bytes]:
    if isinstance(piece, AlikePiece):
        return identifier.digests(piece.pattern.type, piece.commands)
    return [identifier.digest(spec) for spec in piece.tasks]


class _Copies:
    """Tells equal tasks apart: the second is copy 1, and so on. The same file gives the same numbers again.

    A first look at all tasks finds those that may be equal to another one, so that only these are counted.
    """

    def __init__(self, identifier: Identifier, pieces: Iterator[AnyPiece]) -> None:
        self._digest = identifier.digest
        self._suspects: set[bytes] = set()
        self._copies: dict[bytes, int] = {}
        slots = bytearray(1 << 8 * _SLOT_DIGITS)
        for piece in pieces:
            for task_id in _ids(identifier, piece):
                slot = int.from_bytes(task_id[:_SLOT_DIGITS])
                if slots[slot]:
                    self._suspects.add(task_id)
                slots[slot] = 1

    def are_among(self, task_ids: list[bytes]) -> bool:
        """Whether any of these tasks may be equal to another one."""
        return not self._suspects.isdisjoint(task_ids)

    def numbered(self, specs: list[TaskSpec], task_ids: list[bytes]) -> Iterator[TaskSpec]:
        """The specs, with their copies numbered."""
        return map(self._numbered, specs, task_ids)

    def _numbered(self, spec: TaskSpec, task_id: bytes) -> TaskSpec:
        if task_id not in self._suspects:
            return spec
        copy = self._copies.get(task_id, -1) + 1
        self._copies[task_id] = copy
        return msgspec.structs.replace(spec, copy=copy) if copy else spec


def _equal_lines(
    identifier: Identifier, pieces: Iterator[AnyPiece], ids: Iterable[bytes]
) -> tuple[tuple[int, int], ...]:
    """For the tasks with these ids: number of the second, and of the first."""
    wanted, firsts, found = set(ids), dict[bytes, int](), []
    for piece in pieces:
        for number, task_id in zip(piece.numbers, _ids(identifier, piece), strict=True):
            if task_id not in wanted:
                continue
            if task_id in firsts:
                found.append((number, firsts[task_id]))
                wanted.remove(task_id)
            firsts.setdefault(task_id, number)
        if not wanted:
            break
    return tuple(sorted(found))
