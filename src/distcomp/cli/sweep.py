"""`distcomp sweep`."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator
from functools import partial
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from distcomp.cli import render
from distcomp.cli.opening import opened
from distcomp.cli.options import AsJson, SubmitFlags, with_flags
from distcomp.cli.terminal import cut, is_terminal, width

if TYPE_CHECKING:
    from distcomp.api import SubmitOptions
    from distcomp.model import TaskSpec
    from distcomp.sweep import Sweep

SHOWN = 10


@partial(with_flags, without=("plain", "format_name", "skip_bad"))  # of files, which a sweep has none of
def sweep(
    flags: SubmitFlags,
    template: Annotated[str, typer.Argument(help="The command, with {name} for each parameter, or {name.stem}.")],
    parameters: Annotated[list[str], typer.Argument(metavar="NAME=VALUES...", help="A parameter, as above.")],
    where: Annotated[str, typer.Option(metavar="EXPR", help="Only combinations that meet this: size < 10.")] = "",
    zips: Annotated[
        list[str] | None, typer.Option("--zip", metavar="A,B", help="Parameters that vary together. May be repeated.")
    ] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Show the tasks, add nothing.")] = False,
    output: Annotated[
        Path | None, typer.Option("-o", "--output", metavar="FILE", help="Write a task file, add nothing; - is stdout.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Add a task for each combination of parameters. They become columns of the result table.

    VALUES: a,b,c  glob:PATTERN  file:LIST.txt  range:1..10  range:0..1..0.1  log:1..1000..x10

    Whatever is in a value, it stays one word of the command. `distcomp run` then runs the tasks.
    """
    options = flags.options(is_plain=True, retry_failed=False)
    found = _parsed(template, parameters, where, zips or (), options)
    number = found.count()
    if dry_run:
        specs = list(islice(found.specs(), number if as_json else SHOWN))
        render.show_all([spec.command for spec in specs], as_json, lambda commands: _shown(commands, number))
    elif output is not None:
        _write(found, output)
        print(f"{render.number_of(number, 'task')} in {output}: distcomp run {output}", file=sys.stderr)
    else:
        from distcomp.cli import submitting

        with opened(create=True) as client:
            render.show(client.submit_many(found.specs, options), as_json, submitting.lines)


def _parsed(template: str, parameters: Iterable[str], where: str, zips: Iterable[str], options: SubmitOptions) -> Sweep:
    from distcomp.sweep import Disk, parse_sweep

    root = options.cwd or Path.cwd()
    return parse_sweep(template, tuple(parameters), Disk(root), where=where, zips=tuple(zips), base=options.base)


def _shown(commands: Iterable[str], number: int) -> Iterator[str]:
    columns = width() if is_terminal(sys.stdout) else sys.maxsize
    yield from (cut(command, columns) for command in commands)
    if number > SHOWN:
        yield f"... {render.number_of(number, 'task')} in all"


def _write(found: Sweep, output: Path) -> None:
    from distcomp.cli.files import written_whole

    with written_whole(output) as file:
        file.writelines(_lines(found.specs()))


def _lines(specs: Iterable[TaskSpec]) -> Iterator[bytes]:
    from distcomp.taskfile import to_jsonl

    return map(to_jsonl, specs)
