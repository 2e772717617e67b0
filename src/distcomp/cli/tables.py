"""Writes the result table: CSV, JSON lines, a JSON array, Parquet. No more than some rows are in memory at once.

A table has the columns of all its rows. Where they must be known first, the rows wait in a file without a name:
asked again, the store would have others by then.
"""

from __future__ import annotations

import csv
import json
import tempfile
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from itertools import islice
from typing import TYPE_CHECKING, Any, BinaryIO

from distcomp.cli.render import to_json
from distcomp.errors import DistcompError

if TYPE_CHECKING:
    from distcomp.api.results import Row

    Rows = Callable[[], Iterator[Row]]

AT_ONCE = 5000


def write_jsonl(rows: Rows, file: BinaryIO) -> int:
    """An object on each line. Returns the number of rows, as all of these do."""
    number = 0
    for number, row in enumerate(rows(), 1):  # noqa: B007  the last one is the answer
        file.write(to_json(row).encode() + b"\n")
    return number


def write_json(rows: Rows, file: BinaryIO) -> int:
    """One array, an object on each line."""
    number = 0
    for number, row in enumerate(rows(), 1):
        file.write((b"[" if number == 1 else b",\n") + to_json(row).encode())
    file.write(b"]\n" if number else b"[]\n")
    return number


def write_csv(rows: Rows, file: BinaryIO) -> int:
    """With a line of names. What is unknown is empty; lists and objects are JSON."""
    with _spooled(rows()) as kept:
        return _write_csv(kept, file)


def _write_csv(rows: Rows, file: BinaryIO) -> int:
    from distcomp.api.results import in_order

    names = in_order(name for row in rows() for name in row)
    writer = csv.writer(_Encoded(file), lineterminator="\n")
    writer.writerow(names)
    number = 0
    for number, row in enumerate(rows(), 1):  # noqa: B007  the last one is the answer
        writer.writerow([_text(row.get(name)) for name in names])
    return number


class _Encoded:
    """Text to a file of bytes, which it never closes: io's wrapper does, where a broken pipe leaves it behind."""

    def __init__(self, file: BinaryIO) -> None:
        self._file = file

    def write(self, text: str) -> int:
        return self._file.write(text.encode("utf-8", "surrogateescape"))


def write_parquet(rows: Rows, file: BinaryIO) -> int:
    """Numbers stay numbers; a column of unlike values is text.

    Raises:
        DistcompError: pyarrow is not installed.
    """
    try:
        import pyarrow as pa
        import pyarrow.parquet as pq
    except ImportError as error:
        raise DistcompError(
            "Parquet needs pyarrow, which is not installed.",
            unchanged="Nothing was written.",
            next_step="`pip install pyarrow` for the Python that runs distcomp, or take --csv or --jsonl.",
        ) from error
    with _spooled(rows()) as kept:
        return _write_parquet(kept, file, pa, pq)


def _write_parquet(rows: Rows, file: BinaryIO, pa: Any, pq: Any) -> int:
    kinds = _kinds(rows())
    arrow = {bool: pa.bool_(), int: pa.int64(), float: pa.float64(), str: pa.string()}
    schema = pa.schema([(name, arrow[kind]) for name, kind in kinds.items()])
    number = 0
    with pq.ParquetWriter(file, schema) as writer:
        remaining = rows()
        while some := list(islice(remaining, AT_ONCE)):
            columns = {name: [_typed(row.get(name), kind) for row in some] for name, kind in kinds.items()}
            writer.write_table(pa.table(columns, schema=schema))
            number += len(some)
    return number


@contextmanager
def _spooled(rows: Iterable[Row]) -> Iterator[Rows]:
    """The rows, to be read as often as needed."""
    with tempfile.TemporaryFile(prefix="distcomp-") as spool:
        for row in rows:
            spool.write(to_json(row).encode() + b"\n")

        def again() -> Iterator[Row]:
            spool.seek(0)
            return map(json.loads, spool)

        yield again


def _kinds(rows: Iterable[Row]) -> dict[str, type]:
    """The type that holds all values of each column."""
    from distcomp.api.results import in_order

    found: dict[str, set[type]] = {}
    for row in rows:
        for name, value in row.items():
            kinds = found.setdefault(name, set())
            if value is not None:
                kinds.add(_kind(value))
    return {name: _common(found.get(name, set())) for name in in_order(iter(found))}


def _kind(value: object) -> type:
    if isinstance(value, int) and not -(2**63) <= value < 2**63:
        return float
    return type(value) if isinstance(value, bool | int | float) else str


def _common(kinds: set[type]) -> type:
    if len(kinds) == 1:
        return next(iter(kinds))
    return float if kinds == {int, float} else str


def _typed(value: Any, kind: type) -> Any:
    if value is None:
        return None
    if kind is str:
        # Parquet's text is UTF-8, and nothing else.
        return str(_text(value)).encode("utf-8", "backslashreplace").decode()
    return kind(value)


def _text(value: Any) -> Any:
    """A cell: numbers and texts as they are, lists and objects as JSON."""
    if isinstance(value, bool):
        return "true" if value else "false"
    return json.dumps(value) if isinstance(value, list | dict) else value
