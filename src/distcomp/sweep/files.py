"""Patterns of result files in a sweep: 'out/{trace.stem}-{size}.csv', with placeholders as the command has them."""

from __future__ import annotations

import glob
from collections.abc import Mapping
from dataclasses import dataclass

from distcomp.errors import BadInput, Fault
from distcomp.globs import check_glob
from distcomp.sweep.template import Placeholder, missing, split
from distcomp.sweep.values import Parameter, Value


@dataclass(frozen=True, slots=True)
class FileTemplate:
    """A parsed pattern: literal texts, and between each two a placeholder."""

    text: str
    literals: tuple[str, ...]
    placeholders: tuple[Placeholder, ...]

    def render(self, values: Mapping[str, Value]) -> str:
        """The pattern for these values, which are no patterns themselves. BadInput: it leads out of the directory."""
        pieces = [self.literals[0]]
        for placeholder, literal in zip(self.placeholders, self.literals[1:], strict=True):
            pieces += [glob.escape(placeholder.text(values[placeholder.name])), literal]
        try:
            return check_glob("".join(pieces))
        except ValueError as error:
            raise BadInput([_fault(self.text, 0, str(error))]) from None

    def faults(self, parameters: Mapping[str, Parameter]) -> list[Fault]:
        """Placeholders without a parameter, and values that do not have their format."""
        found = []
        for placeholder in self.placeholders:
            parameter = parameters.get(placeholder.name)
            what = missing(placeholder.name, parameters) if parameter is None else _misfit(placeholder, parameter)
            if what:
                found.append(_fault(self.text, placeholder.column, what))
        return found


def parse_file_template(text: str) -> FileTemplate:
    """The pattern that `text` describes. BadInput: with every fault, in the file "--outputs TEXT"."""
    literals, placeholders, faults = split(text)
    if faults:
        raise BadInput([_fault(text, fault.column, fault.what) for fault in faults])
    return FileTemplate(text, tuple(literals), tuple(placeholders))


def _misfit(placeholder: Placeholder, parameter: Parameter) -> str:
    for value in parameter.values:
        try:
            placeholder.text(value)
        except ValueError as error:
            return f"{value.text!r}: {error}"
    return ""


def _fault(text: str, column: int, what: str) -> Fault:
    return Fault(f"--outputs {text}", 0, column, what)
