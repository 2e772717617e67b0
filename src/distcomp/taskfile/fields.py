"""What a task's fields may hold, whatever the format of the file. A ValueError is meant for the user."""

from __future__ import annotations

import functools
import re
from collections.abc import Callable

from distcomp.model import TaskType
from distcomp.pythoncall import BadPythonCommand, parse_python_command

# Called with line, column (from 1; 0: none) and what is wrong.
Report = Callable[[int, int, str], None]

MIN_PRIORITY, MAX_PRIORITY = -1_048_576, 1_048_575
MAX_CORES = 65_536
MAX_COMMAND_BYTES = 1 << 20

# As UTF-8, no text of this many characters can be too long: commands up to here need not be encoded to be measured.
SURELY_SHORT = MAX_COMMAND_BYTES // 4
# A million tasks declare a few different needs.
_MAX_REMEMBERED = 1024
_INTEGER = re.compile(r"[+-]?\d{1,12}", re.ASCII)
_CORES = re.compile(r"\d{1,9}(?:\.\d*)?|\.\d+", re.ASCII)


class BadCommand(ValueError):
    """The command cannot be run. `column` counts from 1 within the command."""

    def __init__(self, column: int, what: str) -> None:
        self.column, self.what = column, what
        super().__init__(what)


def parse_priority(text: str) -> int:
    """An integer in MIN_PRIORITY..MAX_PRIORITY; the larger runs first."""
    if not _INTEGER.fullmatch(text):
        raise ValueError(f"{text!r} is not a whole number")
    return check_priority(int(text))


def check_priority(priority: int) -> int:
    """The priority itself, if it is in range."""
    if not MIN_PRIORITY <= priority <= MAX_PRIORITY:
        raise ValueError(f"{priority} is outside {MIN_PRIORITY} to {MAX_PRIORITY}")
    return priority


@functools.lru_cache(_MAX_REMEMBERED)
def parse_cores(text: str) -> float:
    """A number of cores, 0 for unknown."""
    if not _CORES.fullmatch(text):
        raise ValueError(f"{text!r} is not a number of cores, such as 2 or 0.5 (0: unknown)")
    return check_cores(float(text))


def check_cores(cores: float) -> float:
    """The number of cores itself, if it is in range."""
    if not 0 <= cores <= MAX_CORES:
        raise ValueError(f"{cores:g} is outside 0 to {MAX_CORES}")
    return cores


def check_command(task_type: TaskType, command: str) -> None:
    """See that the command can be run, as far as its text shows.

    Raises:
        BadCommand: it is empty or too long, or a python task's has none of the three forms.
    """
    if not command or command.isspace():
        raise BadCommand(1, "the command is empty")
    if len(command) > SURELY_SHORT and len(command.encode("utf-8", "surrogateescape")) > MAX_COMMAND_BYTES:
        raise BadCommand(1, "the command is longer than 1 MiB")
    if task_type is TaskType.PYTHON:
        try:
            parse_python_command(command)
        except BadPythonCommand as fault:
            raise BadCommand(fault.column, fault.what) from None
