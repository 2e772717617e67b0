"""Every exception that a caller may catch, with the exit code it becomes in the CLI.

A message says what happened, what was left unchanged and what to do next.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass


class DistcompError(Exception):
    """Base of all errors that distcomp raises on purpose.

    Args:
        what: what happened, one sentence.
        unchanged: what was left as it was, if that is not obvious.
        next_step: what the user can do about it.
    """

    exit_code = 1

    def __init__(self, what: str, *, unchanged: str = "", next_step: str = "") -> None:
        self.what, self.unchanged, self.next_step = what, unchanged, next_step
        super().__init__(" ".join(part for part in (what, unchanged, next_step) if part))


@dataclass(frozen=True, slots=True)
class Fault:
    """One thing wrong in a user's input; line and column count from 1, 0 where there is none."""

    file: str
    line: int
    column: int
    what: str

    def __str__(self) -> str:
        place = [self.file, *(str(number) for number in (self.line, self.column) if number)]
        return f"{':'.join(place)}: {self.what}"


class BadInput(DistcompError):
    """The user's input cannot be used. All faults found are listed, and nothing was done."""

    exit_code = 2

    def __init__(self, faults: Sequence[Fault], *, unchanged: str = "Nothing was added.", next_step: str = "") -> None:
        self.faults = tuple(faults)
        super().__init__("\n".join(map(str, faults)), unchanged=unchanged, next_step=next_step)


class BadSetting(DistcompError):
    """A setting's value, name or file cannot be used."""

    exit_code = 2


class StateFolderError(DistcompError):
    """The state folder is missing, of another version, or cannot be written."""

    exit_code = 2


class NotFound(DistcompError):
    """There is no such task, worker or file."""

    exit_code = 4


class Ambiguous(DistcompError):
    """A shortened task id fits several tasks."""

    exit_code = 4


class StoreUnavailable(DistcompError):
    """The store does not answer. Temporary: workers keep what they have and try again."""

    exit_code = 3


class StoreRefused(DistcompError):
    """The store answers, but cannot serve: wrong password, too old, or data of another version."""

    exit_code = 3


class WorkerExists(DistcompError):
    """Another worker of this project holds this node."""

    exit_code = 5


class LeaseLost(DistcompError):
    """The task belongs to another attempt by now. Nothing was written."""
