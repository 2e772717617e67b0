"""From how a process ended and what it printed last, to what is kept of it. Pure."""

from __future__ import annotations

import json
import math
import signal
from collections.abc import Mapping
from typing import Any

import msgspec

TAIL_BYTES = 1024
"""Kept of stdout and of stderr with a failed attempt: the end of a traceback, and 200 MB for 100,000 failures."""

COLUMNS_BYTES = 64 * 1024
"""A result line longer than this is not a result."""

_BLANKS = b" \t\r\n\0\x0b\x0c"
_MSGPACK_INTEGERS = range(-(2**63), 2**64)


def reason(exit_code: int | None, signal_number: int | None, stderr_end: bytes) -> str:
    """One line for people on an attempt that ended by itself; empty if it ended well."""
    if signal_number is not None:
        return f"killed by {signal_text(signal_number)}"
    if exit_code == 127:
        return _with_last_line("not found", stderr_end)
    if exit_code == 126:
        return _with_last_line("cannot execute", stderr_end)
    if exit_code is not None and exit_code > 128 and (name := _signal_name(exit_code - 128)):
        return f"exit code {exit_code} (128 + signal {exit_code - 128}, {name})"
    return f"exit code {exit_code}" if exit_code else ""


def signal_text(number: int) -> str:
    """The signal's number with its name."""
    name = _signal_name(number)
    return f"signal {number} ({name})" if name else f"signal {number}"


def tail_text(end: bytes) -> str:
    """The last KiB as text: what is not UTF-8 becomes U+FFFD."""
    tail = end[-TAIL_BYTES:]
    if len(end) > TAIL_BYTES:
        # The cut may go through a character: at most three bytes of it are left.
        cut = 0
        while cut < min(3, len(tail)) and tail[cut] & 0xC0 == 0x80:
            cut += 1
        tail = tail[cut:]
    return tail.decode(errors="replace")


def columns(stdout_end: bytes) -> Mapping[str, object] | None:
    """The last line that is not blank, if it is a JSON object; None if it is not.

    NaN and infinities, which Python prints though JSON has no word for them, become None. Integers beyond 64 bits
    become floats, halves of characters U+FFFD: the store has no room for either.

    Args:
        stdout_end: the end of stdout, whole if it is shorter than COLUMNS_BYTES.
    """
    text = stdout_end.strip(_BLANKS)
    if not text.endswith(b"}"):
        return None
    line = text[text.rfind(b"\n") + 1 :]
    line = line[line.rfind(b"\r") + 1 :].strip(_BLANKS)
    if not line.startswith(b"{"):
        return None
    return _object(line)


def _object(line: bytes) -> Mapping[str, object] | None:
    try:
        value = json.loads(line, parse_constant=lambda _: None)
        if not isinstance(value, dict):
            return None
        value = _storable(value)
        msgspec.msgpack.encode(value)
    except (ValueError, RecursionError):
        return None
    return dict(value)


def _storable(value: Any) -> Any:
    match value:
        case dict():
            return {_storable(name): _storable(item) for name, item in value.items()}
        case list():
            return [_storable(item) for item in value]
        case str():
            return value if value.isascii() else value.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
        case float():
            return value if math.isfinite(value) else None
        case int() if value not in _MSGPACK_INTEGERS:
            return float(value) if abs(value) < 10**308 else None
        case _:
            return value


def _signal_name(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:
        return ""


def _with_last_line(what: str, stderr_end: bytes) -> str:
    lines = tail_text(stderr_end).strip().splitlines()
    return f"{what}: {lines[-1].strip()}" if lines else what
