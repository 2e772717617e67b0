"""A task file that can be read several times, in pieces: once to find every fault, then to add its tasks."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import chain, islice
from typing import BinaryIO, NamedTuple

from msgspec.structs import replace

from distcomp.errors import BadInput, Fault
from distcomp.model import TaskSpec
from distcomp.taskfile import Format, parse_numbered
from distcomp.taskfile.blocks import Block, find_alike, read_blocks
from distcomp.taskfile.fields import BadCommand, check_command

FAULTS_LISTED = 50
_PIECE_TASKS = 1000


class Piece(NamedTuple):
    """Some tasks, and where they stand: in which line, or at which place of a list, from 1."""

    numbers: Sequence[int]
    tasks: list[TaskSpec]

    def specs(self) -> list[TaskSpec]:
        """The tasks."""
        return self.tasks


class AlikePiece(NamedTuple):
    """Some tasks that are `pattern` but for their commands, in UTF-8; kept so, as making specs of them takes time."""

    numbers: Sequence[int]
    pattern: TaskSpec
    commands: list[bytes]

    def specs(self) -> list[TaskSpec]:
        """The tasks."""
        return [replace(self.pattern, command=command.decode()) for command in self.commands]


class Faults:
    """Gathers faults; of very many only the first are kept, for nobody reads more."""

    def __init__(self) -> None:
        self.listed: list[Fault] = []
        self.lines = 0
        self._count = 0
        self._last_line = 0

    def add(self, fault: Fault) -> None:
        """Note a fault. Those of one line come one after the other."""
        self._count += 1
        self.lines += fault.line != self._last_line
        self._last_line = fault.line
        if len(self.listed) < FAULTS_LISTED:
            self.listed.append(fault)

    def check(self, unchanged: str = "Nothing was added.") -> None:
        """Raise BadInput if there were any."""
        if not self._count:
            return
        more = self._count - len(self.listed)
        rest = [Fault(self.listed[0].file, 0, 0, f"... and {more:,} more faults")] if more else []
        raise BadInput(
            [*self.listed, *rest],
            unchanged=unchanged,
            next_step="Mend the lines, or add the others with --skip-bad.",
        )


class TaskFile:
    """A task file, which can be read several times.

    Args:
        file: seekable.
        name: what faults call it.
        file_format: how its lines are written.
        base: what the tasks of plain lines have beside their commands; its tags and outputs go to all tasks.
    """

    def __init__(self, file: BinaryIO, name: str, file_format: Format, base: TaskSpec) -> None:
        self._file, self._name, self._format, self._base = file, name, file_format, base

    def check(self, on_fault: Callable[[Fault], None]) -> None:
        """Find every fault in the file, and add nothing."""
        for block in self._blocks():
            if find_alike(block.content, self._format, self._base) is None:
                for _ in self._slowly(block, on_fault):
                    pass

    def pieces(self, on_fault: Callable[[Fault], None]) -> Iterator[Piece | AlikePiece]:
        """All tasks from the start of the file; lines with faults are left out."""
        for block in self._blocks():
            alike = find_alike(block.content, self._format, self._base)
            if alike is None:
                yield from in_pieces(self._slowly(block, on_fault))
            else:
                numbers = range(block.first_line, block.first_line + len(alike.commands))
                yield AlikePiece(numbers, alike.pattern, alike.commands)

    def _blocks(self) -> Iterator[Block]:
        self._file.seek(0)
        return read_blocks(self._file)

    def _slowly(self, block: Block, on_fault: Callable[[Fault], None]) -> Iterator[tuple[int, TaskSpec]]:
        # A blank line before it: only a file's own first line may begin with a byte order mark.
        before = block.first_line - 1
        lines = [line + b"\n" for line in block.content.split(b"\n")[:-1]]
        padded: Iterable[bytes] = chain([b"\n"], lines) if before else lines
        offset = before - 1 if before else 0

        def report(fault: Fault) -> None:
            on_fault(Fault(fault.file, fault.line + offset, fault.column, fault.what))

        for number, spec in parse_numbered(padded, self._name, self._format, report):
            yield from self._completed(number + offset, spec, on_fault)

    def _completed(
        self, number: int, spec: TaskSpec, on_fault: Callable[[Fault], None]
    ) -> Iterator[tuple[int, TaskSpec]]:
        base = self._base
        if self._format is Format.PLAIN:
            try:
                check_command(base.type, spec.command)
            except BadCommand as fault:
                on_fault(Fault(self._name, number, fault.column, fault.what))
                return
            yield number, replace(base, command=spec.command)
        elif base.tags or base.outputs:
            tags, outputs = dict.fromkeys(spec.tags + base.tags), dict.fromkeys(spec.outputs + base.outputs)
            yield number, replace(spec, tags=tuple(tags), outputs=tuple(outputs))
        else:
            yield number, spec


def in_pieces(numbered: Iterable[tuple[int, TaskSpec]]) -> Iterator[Piece]:
    """Numbered tasks, gathered."""
    tasks = iter(numbered)
    while some := list(islice(tasks, _PIECE_TASKS)):
        yield Piece([number for number, _ in some], [spec for _, spec in some])
