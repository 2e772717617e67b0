"""A command with placeholders: './cachesim {trace} --name {trace.stem} --size {size:05.2f}'.

{name} stands for a parameter's value exactly as typed, {name.stem} (.name .stem .suffix .parent) for a part of it as a
path, {name:SPEC} for its number in Python's format. {{ and }} are braces of the command's own.
Each value is quoted for the place where it stands.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from distcomp.errors import BadInput, Fault
from distcomp.model import TaskType
from distcomp.sweep.quoting import MARK, Quoting, Refusal, Unclosed, quoted, quotings
from distcomp.sweep.values import PATH_PARTS, Parameter, Value

_TOKEN = re.compile(
    r"(?P<brace>\{\{|\}\})|\{(?P<name>[A-Za-z_]\w*)(?:\.(?P<part>\w+))?(?::(?P<spec>[^{}]*))?\}|(?P<stray>[{}])",
    re.ASCII,
)


@dataclass(frozen=True, slots=True)
class Placeholder:
    """A place for a value. `column` counts from 1 in the template."""

    name: str
    part: str
    spec: str
    column: int

    def text(self, value: Value) -> str:
        """What stands here for the value, not yet quoted. ValueError if its format does not fit."""
        if not self.part and not self.spec:
            return value.text
        if self.part:
            return format(value.part(self.part), self.spec)
        return format(value.typed, self.spec)


@dataclass(frozen=True, slots=True)
class Template:
    """A parsed template: literal texts, and between each two a placeholder with its quoting."""

    literals: tuple[str, ...]
    placeholders: tuple[Placeholder, ...]
    quotings: tuple[Quoting, ...]

    @property
    def names(self) -> frozenset[str]:
        """The parameters that it uses."""
        return frozenset(placeholder.name for placeholder in self.placeholders)

    def render(self, values: Mapping[str, Value]) -> str:
        """The command for these values. They have passed `faults`."""
        pieces = [self.literals[0]]
        for placeholder, quoting, literal in zip(self.placeholders, self.quotings, self.literals[1:], strict=True):
            pieces.append(quoted(placeholder.text(values[placeholder.name]), quoting))
            pieces.append(literal)
        return "".join(pieces)

    def faults(self, parameters: Mapping[str, Parameter]) -> list[Fault]:
        """Placeholders without a parameter, and for each placeholder the first value that cannot stand there."""
        faults = []
        for placeholder, quoting in zip(self.placeholders, self.quotings, strict=True):
            parameter = parameters.get(placeholder.name)
            what = (
                missing(placeholder.name, parameters) if parameter is None else _misfit(placeholder, quoting, parameter)
            )
            if what:
                faults.append(_fault(placeholder.column, what))
        return faults


def parse_template(text: str, task_type: TaskType) -> Template:
    """The template that `text` describes.

    Raises:
        BadInput: with every fault, in the file "template".
    """
    if not text.strip():
        raise BadInput([_fault(1, "the template is empty")])
    if MARK in text:
        raise BadInput([_fault(text.index(MARK) + 1, "a NUL byte")])
    literals, placeholders, faults = split(text)
    try:
        found = quotings(MARK.join(literals), task_type)
    except Unclosed as unclosed:
        found = []
        faults.append(_fault(_column(unclosed.position, text), str(unclosed)))
    for placeholder, quoting in zip(placeholders, found, strict=False):
        if isinstance(quoting, Refusal):
            faults.append(_fault(placeholder.column, quoting.why))
    if faults:
        raise BadInput(faults)
    return Template(tuple(literals), tuple(placeholders), tuple(q for q in found if isinstance(q, Quoting)))


def split(text: str) -> tuple[list[str], list[Placeholder], list[Fault]]:
    """The literal texts, the placeholders between each two, and what is wrong, in the file "template"."""
    literals, placeholders, faults = [""], [], []
    position = 0
    for match in _TOKEN.finditer(text):
        literals[-1] += text[position : match.start()] + (match["brace"] or "")[:1]
        position, column = match.end(), match.start() + 1
        if match["stray"]:
            faults.append(
                _fault(
                    column, "not a placeholder such as {name}, {name.stem} or {name:.2f}; for a brace write it twice"
                )
            )
        elif match["name"]:
            if match["part"] and match["part"] not in PATH_PARTS:
                faults.append(_fault(column, f"unknown part .{match['part']}: .{', .'.join(PATH_PARTS)}"))
            placeholders.append(Placeholder(match["name"], match["part"] or "", match["spec"] or "", column))
            literals.append("")
    literals[-1] += text[position:]
    return literals, placeholders, faults


def _column(position: int, text: str) -> int:
    """The column in the template of a position in its literals joined by marks."""
    for match in _TOKEN.finditer(text):
        if match.start() >= position:
            break
        # There, a doubled brace or a placeholder is one character, and a stray brace none.
        position += len(match[0]) - (0 if match["stray"] else 1)
    return position + 1


def missing(name: str, known: Iterable[str]) -> str:
    """What is wrong with a placeholder of no parameter."""
    near = difflib.get_close_matches(name, known, n=1)
    hint = (
        f"did you mean {near[0]}?"
        if near
        else f"add {name}=VALUES, or write {{{{{name}}}}} for braces of the command's own"
    )
    return f"no parameter {name!r}; {hint}"


def _misfit(placeholder: Placeholder, quoting: Quoting, parameter: Parameter) -> str:
    """Why a value cannot stand there, "" if all can."""
    if not placeholder.spec and quoting is not Quoting.INTEGER:
        return ""
    for value in parameter.values:
        try:
            quoted(placeholder.text(value), quoting)
        except ValueError as error:
            return f"{value.text!r}: {error}"
    return ""


def _fault(column: int, what: str) -> Fault:
    return Fault("template", 0, column, what)
