"""One JSON object per line, with named fields."""

from __future__ import annotations

import difflib
import json
import math
import re
from collections.abc import Callable, Iterable, Iterator
from typing import Any, NoReturn

import msgspec

from distcomp.globs import check_glob
from distcomp.model import Scalar, TaskSpec, TaskType
from distcomp.taskfile.fields import BadCommand, Report, check_command, check_cores, check_priority
from distcomp.units import MAX_DURATION_S, MAX_SIZE_BYTES, parse_duration, parse_size

MAX_RETRIES = 1_000_000


class _Row(msgspec.Struct, forbid_unknown_fields=True):
    """A line as written. null is the same as leaving a field out."""

    command: str
    type: TaskType | None = None
    priority: int | None = None
    memory: str | float | None = None
    cores: float | None = None
    cwd: str | None = None
    env: dict[str, str] | None = None
    timeout: str | float | None = None
    retries: int | None = None
    kind: str | None = None
    tags: tuple[str, ...] | None = None
    outputs: tuple[str, ...] | None = None
    params: dict[str, Scalar] | None = None


_ALLOWED = {
    "command": "text",
    "type": '"shell" or "python"',
    "priority": "a whole number",
    "memory": 'a size such as "512M", or a number of GB',
    "cores": "a number",
    "cwd": "text",
    "env": "an object whose values are text",
    "timeout": 'a duration such as "90s", or a number of seconds',
    "retries": "a whole number",
    "kind": "text",
    "tags": "a list of texts",
    "outputs": "a list of texts",
    "params": "an object of texts, numbers, true, false and null",
}
_DECODER = msgspec.json.Decoder(_Row)
_FIELD_OF_ERROR = re.compile(r"(?:\$\.|field `)(\w+)")
_SPACE = re.compile(r"[ \t\n\r]*")


class _NotJson(ValueError):
    """NaN or Infinity, which Python's reader takes and JSON does not know."""


class _BadField(ValueError):
    def __init__(self, field: str, what: str) -> None:
        self.field = field
        super().__init__(what)


def jsonl_specs(texts: Iterable[tuple[int, str]], report: Report) -> Iterator[tuple[int, TaskSpec]]:
    """The tasks of numbered lines; what cannot be read is reported (line, column, what) and left out."""
    for number, text in texts:
        try:
            spec = _spec(_row(text))
        except json.JSONDecodeError as fault:
            report(number, fault.colno, f"not JSON: {fault.msg}")
        except _BadField as fault:
            report(number, _column(text, fault.field), str(fault))
        else:
            yield number, spec


def to_jsonl(spec: TaskSpec) -> bytes:
    """The task as one line, newline included, that reads as an equal task.

    `copy` is left out: equal lines are copies of each other.
    """
    row = {
        "command": spec.command,
        "type": None if spec.type is TaskType.SHELL else spec.type,
        "priority": spec.priority or None,
        "memory": f"{spec.memory_bytes}B" if spec.memory_bytes else None,
        "cores": spec.cores or None,
        "cwd": spec.cwd,
        "env": spec.env,
        "timeout": spec.timeout_s,
        "retries": spec.retries,
        "kind": spec.kind,
        "tags": spec.tags or None,
        "outputs": spec.outputs or None,
        "params": spec.params,
    }
    # Escaped to ASCII: the only way to keep bytes that are not UTF-8 within JSON.
    return json.dumps({name: value for name, value in row.items() if value is not None}).encode("ascii") + b"\n"


def _row(text: str) -> _Row:
    try:
        return _DECODER.decode(text)
    except (msgspec.MsgspecError, ValueError, RecursionError):
        # The slow reader says where the fault is, and takes bytes that are not UTF-8.
        return _row_slowly(text)


def _row_slowly(text: str) -> _Row:
    try:
        value = json.loads(text, parse_constant=_refuse_constant)
        return msgspec.convert(value, _Row)
    except json.JSONDecodeError:
        raise
    except _NotJson as name:
        raise json.JSONDecodeError(str(name), text, text.index(str(name))) from None
    except RecursionError:
        raise json.JSONDecodeError("too deeply nested", text, 0) from None
    except msgspec.ValidationError as error:
        raise _explained(error, value) from None
    except ValueError:
        raise json.JSONDecodeError("a number is too long", text, 0) from None


def _refuse_constant(name: str) -> NoReturn:
    raise _NotJson(name)


def _explained(error: msgspec.ValidationError, value: object) -> _BadField:
    if not isinstance(value, dict):
        return _BadField("", "expected a JSON object with named fields")
    match = _FIELD_OF_ERROR.search(str(error))
    field = match[1] if match else ""
    if field not in _ALLOWED:
        name = next((name for name in value if name not in _ALLOWED), field)
        near = difflib.get_close_matches(name.lower(), _ALLOWED, n=1)
        hint = f"did you mean {near[0]}?" if near else f"the fields are {', '.join(_ALLOWED)}"
        return _BadField(name, f"unknown field {name!r}; {hint}")
    if field not in value:
        return _BadField("", f"the field {field!r} is missing")
    return _BadField(field, f"{field} must be {_ALLOWED[field]}")


def _spec(row: _Row) -> TaskSpec:
    task_type = row.type or TaskType.SHELL
    _checked("command", _check_command, task_type, row.command)
    for field, texts in _texts_of(row):
        _checked(field, _check_texts, texts)
    return TaskSpec(
        command=row.command,
        type=task_type,
        priority=_checked("priority", check_priority, row.priority) if row.priority else 0,
        memory_bytes=_checked("memory", _memory_bytes, row.memory) if row.memory else 0,
        cores=_checked("cores", check_cores, row.cores) if row.cores else 0,
        cwd=None if row.cwd is None else _checked("cwd", _cwd, row.cwd),
        env=None if row.env is None else _checked("env", _env, row.env),
        timeout_s=None if row.timeout is None else _checked("timeout", _timeout_s, row.timeout),
        retries=None if row.retries is None else _checked("retries", _retries, row.retries),
        kind=row.kind,
        tags=row.tags or (),
        outputs=_checked("outputs", _outputs, row.outputs) if row.outputs else (),
        params=None if row.params is None else _checked("params", _params, row.params),
    )


def _checked(field: str, parse: Callable[..., Any], *values: Any) -> Any:
    try:
        return parse(*values)
    except ValueError as fault:
        raise _BadField(field, f"{field}: {fault}") from None


def _check_command(task_type: TaskType, command: str) -> None:
    try:
        check_command(task_type, command)
    except BadCommand as fault:
        raise ValueError(f"{fault} (character {fault.column})" if fault.column > 1 else str(fault)) from None


def _texts_of(row: _Row) -> Iterator[tuple[str, Iterable[str]]]:
    """Every text in the row, with its field."""
    yield "command", (row.command,)
    if row.cwd is not None:
        yield "cwd", (row.cwd,)
    if row.kind is not None:
        yield "kind", (row.kind,)
    if row.tags:
        yield "tags", row.tags
    if row.outputs:
        yield "outputs", row.outputs
    if row.env:
        yield "env", (*row.env, *row.env.values())
    if row.params:
        yield "params", (*row.params, *(value for value in row.params.values() if isinstance(value, str)))


def _check_texts(texts: Iterable[str]) -> None:
    for text in texts:
        if "\0" in text:
            raise ValueError("it holds a NUL character")
        if not text.isascii():
            _check_surrogates(text)


def _check_surrogates(text: str) -> None:
    try:
        text.encode("utf-8", "surrogateescape")
    except UnicodeEncodeError:
        raise ValueError("it holds half of a surrogate pair, which no text can have") from None


def _memory_bytes(memory: str | float) -> int:
    if isinstance(memory, str):
        return parse_size(memory, default_unit="G")
    if not 0 <= memory <= MAX_SIZE_BYTES / 2**30:
        raise ValueError(f"{memory:g} GB is outside 0 to 8P")
    return math.ceil(memory * 2**30)


def _timeout_s(timeout: str | float) -> float:
    duration_s = parse_duration(timeout) if isinstance(timeout, str) else timeout
    if not 0 < duration_s <= MAX_DURATION_S:
        raise ValueError(f"{timeout!r} is not above 0 and at most 36500d")
    return duration_s


def _retries(retries: int) -> int:
    if not 0 <= retries <= MAX_RETRIES:
        raise ValueError(f"{retries} is outside 0 to {MAX_RETRIES}")
    return retries


def _cwd(cwd: str) -> str:
    if not cwd:
        raise ValueError("it is empty; leave it out for the directory of submission")
    return cwd


def _env(env: dict[str, str]) -> dict[str, str]:
    for name in env:
        if not name or "=" in name:
            raise ValueError(f"{name!r} cannot be the name of a variable")
    return env


def _outputs(patterns: tuple[str, ...]) -> tuple[str, ...]:
    return tuple(check_glob(pattern) for pattern in patterns)


def _params(params: dict[str, Scalar]) -> dict[str, Scalar]:
    for name, value in params.items():
        if isinstance(value, int) and not -(2**63) <= value < 2**63:
            raise ValueError(f"{name} is beyond 64 bits")
        if isinstance(value, float) and not math.isfinite(value):
            raise ValueError(f"{name} is too large a number")
    return params


def _column(text: str, field: str) -> int:
    """Where the field's value stands, or its name if the name is unknown; the start of the object for no field."""
    start = _after_space(text, 0) + 1
    position = start if field else 0
    while position:
        name, name_at, value_at, position = _next_field(text, position)
        if name == field:
            return (value_at if field in _ALLOWED else name_at) + 1
    return start


def _next_field(text: str, position: int) -> tuple[str, int, int, int]:
    """A field's name, where it and its value stand, and where the next field begins, 0 if there is none."""
    name_at = _after_space(text, position)
    if text[name_at] != '"':  # an empty object
        return "", 0, 0, 0
    name, after = json.JSONDecoder().raw_decode(text, name_at)
    value_at = _after_space(text, _after_space(text, after) + 1)
    _, after = json.JSONDecoder().raw_decode(text, value_at)
    comma_at = _after_space(text, after)
    return name, name_at, value_at, comma_at + 1 if text[comma_at] == "," else 0


def _after_space(text: str, position: int) -> int:
    match = _SPACE.match(text, position)
    return match.end() if match else position
