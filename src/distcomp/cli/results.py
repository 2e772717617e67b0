"""`distcomp results`."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable, Iterator
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, BinaryIO

import typer

from distcomp.cli import render
from distcomp.cli.files import STDOUT, written_whole
from distcomp.cli.opening import opened
from distcomp.cli.options import AsJson, States, parse_states
from distcomp.cli.terminal import cut, printable
from distcomp.cli.usage import BadUsage

if TYPE_CHECKING:
    from distcomp.api import Client, TaskView
    from distcomp.api.results import Row

SHOWN = 100
_BY_SUFFIX = {".csv": "csv", ".jsonl": "jsonl", ".ndjson": "jsonl", ".parquet": "parquet", ".json": "json"}
# For a table on a screen; all columns are in the other forms.
_NOT_SHOWN = {"command", "signal", "disk_read_bytes", "disk_written_bytes", "started_at_ms", "ended_at_ms", "tags"}
# Their cells have a unit each, so the head has none.
_HEADS = {"wall_s": "wall", "cpu_s": "cpu", "peak_bytes": "peak"}
COMMAND_COLUMNS = 60


def results(
    csv: Annotated[bool, typer.Option("--csv", help="Comma-separated values.")] = False,
    jsonl: Annotated[bool, typer.Option("--jsonl", help="A JSON object on each line.")] = False,
    parquet: Annotated[bool, typer.Option("--parquet", help="Parquet (needs pyarrow).")] = False,
    as_json: AsJson = False,
    output: Annotated[
        Path | None, typer.Option("-o", "--output", metavar="FILE", help="Where to; its suffix names the form as well.")
    ] = None,
    state: States = None,
) -> None:
    """Print the result table: a row per task that has ended, failed ones included.

    Columns: the task, its parameters, its result (the last line of its stdout, if that is a JSON object), exit
    code, time, CPU, memory. Without a form: a table of the first rows, to look at.
    """
    form = _form({"csv": csv, "jsonl": jsonl, "parquet": parquet, "json": as_json}, output)
    states = parse_states(state) or None
    from distcomp.api import Filter
    from distcomp.api.results import RESULT_STATES

    with opened() as client:

        def rows() -> Iterator[Row]:
            return client.results(states)

        if not form:
            _show(client.tasks(Filter(states=states or RESULT_STATES)))
            _show_waste(client)
            return
        with written_whole(output) as file:
            written = _writer(form)(rows, file)
    if output is not None and str(output) != STDOUT:
        print(f"{render.number_of(written, 'row')} in {output}", file=sys.stderr)


def _form(flags: dict[str, bool], output: Path | None) -> str:
    """Which form is meant; "" for a table to look at."""
    asked = [name for name, is_asked in flags.items() if is_asked]
    by_name = _BY_SUFFIX.get(output.suffix.lower(), "") if output else ""
    what = ""
    if len(asked) > 1:
        what = f"Expected one form: --{asked[0]} or --{asked[1]}."
    elif not asked and not by_name and output:
        what = "Say in which form: --csv, --jsonl, --parquet, or a file name that ends so."
    elif (asked or [by_name])[0] == "parquet" and output is None and sys.stdout.isatty():
        what = "Parquet is not for terminals: -o FILE."
    if what:
        raise BadUsage(what, unchanged="Nothing was written.")
    return asked[0] if asked else by_name


def _writer(form: str) -> Callable[[Callable[[], Iterator[Row]], BinaryIO], int]:
    from distcomp.cli import tables

    return {
        "csv": tables.write_csv,
        "jsonl": tables.write_jsonl,
        "json": tables.write_json,
        "parquet": tables.write_parquet,
    }[form]


def _show_waste(client: Client) -> None:
    """Below the table, and not into a file: it is about all of the project."""
    from distcomp.cli.waste import use_line, waste_line

    status = client.status()
    for line in (use_line(status.use), waste_line(status.attempts, status.spent_s)):
        if line:
            print(line, file=sys.stderr)


def _show(found: Iterable[TaskView]) -> None:
    """The first rows as a table; with the command, shortened, where not all have parameters that tell them apart."""
    from distcomp.api import results as columns

    remaining = iter(found)
    tasks = list(islice(remaining, SHOWN))
    shown = [columns.row(task) for task in tasks]
    names = [name for name in columns.in_order(name for row in shown for name in row) if name not in _NOT_SHOWN]
    names = [name for name in names if any(row.get(name) not in (None, "") for row in shown)]
    if not all(task.params for task in tasks):
        names.append("command")
    heads = [_HEADS.get(name, name) for name in names]
    right = {_HEADS.get(name, name) for name in _numeric(shown)}
    for line in render.table(heads, [[_cell(name, row.get(name)) for name in names] for row in shown], right):
        print(line)
    if not shown:
        print("no task has ended yet")
    elif next(remaining, None) is not None:
        print(f"... these are the first {SHOWN}; all of them: distcomp results --csv -o results.csv")


def _numeric(rows: Iterable[Row]) -> set[str]:
    return {name for row in rows for name, value in row.items() if isinstance(value, int | float)}


def _cell(name: str, value: Any) -> str:
    if value is None:
        return ""
    if name == "peak_bytes":
        return render.size(value)
    if name in ("wall_s", "cpu_s"):
        return render.duration(value)
    if name == "command":
        return cut(value, COMMAND_COLUMNS)
    return f"{value:.6g}" if isinstance(value, float) else printable(str(value))
