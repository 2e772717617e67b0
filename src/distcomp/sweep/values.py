"""A parameter of a sweep: name=VALUES, where VALUES is one of

a,b,'c, d',e\\,f      a list; quotes or a backslash keep a comma
glob:PATTERN         the files that match, sorted
file:LIST.txt        the lines of a file; blank ones and those that begin with # are left out
range:1..10          the numbers from 1 to 10, both included; range:0..1..0.25 with a step
log:1..1000..x10     1, 10, 100, 1000
"""

from __future__ import annotations

import decimal
import glob
import math
import os
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path, PurePosixPath
from typing import Protocol

from distcomp.errors import BadInput, Fault

MAX_VALUES = 1_000_000
MAX_VALUE_CHARACTERS = 65_536
PATH_PARTS = ("name", "stem", "suffix", "parent")

_NAME = re.compile(r"[A-Za-z_]\w*", re.ASCII)
_INTEGER = re.compile(r"[+-]?(?:0|[1-9]\d{0,18})", re.ASCII)
_FLOAT = re.compile(r"[+-]?(?:\d+\.\d*|\.\d+|\d+(?=[eE]))(?:[eE][+-]?\d+)?", re.ASCII)
_NUMBER = r"([+-]?(?:\d{1,18}(?:\.\d{1,18})?|\.\d{1,18}))"
_RANGE = re.compile(rf"{_NUMBER}\.\.{_NUMBER}(?:\.\.{_NUMBER})?", re.ASCII)
_LOG = re.compile(rf"{_NUMBER}\.\.{_NUMBER}\.\.x?{_NUMBER}", re.ASCII)
_ITEM = re.compile(
    r"""\s*(?:'(?P<single>[^']*)'|"(?P<double>[^"]*)"|(?P<bare>(?:\\[\\,]|[^,])*?))\s*(?P<comma>,|\Z)""", re.DOTALL
)
_ESCAPE = re.compile(r"\\([\\,])")


class Sources(Protocol):
    """Where a sweep finds file names and lists."""

    def glob(self, pattern: str) -> list[str]:
        """The names that match the pattern, relative ones to the directory of submission."""
        ...

    def lines(self, path: str) -> list[str]:
        """The lines of a text file. OSError if it cannot be read."""
        ...


class Disk:
    """Files as they are on disk; relative names are below `root`."""

    def __init__(self, root: Path) -> None:
        self._root = root

    def glob(self, pattern: str) -> list[str]:
        """The names that match, in no order; ** matches any folders."""
        # Not pathlib, which drops a leading ./
        return glob.glob(_home_expanded(pattern), root_dir=self._root, recursive=True)  # noqa: PTH207

    def lines(self, path: str) -> list[str]:
        """The lines, without their \\n; bytes that are not UTF-8 are kept (surrogateescape)."""
        text = (self._root / _home_expanded(path)).read_bytes().decode("utf-8", "surrogateescape")
        return text.split("\n")


@dataclass(frozen=True, slots=True)
class Value:
    """One value: the text that goes into commands, and the number it is in results, if it is one."""

    text: str
    typed: str | int | float
    column: int = 0

    def part(self, name: str) -> str:
        """A part of the value as a path: one of PATH_PARTS."""
        return str(getattr(PurePosixPath(self.text), name))


@dataclass(frozen=True, slots=True)
class Parameter:
    """A name and its values, at least one, in the order given."""

    name: str
    values: tuple[Value, ...]

    def fault(self, column: int, what: str) -> Fault:
        """A fault at this parameter; the column counts within name=VALUES."""
        return Fault(f"parameter {self.name}", 0, column, what)


def _home_expanded(path: str) -> str:
    return os.path.expanduser(path)  # noqa: PTH111  pathlib fails on the ~ of nobody


class _BadValues(ValueError):
    def __init__(self, what: str, column: int = 0) -> None:
        self.column = column
        super().__init__(what)


def parse_parameter(text: str, sources: Sources) -> Parameter:
    """The parameter that `text` describes.

    Raises:
        BadInput: with every fault, each with its column in `text`.
    """
    name, equals, description = text.partition("=")
    if not equals or not _NAME.fullmatch(name):
        raise BadInput([Fault(f"parameter {text[:40]}", 0, 1, "expected name=VALUES, such as size=0.01,0.1")])
    start = len(name) + 2
    try:
        values = [_value(value, column) for column, value in _read(description, start, sources)]
    except _BadValues as fault:
        raise BadInput([Fault(f"parameter {name}", 0, fault.column or start, str(fault))]) from None
    return Parameter(name, tuple(values))


def typed(text: str) -> str | int | float:
    """The number that the text is, or the text. Leading zeros are kept, as they make a name: 007 is text."""
    if _INTEGER.fullmatch(text) and -(2**63) <= int(text) < 2**63:
        return int(text)
    if _FLOAT.fullmatch(text) and math.isfinite(float(text)):
        return float(text)
    return text


def _value(text: str, column: int) -> Value:
    if len(text) > MAX_VALUE_CHARACTERS:
        raise _BadValues(f"a value is longer than {MAX_VALUE_CHARACTERS} characters", column)
    if "\0" in text:
        raise _BadValues("a value holds a NUL character", column)
    return Value(text, typed(text), column)


def _read(description: str, start: int, sources: Sources) -> Iterator[tuple[int, str]]:
    """Each value's text, and its column."""
    form, colon, rest = description.partition(":")
    reader = _FORMS.get(form) if colon else None
    if reader is None:
        yield from _items(description, start, sources)
        return
    for text in reader(rest, sources):
        yield start, text


def _items(text: str, start: int, sources: Sources) -> Iterator[tuple[int, str]]:
    position = 0
    while position <= len(text):
        match = _ITEM.match(text, position)
        if match is None or (match["bare"] or "")[:1] in ("'", '"'):
            raise _BadValues("a quote is not closed, or something follows it before the comma", start + position)
        if match["bare"] == "":
            raise _BadValues("an empty value; write '' if it is meant", start + position)
        group = next(name for name in ("single", "double", "bare") if match[name] is not None)
        item = match[group]
        if group == "bare":
            _check_meant(item, start + match.start(group), sources)
            item = _ESCAPE.sub(r"\1", item)
        yield start + match.start(group), item
        if not match["comma"]:
            return
        position = match.end()


def _check_meant(item: str, column: int, sources: Sources) -> None:
    """A text without quotes that looks like one of the forms is a slip, as likely as not."""
    form = ""
    if _RANGE.fullmatch(item):
        form, what = f"range:{item}", "these numbers"
    elif _LOG.fullmatch(item):
        form, what = f"log:{item}", "these numbers"
    elif any(sign in item for sign in "*?[") and sources.glob(item):
        form, what = f"glob:{item}", "the files that match"
    if form:
        raise _BadValues(f"{item} is a text here. Write {form} for {what}, or \"'{item}'\" for the text", column)


def _glob_values(pattern: str, sources: Sources) -> list[str]:
    # A name that begins with - would be read as an option.
    names = [f"./{name}" if name.startswith("-") else name for name in sorted(sources.glob(pattern))]
    if not names:
        raise _BadValues(f"no file matches {pattern!r}")
    return names


def _file_values(path: str, sources: Sources) -> list[str]:
    try:
        lines = sources.lines(path)
    except OSError as error:
        raise _BadValues(f"cannot read {path!r}: {error.strerror or error}") from None
    values = [line for line in (line.strip(" \t\r") for line in lines) if line and not line.startswith("#")]
    if not values:
        raise _BadValues(f"{path!r} holds no values")
    return values


def _range_values(text: str, _: Sources) -> Iterator[str]:
    match = _RANGE.fullmatch(text)
    if match is None:
        raise _BadValues("expected range:FIRST..LAST or range:FIRST..LAST..STEP, such as range:0..1..0.25")
    first, last = Decimal(match[1]), Decimal(match[2])
    step = Decimal(match[3]) if match[3] else Decimal(1 if first <= last else -1)
    if not step or (last - first) * step < 0:
        raise _BadValues(f"steps of {step} do not lead from {first} to {last}")
    with decimal.localcontext(prec=60):  # exact: three numbers of 36 digits
        count = int((last - first) // step) + 1
        if count > MAX_VALUES:
            raise _BadValues(f"more than {MAX_VALUES:,} values")
        return iter([_plain(first + index * step) for index in range(count)])


def _log_values(text: str, _: Sources) -> list[str]:
    match = _LOG.fullmatch(text)
    if match is None:
        raise _BadValues("expected log:FIRST..LAST..xFACTOR, such as log:1..1000..x10")
    first, last, factor = map(Decimal, match.groups())
    if not 0 < first <= last or factor <= 1:
        raise _BadValues("FIRST must be above 0, LAST no less, FACTOR above 1")
    values = []
    while first <= last:
        # Powers of 1.1 soon have more digits than a number in a program.
        values.append(_plain(decimal.Context(prec=15).plus(first)))
        if len(values) > MAX_VALUES:
            raise _BadValues(f"more than {MAX_VALUES:,} values")
        first *= factor
    return values


def _plain(number: Decimal) -> str:
    """Without exponent and trailing zeros."""
    text = format(number, "f")
    return text.rstrip("0").rstrip(".") if "." in text else text


_FORMS: dict[str, Callable[[str, Sources], Iterator[str] | list[str]]] = {
    "glob": _glob_values,
    "file": _file_values,
    "range": _range_values,
    "log": _log_values,
}
