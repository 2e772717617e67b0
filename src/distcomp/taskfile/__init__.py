"""Text of a task file to task specs, or faults with line and column. Pure, streaming: a million lines take no memory.

    line    type:priority:min_dram:min_cpu:command, e.g. shell:4:2:2:./cachesim trace.zst lru 0.1
    plain   each line a shell command
    jsonl   each line a JSON object with the fields command, type, priority, memory, cores, cwd, env, timeout, retries,
            kind, tags, outputs, params

Blank lines and lines that begin with # are skipped. Text is UTF-8; bytes that are not are kept (surrogateescape).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from enum import StrEnum

from distcomp.errors import Fault
from distcomp.model import TaskSpec, TaskType
from distcomp.taskfile.fields import MAX_COMMAND_BYTES, SURELY_SHORT, BadCommand, Report, check_command
from distcomp.taskfile.jsonl import jsonl_specs, to_jsonl
from distcomp.taskfile.line import line_specs

__all__ = ["MAX_COMMAND_BYTES", "MAX_LINE_BYTES", "Format", "guess_format", "parse", "parse_numbered", "to_jsonl"]

# Room for a command of the largest size, and for what stands beside it.
MAX_LINE_BYTES = 2 * MAX_COMMAND_BYTES

_BOM = b"\xef\xbb\xbf"


class Format(StrEnum):
    """How the lines of a task file are written."""

    LINE = "line"
    PLAIN = "plain"
    JSONL = "jsonl"


def parse(
    lines: Iterable[bytes], file: str, file_format: Format, on_fault: Callable[[Fault], None]
) -> Iterator[TaskSpec]:
    """The tasks of a file, one at a time. A line with a fault is reported, once for each fault, and left out.

    Args:
        lines: as a file opened in binary mode gives them.
        file: what the faults call the file.
        file_format: how the lines are written.
        on_fault: called while the iterator runs, in the order of the lines.
    """
    return (spec for _, spec in parse_numbered(lines, file, file_format, on_fault))


def parse_numbered(
    lines: Iterable[bytes], file: str, file_format: Format, on_fault: Callable[[Fault], None]
) -> Iterator[tuple[int, TaskSpec]]:
    """As parse, each task with the number of its line."""

    def report(line: int, column: int, what: str) -> None:
        on_fault(Fault(file, line, column, what))

    return _READERS[file_format](_texts(lines, report), report)


def guess_format(name: str, first_lines: Sequence[bytes]) -> Format:
    """JSONL by the file's name, or by a first task that begins with a brace; else LINE. PLAIN is never guessed."""
    if name.lower().endswith((".jsonl", ".ndjson")):
        return Format.JSONL
    stripped = (line.removeprefix(_BOM).lstrip() for line in first_lines)
    first = next((line for line in stripped if line and not line.startswith(b"#")), b"")
    return Format.JSONL if first.startswith(b"{") else Format.LINE


def _texts(lines: Iterable[bytes], report: Report) -> Iterator[tuple[int, str]]:
    """The lines that hold something, decoded and numbered from 1, without their line ends."""
    for number, raw in enumerate(lines, 1):
        if not raw or not 35 < raw[0] < 128:  # lets most lines pass at the price of a comparison; 35 is #
            if number == 1:
                raw = raw.removeprefix(_BOM)
            start = raw.lstrip()[:1]
            if not start or start == b"#":
                continue
        if b"\0" in raw:
            is_utf16 = number == 1 and raw.startswith((b"\xff\xfe", b"\xfe\xff"))
            column = len(raw[: raw.index(b"\0")].decode("utf-8", "surrogateescape")) + 1
            report(number, column, "a NUL byte" + ("; the file is UTF-16, not UTF-8" if is_utf16 else ""))
        elif len(raw) > MAX_LINE_BYTES:
            report(number, 0, "the line is longer than 2 MiB")
        else:
            yield number, raw.rstrip(b"\r\n").decode("utf-8", "surrogateescape")


def _plain_specs(texts: Iterable[tuple[int, str]], report: Report) -> Iterator[tuple[int, TaskSpec]]:
    for number, command in texts:
        if len(command) > SURELY_SHORT or not command or command.isspace():
            try:
                check_command(TaskType.SHELL, command)
            except BadCommand as fault:
                report(number, fault.column, fault.what)
                continue
        yield number, TaskSpec(command)


_READERS = {Format.LINE: line_specs, Format.PLAIN: _plain_specs, Format.JSONL: jsonl_specs}
