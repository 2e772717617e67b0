"""Where in a command a value stands, and how it must be quoted there to arrive as it is, whatever it holds.

Follows the quoting of a POSIX shell and of bash. Where a value cannot be put safely, or where what came before leaves
it open how the shell reads that place, the answer is a refusal with its reason, never a guess.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from enum import Enum, auto

from distcomp.model import TaskType

# Stands for a value in the text that is looked at. No command can hold it.
MARK = "\0"


class Quoting(Enum):
    """How a value is written where it stands."""

    BARE = auto()  # quoted only if it must be
    ALWAYS = auto()  # its neighbours would change its meaning: 1>file, $name1
    SINGLE = auto()  # within '...'
    DOUBLE = auto()  # within "..."
    DOUBLE_ALWAYS = auto()  # within "...", right after $name
    INTEGER = auto()  # within $((...)): quotes do not help, so only whole numbers may stand here


@dataclass(frozen=True, slots=True)
class Refusal:
    """Why no value may stand in a place."""

    why: str


class Unclosed(ValueError):
    """A quote or bracket is not closed. `position` counts from 0 in the text looked at."""

    def __init__(self, position: int, text: str) -> None:
        self.position = position
        opening = re.match(r"[$<>]?(?:\(\(?|['\"`])", text)
        super().__init__(f"the {opening[0] if opening else text[:1]} is not closed")


class _Place(Enum):
    PLAIN = auto()
    GROUP = auto()  # ( ) and $( ): plain inside
    SINGLE = auto()
    DOUBLE = auto()
    ANSI = auto()  # $'...'
    BACKTICK = auto()
    COMMENT = auto()
    ARITHMETIC = auto()
    PARENTHESIS = auto()  # within arithmetic
    UNSURE = auto()  # until the end


_SIMPLE_EXPANSION = r"\$\{[^{}'\"`\\$\0]*\}|\$\$"
# With a plain word for its end; of others it is hard to say where the word ends.
_HERE_DOCUMENT = r"<<-?[ \t]*(?:\\?\w+|'\w+'|\"\w+\")(?=[\s;&|<>)]|\Z)"
_PLAIN_TOKEN = re.compile(
    rf"""\\. | {_SIMPLE_EXPANSION} | \$\(\( | \(\( | [$<>]?\( | \$['"{{\[] | ['"`)\n]
    | [<>]&[ \t]* | <<< | {_HERE_DOCUMENT} | << | \$?\0 | \# | \$\w+ | (?<!\w)case(?!\w) | .""",
    re.VERBOSE | re.DOTALL,
)
_DOUBLE_TOKEN = re.compile(
    rf"""\\. | {_SIMPLE_EXPANSION} | \$\(\( | \$[({{\[] | ["`] | \$?\0 | \$\w+ | .""", re.VERBOSE | re.DOTALL
)
_ESCAPES_ONLY = re.compile(r"\\.|.", re.DOTALL)
_ARITHMETIC_TOKEN = re.compile(rf"{_SIMPLE_EXPANSION}|\)\)|\$?\0|.", re.DOTALL)
_PYTHON_TOKEN = re.compile(r"\\.|['\"]|.", re.DOTALL)
_ANY = re.compile(r".", re.DOTALL)

_TOKENS = {
    _Place.PLAIN: _PLAIN_TOKEN,
    _Place.GROUP: _PLAIN_TOKEN,
    _Place.DOUBLE: _DOUBLE_TOKEN,
    _Place.ANSI: _ESCAPES_ONLY,
    _Place.BACKTICK: _ESCAPES_ONLY,
    _Place.ARITHMETIC: _ARITHMETIC_TOKEN,
}
# What begins with $ and is none of the simple forms: its own quoting rules depend on where it stands.
_EXPANSIONS = {
    "$((": _Place.ARITHMETIC,
    "$(": _Place.GROUP,
    "${": _Place.UNSURE,
    "$[": _Place.UNSURE,
    "`": _Place.BACKTICK,
}
_IN_PLAIN = {
    **_EXPANSIONS,
    "((": _Place.ARITHMETIC,
    "(": _Place.GROUP,
    "<(": _Place.GROUP,
    ">(": _Place.GROUP,
    "'": _Place.SINGLE,
    '"': _Place.DOUBLE,
    "$'": _Place.ANSI,
    '$"': _Place.DOUBLE,
    "#": _Place.COMMENT,
}
_IN_ARITHMETIC = {"(": _Place.PARENTHESIS, **dict.fromkeys("'\"`\\;\n#)", _Place.UNSURE)}
_OPENS = {
    _Place.PLAIN: _IN_PLAIN,
    _Place.GROUP: _IN_PLAIN,
    _Place.DOUBLE: _EXPANSIONS,
    _Place.ARITHMETIC: _IN_ARITHMETIC,
    _Place.PARENTHESIS: {key: place for key, place in _IN_ARITHMETIC.items() if key != ")"},
}
# The command of a python task is split into words as a shell would, and nothing else.
_PYTHON_TOKENS = {_Place.PLAIN: _PYTHON_TOKEN, _Place.DOUBLE: _PYTHON_TOKEN}
_PYTHON_OPENS = {_Place.PLAIN: {"'": _Place.SINGLE, '"': _Place.DOUBLE}}
_CLOSES = {
    _Place.GROUP: ")",
    _Place.SINGLE: "'",
    _Place.DOUBLE: '"',
    _Place.ANSI: "'",
    _Place.BACKTICK: "`",
    _Place.COMMENT: "\n",
    _Place.ARITHMETIC: "))",
    _Place.PARENTHESIS: ")",
}
_PLAIN_QUOTINGS = {
    _Place.PLAIN: Quoting.BARE,
    _Place.GROUP: Quoting.BARE,
    _Place.SINGLE: Quoting.SINGLE,
    _Place.DOUBLE: Quoting.DOUBLE,
    _Place.ARITHMETIC: Quoting.INTEGER,
    _Place.PARENTHESIS: Quoting.INTEGER,
}
_REFUSALS = {
    _Place.ANSI: "no value can stand within $'...'; use \"...\"",
    _Place.BACKTICK: "no value can stand within `...`; use $(...)",
    _Place.COMMENT: "no value can stand in a comment",
    _Place.UNSURE: "what stands before leaves it open how the shell reads this place; "
    'put the value in a variable first, as in x={x}; ... "$x"',
}
_ALWAYS = {Quoting.BARE: Quoting.ALWAYS, Quoting.DOUBLE: Quoting.DOUBLE_ALWAYS}

# A dash, unless a number follows: within [[ ]] -n is an operator.
_SAFE = re.compile(r"(?:-(?=[0-9.]))?[A-Za-z0-9_@%+:./][A-Za-z0-9_@%+:./-]*")
_SAFE_IN_DOUBLE = re.compile(r"[^\"\\$`!]*")
_ENDS_WORD = " \t\n;&|()<>"
_WHOLE_NUMBER = re.compile(r"[+-]?[0-9]+")
_RESERVED = {
    *("if", "then", "else", "elif", "fi", "for", "in", "while", "until", "do", "done", "case", "esac"),
    *("function", "select", "time", "coproc"),
}


def quotings(text: str, task_type: TaskType) -> list[Quoting | Refusal]:
    """How to write the value at each MARK of the text, in order.

    Raises:
        Unclosed: a quote or bracket is not closed at the end.
    """
    scan = _Scan(text, is_shell=task_type is TaskType.SHELL)
    position = 0
    while position < len(text):
        position = scan.step(position)
    scan.check_closed()
    return scan.found


def quoted(value: str, quoting: Quoting) -> str:
    """The value, written so that it arrives as it is.

    Raises:
        ValueError: the place takes whole numbers only.
    """
    match quoting:
        case Quoting.SINGLE:
            return value.replace("'", "'\"'\"'")
        case Quoting.DOUBLE if _SAFE_IN_DOUBLE.fullmatch(value):
            return value
        case Quoting.DOUBLE | Quoting.DOUBLE_ALWAYS:
            return f'"{_single_quoted(value)}"'
        case Quoting.BARE if _SAFE.fullmatch(value) and value not in _RESERVED:
            return value
        case Quoting.INTEGER:
            if not _WHOLE_NUMBER.fullmatch(value):
                raise ValueError(f"only whole numbers can stand within $((...)), not {value!r}")
            return value
        case _:
            return _single_quoted(value)


def _single_quoted(value: str) -> str:
    return f"'{quoted(value, Quoting.SINGLE)}'"


class _Scan:
    """Reads a text from left to right, and knows at each point where it is."""

    def __init__(self, text: str, *, is_shell: bool) -> None:
        self.found: list[Quoting | Refusal] = []
        self._text = text
        self._tokens = _TOKENS if is_shell else _PYTHON_TOKENS
        self._opens = _OPENS if is_shell else _PYTHON_OPENS
        self._places = [(_Place.PLAIN, 0)]
        self._is_after_variable = False
        self._awaits_here_document = False
        # How many places were open where a word began that bash expands twice, or 0 outside of such a word.
        self._depth_read_twice = 0

    def step(self, position: int) -> int:
        """Take in the next token, and return where the one after it begins."""
        place = self._places[-1][0]
        match = self._tokens.get(place, _ANY).match(self._text, position)
        token = match[0] if match else self._text[position]
        end = position + len(token)
        self._follow_word(token)
        if token.endswith(MARK):
            self.found.append(self._quoting(place, token, self._text[end : end + 1]))
        elif token == _CLOSES.get(place):
            self._places.pop()
            if place is _Place.COMMENT and self._awaits_here_document:
                self._places.append((_Place.UNSURE, position))
        elif (opened := self._opened(place, token, position)) is not None:
            self._places.append((opened, position))
        self._is_after_variable = len(token) > 1 and token[0] == "$" and (token[1] == "_" or token[1].isalnum())
        return end

    def check_closed(self) -> None:
        """See that all that was opened is closed. A shell that finds it is not may go on in the midst of a value."""
        *outer, (place, position) = (opened for opened in self._places if opened[0] is not _Place.COMMENT)
        if place is _Place.UNSURE and len(outer) > 1:
            # Whether those outside are closed is as unsure.
            self.found = [Refusal(_REFUSALS[place])] * len(self.found)
        elif place not in (_Place.PLAIN, _Place.UNSURE):
            raise Unclosed(position, self._text[position:])

    def _follow_word(self, token: str) -> None:
        if len(self._places) <= self._depth_read_twice and token[0] in _ENDS_WORD:
            self._depth_read_twice = 0
        if token[:2] in (">&", "<&"):
            self._depth_read_twice = len(self._places)

    def _opened(self, place: _Place, word: str, position: int) -> _Place | None:
        if place in (_Place.PLAIN, _Place.GROUP):
            self._awaits_here_document |= word.startswith("<<") and word != "<<<"
            if word == "<<" or (word == "\n" and self._awaits_here_document):
                return _Place.UNSURE
            # The ) of a case's pattern would look as if it closed the group.
            if word == "case" and place is _Place.GROUP:
                return _Place.UNSURE
            if word == "#" and position and self._text[position - 1] not in _ENDS_WORD:
                return None
        return self._opens.get(place, {}).get(word)

    def _quoting(self, place: _Place, token: str, following: str) -> Quoting | Refusal:
        if place in _REFUSALS:
            return Refusal(_REFUSALS[place])
        if token[0] == "$":
            return Refusal("no value can stand right after $; write ${{name}} for a variable of the shell")
        if token[0] == "\\":
            return Refusal("no value can stand right after a backslash; it is quoted as needed without")
        if self._depth_read_twice:
            return Refusal("no value can stand after >&, which bash expands twice; write >FILE 2>&1")
        quoting = _PLAIN_QUOTINGS[place]
        if self._is_after_variable or following in ("<", ">"):
            return _ALWAYS.get(quoting, quoting)
        return quoting
