"""Values as JSON or as text: both from the same value."""

from __future__ import annotations

import datetime
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from typing import TypeVar

import msgspec

from distcomp.cli.terminal import STATE_COLOURS, cut, is_terminal, paint, width
from distcomp.model import State
from distcomp.units import format_bytes, format_duration

_Value = TypeVar("_Value")
_TAKES_ALL = ("utf-8", "utf8")

Cell = str | tuple[str, str]
"""Text, or text and its colour."""


def show(value: _Value, as_json: bool, lines: Callable[[_Value], Iterable[str]]) -> None:
    """Print one value: as a JSON document, or as the lines that `lines` makes of it."""
    if as_json:
        print(to_json(value))
        return
    for line in lines(value):
        print(line)


def show_all(values: Iterable[_Value], as_json: bool, lines: Callable[[Iterable[_Value]], Iterable[str]]) -> None:
    """Print many values: as a JSON array with one on each line, or as lines. As they come, never all in memory."""
    if not as_json:
        for line in lines(values):
            print(line)
        return
    separator = "["
    for value in values:
        print(f"{separator}{to_json(value)}", end="")
        separator = ",\n"
    print("]" if separator != "[" else "[]")


def to_json(value: object) -> str:
    """One line of JSON. Bytes of commands that are not UTF-8 become \\udcXX, as Python reads them back."""
    with suppress(UnicodeEncodeError):
        text = msgspec.json.encode(value).decode()
        if text.isascii() or sys.stdout.encoding.lower() in _TAKES_ALL:
            return text
    import json

    return json.dumps(msgspec.to_builtins(value))


def table(head: Sequence[str], rows: Iterable[Sequence[Cell]], right: Iterable[str] = ()) -> Iterable[str]:
    """Rows in columns; the last column is cut to the terminal's width, if there is one.

    Args:
        head: names of columns.
        rows: a cell for each column.
        right: names of columns that stand to the right.
    """
    cells = [[_text(cell) for cell in row] for row in rows]
    if not cells:
        return
    widths = [max(len(row[at][0]) for row in [[(name, "") for name in head], *cells]) for at in range(len(head))]
    to_right = {at for at, name in enumerate(head) if name in set(right)}
    room = width() - sum(widths[:-1]) - 2 * (len(head) - 1) if is_terminal(sys.stdout) else None
    yield _line([(name, "dim") for name in head], widths, to_right, room)
    for row in cells:
        yield _line(row, widths, to_right, room)


def _text(cell: Cell) -> tuple[str, str]:
    return (cell, "") if isinstance(cell, str) else cell


def _line(row: Sequence[tuple[str, str]], widths: Sequence[int], to_right: set[int], room: int | None) -> str:
    parts = []
    for at, (text, colour) in enumerate(row):
        is_last = at == len(row) - 1
        shown = text if not is_last or room is None else cut(text, max(room, 20))
        padded = shown.rjust(widths[at]) if at in to_right else shown if is_last else shown.ljust(widths[at])
        parts.append(paint(padded, colour))
    return "  ".join(parts).rstrip()


def fields(pairs: Iterable[tuple[str, str]]) -> Iterable[str]:
    """Names and values, a line each; what is empty is left out."""
    shown = [(name, value) for name, value in pairs if value]
    longest = max((len(name) for name, _ in shown), default=0)
    for name, value in shown:
        yield f"{paint(name.ljust(longest), 'dim')}  {value}"


def state(value: State) -> tuple[str, str]:
    """A state as a cell."""
    return str(value), STATE_COLOURS[value]


def counts(by_state: Mapping[State, int]) -> str:
    """`1,000: 412 finished, 588 todo`."""
    order = (State.FINISHED, State.FAILED, State.CANCELLED, State.RUNNING, State.TODO)
    parts = [paint(f"{by_state[s]:,} {s}", STATE_COLOURS[s]) for s in order if by_state.get(s)]
    total = sum(by_state.values())
    return f"{total:,}" + (f": {', '.join(parts)}" if parts else "")


def number_of(number: int, noun: str) -> str:
    """`1 task`, `1,000 tasks`."""
    return f"{number:,} {noun}{'' if number == 1 else 's'}"


def size(size_bytes: int) -> str:
    """A size, nothing for the unknown one."""
    return format_bytes(size_bytes) if size_bytes else ""


def duration(duration_s: float) -> str:
    """A duration."""
    return format_duration(duration_s)


def time(at_ms: int) -> str:
    """A time of the day, local, with its date."""
    if not at_ms:
        return ""
    return datetime.datetime.fromtimestamp(at_ms / 1000).astimezone().strftime("%Y-%m-%d %H:%M:%S")
