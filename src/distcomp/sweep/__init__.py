"""A sweep: a command template times its parameters, as task specs. Pure but for the files that Sources reads.

Every combination of values is a task; the last parameter varies fastest. Parameters that are zipped go together, value
by value. The values stay with each task (TaskSpec.params) and become columns of its result.
"""

from __future__ import annotations

import functools
import itertools
import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import TypeVar

from msgspec.structs import replace

from distcomp.errors import BadInput, Fault
from distcomp.model import TaskSpec, TaskType
from distcomp.pythoncall import BadPythonCommand, parse_python_command
from distcomp.sweep.condition import Condition, parse_condition
from distcomp.sweep.files import FileTemplate, parse_file_template
from distcomp.sweep.template import Template, parse_template
from distcomp.sweep.values import Disk, Parameter, Sources, Value, parse_parameter

__all__ = ["Disk", "Sources", "Sweep", "parse_sweep"]

_Parsed = TypeVar("_Parsed")


@dataclass(frozen=True, slots=True)
class _Axis:
    """Parameters that vary together: one, or several zipped. Each step has a value for each of them."""

    parameters: tuple[Parameter, ...]

    def steps(self) -> list[tuple[tuple[str, Value], ...]]:
        columns = ([(parameter.name, value) for value in parameter.values] for parameter in self.parameters)
        return list(zip(*columns, strict=True))


@dataclass(frozen=True, slots=True)
class Sweep:
    """A template and what it is multiplied with. Made by parse_sweep."""

    template: Template
    axes: tuple[_Axis, ...]
    condition: Condition | None
    base: TaskSpec
    outputs: tuple[FileTemplate, ...] = ()

    def count(self) -> int:
        """How many tasks: at once without a condition, else by trying each combination.

        Raises:
            BadInput: the condition cannot be worked out for a combination.
        """
        if self.condition is None:
            return math.prod(len(axis.parameters[0].values) for axis in self.axes)
        return sum(1 for _ in self._combinations())

    def specs(self) -> Iterator[TaskSpec]:
        """The tasks: `base` with the command and the values of each combination.

        Raises:
            BadInput: half-way, if the condition cannot be worked out for a combination; `count` finds that first.
        """
        for values in self._combinations():
            params = {**(self.base.params or {}), **{name: value.typed for name, value in values.items()}}
            outputs = tuple(pattern.render(values) for pattern in self.outputs)
            yield replace(self.base, command=self.template.render(values), params=params, outputs=outputs)

    def _combinations(self) -> Iterator[dict[str, Value]]:
        for steps in itertools.product(*(axis.steps() for axis in self.axes)):
            values = dict(itertools.chain.from_iterable(steps))
            if self.condition is None or self.condition.accepts(values):
                yield values


def parse_sweep(
    template: str,
    parameters: Sequence[str],
    sources: Sources,
    *,
    where: str = "",
    zips: Iterable[str] = (),
    base: TaskSpec = TaskSpec(command=""),  # noqa: B008  immutable
) -> Sweep:
    """The sweep of a template over parameters, each given as name=VALUES (values.py has the forms).

    Args:
        template: the command, with a placeholder for each parameter (template.py).
        parameters: in their order; the last varies fastest.
        sources: where globs and lists of values are looked up.
        where: a condition that a combination must meet (condition.py), "" for none.
        zips: each "a,b": the names of parameters that vary together.
        base: what the tasks have beside command and params; its type decides how the template is quoted, and its
            outputs may hold placeholders as the template does.

    Raises:
        BadInput: with every fault, in the files "template", "parameter NAME", "--outputs PATTERN", "zip" and "where".
    """
    faults: list[Fault] = []
    parsed = _parameters(parameters, sources, faults)
    axes = _axes(parsed, zips, faults)
    faults += [fault for axis in axes for fault in _duplicates(axis)]
    shape = _collecting(faults, lambda: parse_template(template, base.type))
    outputs = _file_templates(base.outputs, faults)
    names = [text.partition("=")[0] for text in parameters]
    condition = _collecting(faults, lambda: parse_condition(where, names)) if where else None
    # With a parameter that could not be read, each of its placeholders would be a fault as well.
    if shape and not faults:
        faults += _misfits(shape, outputs, parsed, axes)
    if shape is None or faults:
        raise BadInput(faults)
    sweep = Sweep(shape, axes, condition, base, outputs)
    _check_python(sweep)
    return sweep


def _collecting(faults: list[Fault], parse: Callable[[], _Parsed]) -> _Parsed | None:
    try:
        return parse()
    except BadInput as error:
        faults.extend(error.faults)
        return None


def _parameters(texts: Iterable[str], sources: Sources, faults: list[Fault]) -> dict[str, Parameter]:
    parsed: dict[str, Parameter] = {}
    for text in texts:
        parameter = _collecting(faults, functools.partial(parse_parameter, text, sources))
        if parameter is None:
            continue
        if parameter.name in parsed:
            faults.append(parameter.fault(1, "given twice; put all values in one list"))
        parsed[parameter.name] = parameter
    return parsed


def _misfits(
    shape: Template, outputs: Iterable[FileTemplate], parameters: dict[str, Parameter], axes: Iterable[_Axis]
) -> list[Fault]:
    """What does not go together, of parts that are well-formed each."""
    in_files = [fault for pattern in outputs for fault in pattern.faults(parameters)]
    return shape.faults(parameters) + _unused(shape, axes) + in_files


def _file_templates(patterns: Iterable[str], faults: list[Fault]) -> tuple[FileTemplate, ...]:
    parsed = [_collecting(faults, functools.partial(parse_file_template, text)) for text in patterns]
    return tuple(template for template in parsed if template is not None)


def _axes(parameters: dict[str, Parameter], zips: Iterable[str], faults: list[Fault]) -> tuple[_Axis, ...]:
    """The parameters by axis; a zipped group stands where its first member stands."""
    group_of: dict[str, tuple[str, ...]] = {}
    for text in zips:
        names = tuple(name.strip() for name in text.split(","))
        what = _zip_fault(names, parameters, group_of)
        if what:
            faults.append(Fault("zip", 0, 0, f"{text}: {what}"))
        else:
            group_of.update(dict.fromkeys(names, names))
    groups = dict.fromkeys(group_of.get(name, (name,)) for name in parameters)
    return tuple(_Axis(tuple(parameters[name] for name in group)) for group in groups)


def _zip_fault(names: tuple[str, ...], parameters: dict[str, Parameter], taken: Iterable[str]) -> str:
    for name in names:
        if name not in parameters:
            return f"no parameter {name!r}"
        if name in taken:
            return f"{name} is zipped twice"
    if len(set(names)) < max(2, len(names)):
        return "expected different names, such as a,b"
    lengths = {name: len(parameters[name].values) for name in names}
    if len(set(lengths.values())) > 1:
        return "not equally many values: " + ", ".join(f"{name} {length}" for name, length in lengths.items())
    return ""


def _duplicates(axis: _Axis) -> Iterator[Fault]:
    seen = set()
    last = axis.parameters[-1]
    for step in axis.steps():
        texts = tuple(value.text for _, value in step)
        if texts in seen:
            yield last.fault(step[-1][1].column, f"{', '.join(map(repr, texts))} is given twice")
        seen.add(texts)


def _unused(template: Template, axes: Iterable[_Axis]) -> list[Fault]:
    """Parameters that would only repeat tasks. One that is zipped to a used one does not: it labels."""
    used = template.names
    return [
        parameter.fault(1, f"not used: the template has no {{{parameter.name}}}")
        for axis in axes
        if not any(parameter.name in used for parameter in axis.parameters)
        for parameter in axis.parameters
    ]


def _check_python(sweep: Sweep) -> None:
    """See that a python task's command has one of its forms: the first stands for all."""
    if sweep.base.type is not TaskType.PYTHON:
        return
    first = {name: value for axis in sweep.axes for name, value in axis.steps()[0]}
    try:
        parse_python_command(sweep.template.render(first))
    except BadPythonCommand as fault:
        raise BadInput([Fault("template", 0, 1, fault.what)]) from None
