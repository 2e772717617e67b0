"""A task file in pieces of whole lines, and a quick way through the usual ones. Pure but for the file that is read.

A loop over a million lines costs seconds, whatever is in it. Most files have the same type, priority and needs on every
line, so the lines of a piece are checked all at once, and only a piece with anything unusual in it goes line by line.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import BinaryIO, NamedTuple

from msgspec.structs import replace

from distcomp.model import TaskSpec, TaskType
from distcomp.taskfile import MAX_LINE_BYTES, Format
from distcomp.taskfile.fields import SURELY_SHORT
from distcomp.taskfile.line import line_specs

BLOCK_BYTES = 1 << 16
"""Less than 65,536 lines, even of one character: that many fit one batch of a submission."""


class Block(NamedTuple):
    """Whole lines, each with its newline, and the number of the first."""

    first_line: int
    content: bytes


class Alike(NamedTuple):
    """The tasks of a block: shell tasks, one on each line, that are `pattern` but for their commands, in UTF-8."""

    pattern: TaskSpec
    commands: list[bytes]


def read_blocks(file: BinaryIO) -> Iterator[Block]:
    """All of a file, read from where it is. A line too long to be one is cut, but still longer than MAX_LINE_BYTES."""
    first_line = 1
    while content := file.read(BLOCK_BYTES):
        if not content.endswith(b"\n"):
            content += _rest_of_line(file)
        yield Block(first_line, content)
        first_line += content.count(b"\n")


def _rest_of_line(file: BinaryIO) -> bytes:
    rest = file.readline(MAX_LINE_BYTES + 1)
    last = rest
    while last and not last.endswith(b"\n"):
        last = file.readline(MAX_LINE_BYTES)
    return rest if rest.endswith(b"\n") else rest + b"\n"


def find_alike(content: bytes, file_format: Format, base: TaskSpec) -> Alike | None:
    """The block's tasks, if it is certain without a closer look that all are tasks that differ in their commands only.

    Args:
        content: of a block.
        file_format: JSONL is never alike.
        base: what the task of a plain line has beside its command.
    """
    # Some command may be too long; a NUL, or the CR of a CRLF.
    if len(content) > SURELY_SHORT or b"\0" in content or b"\r" in content:
        return None
    head = _head(content, file_format, base)
    if head is None:
        return None
    pattern, head_bytes = head
    # A line that does not begin like the first is no boundary here, so there are fewer pieces than lines.
    commands = content[head_bytes:-1].split(b"\n" + content[:head_bytes])
    if len(commands) != content.count(b"\n"):
        return None
    try:
        starts = [command[0] for command in commands]
    except IndexError:
        return None
    # No blank, no #, nothing beyond ASCII, which might be a blank as well.
    is_certain = min(starts) > ord("#") and max(starts) < 127 and _is_utf8(content)
    return Alike(pattern, commands) if is_certain else None


def _is_utf8(content: bytes) -> bool:
    try:
        content.decode()
    except UnicodeDecodeError:
        return False
    return True


def _head(content: bytes, file_format: Format, base: TaskSpec) -> tuple[TaskSpec, int] | None:
    """The task of the first line without its command, and how many bytes stand before that."""
    line = content[: content.index(b"\n")].decode("utf-8", "surrogateescape")
    if file_format is Format.JSONL or base.type is not TaskType.SHELL:
        return None
    if file_format is Format.PLAIN:
        return replace(base, command=""), 0
    specs = [spec for _, spec in line_specs([(1, line)], lambda *_: None)]
    if not specs or specs[0].type is not TaskType.SHELL:
        return None
    head = line[: len(line) - len(specs[0].command)]
    if not head.isascii():
        return None
    return replace(specs[0], command="", tags=base.tags, outputs=base.outputs), len(head)
