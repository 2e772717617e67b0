"""Lines of the form type:priority:min_dram:min_cpu:command, as the original platform has them."""

from __future__ import annotations

import difflib
import functools
from collections.abc import Callable, Iterable, Iterator
from typing import Any, NamedTuple

from distcomp.model import TaskSpec, TaskType
from distcomp.taskfile.fields import SURELY_SHORT, BadCommand, Report, check_command, parse_cores, parse_priority
from distcomp.units import parse_size

# A million tasks have a few prefixes, or one each where the priority counts up.
_MAX_REMEMBERED = 4096
_TYPES = [str(task_type) for task_type in TaskType]
_FORM = "type:priority:min_dram:min_cpu:command"


class _Head(NamedTuple):
    """What stands before the command."""

    type: TaskType
    priority: int
    memory_bytes: int
    cores: float


def line_specs(texts: Iterable[tuple[int, str]], report: Report) -> Iterator[tuple[int, TaskSpec]]:
    """The tasks of numbered lines; what cannot be read is reported (line, column, what) and left out."""
    heads: dict[str, _Head] = {}
    for number, text in texts:
        fields = text.split(":", 4)
        command = fields[-1]
        prefix = text[: len(text) - len(command)]
        head = heads.get(prefix)
        if head is None:
            head = _parse_head(number, fields, report)
            if head is None:
                continue
            if len(heads) >= _MAX_REMEMBERED:
                heads.clear()
            heads[prefix] = head
        # A quick no for nearly every task.
        if head.type is TaskType.PYTHON or len(command) > SURELY_SHORT or not command or command.isspace():
            try:
                check_command(head.type, command)
            except BadCommand as fault:
                report(number, len(prefix) + fault.column, fault.what)
                continue
        yield number, TaskSpec(command, *head)


def _parse_head(number: int, fields: list[str], report: Report) -> _Head | None:
    if len(fields) < 5:
        report(number, 1, _why_not_a_line(fields))
        return None
    values: list[Any] = []
    faults: list[tuple[int, str]] = []
    column = 1
    for (name, parse), field in zip(_HEAD_FIELDS, fields, strict=False):
        try:
            values.append(parse(field.strip()))
        except ValueError as fault:
            blanks = len(field) - len(field.lstrip())
            faults.append((column + blanks, f"{name}: {fault}" if field.strip() else f"{name} is empty"))
        column += len(field) + 1
    if not faults:
        return _Head(*values)
    if len(faults) > 1 and not _names_a_type(fields[0]):
        # It was never meant as such a line: what is wrong with the other fields would only distract.
        faults = [(faults[0][0], f"{faults[0][1]} (expected {_FORM}; did you mean --plain?)")]
    for at, what in faults:
        report(number, at, what)
    return None


@functools.lru_cache(_MAX_REMEMBERED)
def _parse_type(text: str) -> TaskType:
    if _names_a_type(text):
        return TaskType(text)
    near = difflib.get_close_matches(text.lower(), _TYPES, n=1)
    raise ValueError(f"{_shortened(text)} is not shell or python" + (f"; did you mean {near[0]}?" if near else ""))


@functools.lru_cache(_MAX_REMEMBERED)
def _parse_memory(text: str) -> int:
    return parse_size(text, default_unit="G")


_HEAD_FIELDS: tuple[tuple[str, Callable[[str], object]], ...] = (
    ("type", _parse_type),
    ("priority", parse_priority),
    ("min_dram", _parse_memory),
    ("min_cpu", parse_cores),
)


def _names_a_type(text: str) -> bool:
    return text.strip() in _TYPES


def _why_not_a_line(fields: list[str]) -> str:
    if fields[0].lstrip().startswith("{"):
        return f"expected {_FORM}; this looks like JSON, try --format jsonl"
    found = len(fields) - 1
    if found and _names_a_type(fields[0]):
        return f"expected {_FORM}, found {found} of its 4 colons"
    return f"expected {_FORM}; did you mean --plain?"


def _shortened(text: str) -> str:
    return repr(text if len(text) <= 40 else text[:40] + "…")
