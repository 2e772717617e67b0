"""What is known of the terminal: whether there is one, its width, whether colours are wanted."""

from __future__ import annotations

import os
import shutil
import sys
from typing import TextIO

_CODES = {"red": "31", "green": "32", "yellow": "33", "cyan": "36", "dim": "2", "bold": "1"}
STATE_COLOURS = {"todo": "", "running": "cyan", "finished": "green", "failed": "red", "cancelled": "yellow"}


def is_terminal(stream: TextIO) -> bool:
    """Whether a person looks at it."""
    return stream.isatty() and os.environ.get("TERM") != "dumb"


def paint(text: str, colour: str, stream: TextIO | None = None) -> str:
    """The text in a colour, if the stream (stdout) shows colours: see no-color.org."""
    if not (text and colour) or os.environ.get("NO_COLOR") or not is_terminal(stream or sys.stdout):
        return text
    return f"\x1b[{_CODES[colour]}m{text}\x1b[0m"


def width() -> int:
    """Columns of the terminal."""
    return shutil.get_terminal_size().columns


def cut(text: str, columns: int) -> str:
    """The text on one line, shortened to fit."""
    line = printable(text)
    return line if len(line) <= columns else line[: max(0, columns - 1)] + "…"


def printable(text: str) -> str:
    """The text without line ends and control characters, which would do things to the terminal."""
    if text.isprintable():
        return text
    return "".join(c if c.isprintable() else c.encode("unicode_escape", "surrogatepass").decode() for c in text)
