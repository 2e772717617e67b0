"""What the command of a python task asks for, and the argument list that runs it. Pure.

    script.py ARGUMENT...                    a script: its name ends in .py or .pyz, or it has a / in it
    -m package.module ARGUMENT...            a module
    package.module:function ARGUMENT...      a function, called by callee.py

Split as a POSIX shell splits words, but nothing is expanded.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

CALLEE = Path(__file__).with_name("callee.py")

_DOTTED = r"[^\W\d]\w*(?:\.[^\W\d]\w*)*"
_MODULE = re.compile(_DOTTED)
_FUNCTION = re.compile(f"{_DOTTED}:{_DOTTED}")
_QUOTING = re.compile(r"['\"\\]")
_WORD = re.compile(r"[^ \t\r\n]+")
_SPACE = re.compile(r"[ \t\r\n]*")
# In double quotes a backslash stays unless it stands before one of the two characters it can take the meaning of.
_PIECE = re.compile(
    r"""(?P<bare>[^ \t\r\n'"\\]+) | '(?P<single>[^']*)' | "(?P<double>(?:[^"\\]|\\.)*)" | \\(?P<escaped>.)""",
    re.VERBOSE | re.DOTALL,
)
_DOUBLE_ESCAPE = re.compile(r"\\([\"\\])")


@dataclass(frozen=True, slots=True)
class PythonScript:
    """A script file, run as `python script arguments`."""

    script: str
    arguments: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class PythonModule:
    """A module, run as `python -m module arguments`."""

    module: str
    arguments: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class PythonFunction:
    """A function, given as package.module:function, and its arguments as text (callee.py reads them)."""

    target: str
    arguments: tuple[str, ...] = ()


PythonCall = PythonScript | PythonModule | PythonFunction


class BadPythonCommand(ValueError):
    """The command has none of the three forms. `column` counts from 1 within the command."""

    def __init__(self, column: int, what: str) -> None:
        self.column, self.what = column, what
        super().__init__(what)


def parse_python_command(command: str) -> PythonCall:
    """What the command asks for.

    Raises:
        BadPythonCommand: it has none of the three forms, or a quote is not closed.
    """
    words = _words(command)
    if not words:
        raise BadPythonCommand(1, "the command is empty")
    (column, first), arguments = words[0], tuple(word for _, word in words[1:])
    if first == "-m":
        return _module(words, column)
    is_named_as_script = first.endswith((".py", ".pyz"))
    if not is_named_as_script and _FUNCTION.fullmatch(first):
        return PythonFunction(first, arguments)
    if not first.startswith("-") and (is_named_as_script or "/" in first):
        return PythonScript(first, arguments)
    raise BadPythonCommand(column, f"{first!r} is not a script (name.py), -m module or package.module:function")


def argv(call: PythonCall, interpreter: str) -> list[str]:
    """The argument list that runs the call with the given interpreter."""
    match call:
        case PythonScript(script, arguments):
            return [interpreter, script, *arguments]
        case PythonModule(module, arguments):
            return [interpreter, "-m", module, *arguments]
        case PythonFunction(target, arguments):
            return [interpreter, str(CALLEE), target, *arguments]


def split_words(command: str) -> list[str]:
    """The words of the command, quotes removed, as shlex.split has them.

    Raises:
        BadPythonCommand: a quote is not closed, or a backslash ends the command.
    """
    return [word for _, word in _words(command)]


def _module(words: list[tuple[int, str]], column: int) -> PythonModule:
    if len(words) == 1:
        raise BadPythonCommand(column, "-m needs the name of a module")
    module_column, module = words[1]
    if not _MODULE.fullmatch(module):
        raise BadPythonCommand(module_column, f"{module!r} is not the name of a module")
    return PythonModule(module, tuple(word for _, word in words[2:]))


def _words(command: str) -> list[tuple[int, str]]:
    """Each word with its column."""
    if _QUOTING.search(command):
        return list(_quoted_words(command))
    return [(match.start() + 1, match[0]) for match in _WORD.finditer(command)]


def _quoted_words(command: str) -> Iterator[tuple[int, str]]:
    position = _skip_space(command, 0)
    while position < len(command):
        start, pieces = position, []
        while match := _PIECE.match(command, position):
            pieces.append(_meaning(match))
            position = match.end()
        after = _skip_space(command, position)
        if after == position < len(command):
            raise BadPythonCommand(position + 1, _unclosed(command[position]))
        position = after
        yield start + 1, "".join(pieces)


def _skip_space(command: str, position: int) -> int:
    match = _SPACE.match(command, position)
    return match.end() if match else position


def _meaning(piece: re.Match[str]) -> str:
    if piece.lastgroup == "double":
        return _DOUBLE_ESCAPE.sub(r"\1", piece["double"])
    return str(piece[piece.lastgroup or 0])


def _unclosed(opening: str) -> str:
    return "nothing follows the backslash" if opening == "\\" else f"the quote {opening} is not closed"
