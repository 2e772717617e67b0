"""What an attempt printed: from the files of its node, here or over ssh, whether it has ended or still runs."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path
from time import sleep
from typing import Protocol, TypeVar

from distcomp.api.cluster import Away
from distcomp.clock import Clock, SystemClock
from distcomp.errors import NotFound
from distcomp.model import Outcome, OutputPlace, State
from distcomp.runner.reading import Stream, read_output
from distcomp.runner.slotfiles import slot_paths
from distcomp.runner.slottable import SlotRecord, read_slots
from distcomp.statefolder import NodeFolder, StateFolder
from distcomp.store.reading import Reading, TaskRecord

CHUNK_BYTES = 1 << 18
LOOK_S = 0.1
# From the end of an attempt until the store knows of it. Longer only while the store is away.
SETTLE_PATIENCE_S = 30.0


_Answer = TypeVar("_Answer")


class Ask(Protocol):
    """Asks the store, and once more if the connection broke meanwhile."""

    def __call__(self, question: Callable[[Reading], _Answer]) -> _Answer:
        """The answer."""
        ...


class Logs:
    """Reads what attempts of one task printed to one stream.

    Args:
        folder: of the project.
        ask: how to ask the store.
        task_id: whose.
        stream: "stdout" or "stderr".
        away: nodes that are reached over ssh.
    """

    def __init__(
        self,
        folder: StateFolder,
        ask: Ask,
        task_id: str,
        stream: Stream,
        away: Away | None = None,
        clock: Clock | None = None,
    ) -> None:
        self._away = away
        self._folder, self._ask, self._task_id, self._stream = folder, ask, task_id, stream
        self._clock = clock or SystemClock()

    def pieces(self, attempt: int | None, *, follow: bool) -> Iterator[bytes]:
        """What one attempt printed; the last one, if `attempt` is None.

        Args:
            attempt: its number.
            follow: wait for more until the attempt ends, and before that, until there is one.

        Raises:
            NotFound: there is no such attempt, or its output is elsewhere, or lost.
        """
        record = self._task()
        while follow and attempt is None and record.state is State.TODO:
            sleep(LOOK_S)
            record = self._task()
        if record.state is State.RUNNING and attempt in (None, record.attempt):
            yield from self._of_running(record, follow=follow)
            return
        outcomes = self._outcomes(record)
        if not outcomes and attempt is None:
            raise NotFound(f"Task {self._task_id} has not run yet.", next_step="'distcomp explain' says why.")
        wanted = [outcome for outcome in outcomes if attempt in (None, outcome.attempt)]
        if not wanted:
            known = ", ".join(str(outcome.attempt) for outcome in outcomes) or "none"
            raise NotFound(f"Task {self._task_id} has no attempt {attempt}; there are: {known}.")
        yield from self._of_ended(wanted[-1], skip_bytes=0)

    def _task(self) -> TaskRecord:
        return self._ask(lambda reading: reading.task(self._task_id))

    def _outcomes(self, record: TaskRecord) -> list[Outcome]:
        past = self._ask(lambda reading: reading.past(self._task_id))
        return [*past, record.outcome] if record.outcome else past

    # Ended

    def _of_ended(self, outcome: Outcome, skip_bytes: int) -> Iterator[bytes]:
        is_stdout = self._stream == "stdout"
        place = outcome.output
        if outcome.output_lost:
            raise NotFound(
                f"The output of attempt {outcome.attempt} was lost: {outcome.output_lost}.",
                next_step=f"'distcomp show {self._task_id}' has its last KiB if the attempt failed.",
            )
        if place is None:
            # It printed nothing, or the settings keep no more than this.
            yield (outcome.stdout_tail if is_stdout else outcome.stderr_tail).encode()[skip_bytes:]
            return
        folder = self._node(outcome.node).output
        host = self._away.host(outcome.node) if self._away else None
        if folder.is_dir():
            yield from self._from(folder, place, skip_bytes)
        elif self._away and host:
            with self._away.fetched(host, place) as fetched:
                yield from self._from(fetched, place, skip_bytes)
        else:
            raise _elsewhere(outcome.node, folder)

    def _from(self, folder: Path, place: OutputPlace, skip_bytes: int) -> Iterator[bytes]:
        is_stdout = self._stream == "stdout"
        if skip_bytes and (place.stdout_cut_bytes if is_stdout else place.stderr_cut_bytes):
            yield b"\n[more was printed than is kept: 'distcomp logs' has the end]\n"
            return
        for piece in read_output(folder, place, self._stream):
            yield piece[skip_bytes:]
            skip_bytes = max(0, skip_bytes - len(piece))

    def _node(self, node: str) -> NodeFolder:
        return self._folder.node(node)

    # Running

    def _of_running(self, record: TaskRecord, *, follow: bool) -> Iterator[bytes]:
        node = self._node_of(record.worker)
        host = self._away.host(node.path.name) if self._away else None
        if self._away and host and not node.slots_file.exists():
            yield from self._away.printed(host, self._arguments(record, follow=follow))
            return
        if not node.slots_file.exists():
            raise _elsewhere(node.path.name, node.path)
        slot = self._slot(node, record)
        while slot is None and follow and self._is_current(record):
            sleep(LOOK_S)
            slot = self._slot(node, record)
        offset_bytes = 0
        while slot is not None:
            for piece, end_bytes in _new_pieces(node, slot, self._stream, offset_bytes):
                # What was read of files that are another attempt's by now is dropped, and comes from where it is kept.
                if self._slot(node, record) != slot:
                    break
                yield piece
                offset_bytes = end_bytes
            if follow:
                sleep(LOOK_S)
            slot = self._slot(node, record) if follow else None
        if follow or not self._is_current(record):
            yield from self._after_end(record, offset_bytes)

    def _after_end(self, record: TaskRecord, offset_bytes: int) -> Iterator[bytes]:
        outcome = self._settled(record)
        if outcome is not None:
            yield from self._of_ended(outcome, offset_bytes)
        elif self._task().state in (State.TODO, State.RUNNING):
            # It was claimed and given back without ever having started.
            yield from self.pieces(None, follow=True)

    def _node_of(self, worker: str) -> NodeFolder:
        nodes = {record.worker: record.facts.node for record in self._ask(Reading.workers)}
        return self._folder.node(nodes.get(worker) or worker)

    def _arguments(self, record: TaskRecord, *, follow: bool) -> list[str]:
        """The same question for the `distcomp logs` of another machine."""
        options = [*(["--err"] if self._stream == "stderr" else []), *(["--follow"] if follow else [])]
        return [record.task_id, "--attempt", str(record.attempt), *options]

    def _is_current(self, record: TaskRecord) -> bool:
        """Whether the attempt is still the one that the store takes for running."""
        now = self._task()
        return now.state is State.RUNNING and now.attempt == record.attempt

    def _slot(self, node: NodeFolder, record: TaskRecord) -> SlotRecord | None:
        wanted = (record.task_id, record.attempt)
        try:
            slots = read_slots(node.slots_file.read_bytes())
        except FileNotFoundError:
            return None
        return next((slot for slot in slots if (slot.task_id, slot.attempt) == wanted), None)

    def _settled(self, record: TaskRecord) -> Outcome | None:
        """How the attempt ended, as soon as the store knows; None if it will never know, or does not for long."""
        give_up_s = self._clock.monotonic_s() + SETTLE_PATIENCE_S
        while self._is_current(record) and self._clock.monotonic_s() < give_up_s:
            sleep(LOOK_S)
        outcomes = self._outcomes(self._task())
        return next((outcome for outcome in outcomes if outcome.attempt == record.attempt), None)


def _new_pieces(node: NodeFolder, slot: SlotRecord, stream: Stream, start: int) -> Iterator[tuple[bytes, int]]:
    """What is in a running attempt's file from `start` on, each piece with the place of its end."""
    stdout, stderr = slot_paths(node.path / "running", slot.slot)
    try:
        fd = os.open(stdout if stream == "stdout" else stderr, os.O_RDONLY | os.O_CLOEXEC)
    except FileNotFoundError:
        return
    try:
        while True:
            data = _next_data(fd, start)
            if data > start:
                yield f"\n... distcomp cut {data - start} bytes ...\n".encode(), data
            piece = os.pread(fd, CHUNK_BYTES, data)
            if not piece:
                return
            start = data + len(piece)
            yield piece, start
    finally:
        os.close(fd)


def _next_data(fd: int, start: int) -> int:
    """Where the file goes on after a hole: the middle of too long an output is taken out while it runs."""
    try:
        return os.lseek(fd, start, os.SEEK_DATA)
    except OSError:
        return start


def _elsewhere(node: str, folder: Path) -> NotFound:
    return NotFound(
        f"The output lies on node {node}, and {folder} is not here.", next_step=f"Ask there: distcomp logs, on {node}."
    )
