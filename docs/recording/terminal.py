"""A terminal's screen, as far as command-line programs use one: text, colours, cursor, erasing."""

from __future__ import annotations

import re
import unicodedata
from dataclasses import dataclass, field, replace
from typing import Any

_ESCAPE = re.compile(
    r"\x1b(?:\[(?P<parameters>[?>]?[0-9;:]*)(?P<final>[@-~])|\][^\x07\x1b]*(?:\x07|\x1b\\)|[()#].|[^\[\]()#])"
)
_PARTIAL = re.compile(r"\x1b(?:\[[?>0-9;:]*|\][^\x07\x1b]*|[()#]?)?$")


@dataclass(frozen=True, slots=True)
class Style:
    """How a character looks. A colour is an index below 256, "#rrggbb", or None for the terminal's own."""

    foreground: int | str | None = None
    background: int | str | None = None
    bold: bool = False
    dim: bool = False
    italic: bool = False
    underline: bool = False
    reverse: bool = False


Cell = tuple[str, Style]
_BLANK: Cell = (" ", Style())
_FLAGS = {1: "bold", 2: "dim", 3: "italic", 4: "underline", 7: "reverse"}
_MOVES = {"A": (-1, 0), "B": (1, 0), "C": (0, 1), "D": (0, -1)}
_CLEARS = {22: ("bold", "dim"), 23: ("italic",), 24: ("underline",), 27: ("reverse",)}


@dataclass(slots=True)
class Terminal:
    """Takes what a program writes; `screen` is what would be seen."""

    columns: int
    rows: int
    row: int = 0
    column: int = 0
    style: Style = field(default_factory=Style)
    is_cursor_shown: bool = True
    _lines: list[list[Cell]] = field(default_factory=list)
    _rest: str = ""

    def __post_init__(self) -> None:
        self._lines = [self._blank_line() for _ in range(self.rows)]

    def feed(self, text: str) -> None:
        """Take some output; it may end in the middle of an escape sequence."""
        text = self._rest + text
        partial = _PARTIAL.search(text)
        self._rest = partial[0] if partial else ""
        text = text[: len(text) - len(self._rest)]
        position = 0
        while position < len(text):
            if text[position] == "\x1b" and (match := _ESCAPE.match(text, position)):
                if match["final"]:
                    self._control(match["final"], match["parameters"])
                position = match.end()
            else:
                self._write(text[position])
                position += 1

    def screen(self) -> tuple[tuple[Cell, ...], ...]:
        """The lines, from the top."""
        return tuple(tuple(line) for line in self._lines)

    def _blank_line(self) -> list[Cell]:
        return [_BLANK] * self.columns

    def _write(self, character: str) -> None:
        match character:
            case "\n":
                self._line_feed()
            case "\r":
                self.column = 0
            case "\b":
                self.column = max(0, self.column - 1)
            case "\t":
                self.column = min(self.columns - 1, self.column // 8 * 8 + 8)
            case _ if character >= " ":
                self._put(character)

    def _put(self, character: str) -> None:
        if self.column >= self.columns:
            self.column = 0
            self._line_feed()
        self._lines[self.row][self.column] = (character, self.style)
        self.column += 1
        if unicodedata.east_asian_width(character) in "WF" and self.column < self.columns:
            self._lines[self.row][self.column] = ("", self.style)
            self.column += 1

    def _line_feed(self) -> None:
        if self.row + 1 < self.rows:
            self.row += 1
        else:
            self._lines = [*self._lines[1:], self._blank_line()]

    def _control(self, final: str, parameters: str) -> None:
        if parameters.startswith("?"):
            if parameters == "?25":
                self.is_cursor_shown = final == "h"
            return
        numbers = [int(number or 0) for number in re.split("[;:]", parameters)] if parameters else []
        first, second = [*numbers, 0, 0][:2]
        if final in _MOVES:
            down, right = _MOVES[final]
            self._go_to(self.row + down * max(1, first), self.column + right * max(1, first))
        elif final == "G":
            self._go_to(self.row, first - 1)
        elif final in "Hf":
            self._go_to(first - 1, second - 1)
        elif final in "JK":
            self._erase(final, first)
        elif final == "m":
            self._restyle(numbers or [0])

    def _go_to(self, row: int, column: int) -> None:
        self.row = min(self.rows - 1, max(0, row))
        self.column = min(self.columns - 1, max(0, column))

    def _erase(self, final: str, what: int) -> None:
        line = self._lines[self.row]
        start, end = (
            (0, self.columns) if what == 2 else (0, self.column + 1) if what == 1 else (self.column, self.columns)
        )
        line[start:end] = [_BLANK] * (min(end, self.columns) - start)
        if final == "J":
            others = range(self.rows) if what == 2 else range(self.row) if what == 1 else range(self.row + 1, self.rows)
            for row in others:
                self._lines[row] = self._blank_line()

    def _restyle(self, numbers: list[int]) -> None:
        rest = iter(numbers)
        for number in rest:
            if number == 0:
                self.style = Style()
            elif number in _FLAGS:
                self._set(_FLAGS[number], True)
            elif number in _CLEARS:
                for name in _CLEARS[number]:
                    self._set(name, False)
            elif number in (38, 48):
                name = "foreground" if number == 38 else "background"
                is_indexed = next(rest, 5) == 5
                true_colour = "#{:02x}{:02x}{:02x}"
                colour = next(rest, 0) if is_indexed else true_colour.format(*(next(rest, 0) for _ in "rgb"))
                self._set(name, colour)
            elif number // 10 in (3, 9):
                self._set("foreground", _colour(number, 30, 90))
            elif number // 10 in (4, 10):
                self._set("background", _colour(number, 40, 100))

    def _set(self, name: str, value: Any) -> None:
        self.style = replace(self.style, **{name: value})


def _colour(number: int, normal: int, bright: int) -> int | None:
    index = number - normal if number < bright else number - bright + 8
    return None if index == 9 and number < bright else index
