"""Texts that are no UTF-8, such as old file names, in msgpack, which cannot hold them.

Such bytes stand in strings as lone surrogates (surrogateescape).
"""

from __future__ import annotations

import re
from collections.abc import Callable

import msgspec

from distcomp.model import JobContext

_ESCAPED = b"e"
"""Before what is escaped; no map begins so in msgpack."""


def encode_job(context: JobContext) -> bytes:
    """What the tasks of a job share, as one value."""
    try:
        return msgspec.msgpack.encode(context)
    except UnicodeEncodeError:
        return _ESCAPED + msgspec.msgpack.encode(escaped(msgspec.to_builtins(context)))


def decode_job(raw: bytes) -> JobContext:
    """What `encode_job` was given."""
    if raw[:1] != _ESCAPED:
        return msgspec.msgpack.decode(raw, type=JobContext)
    return msgspec.convert(unescaped(msgspec.msgpack.decode(raw[1:])), JobContext)


def escaped(value: object) -> object:
    """The value with every string in it, at any depth, such that msgpack can hold it."""
    return _mapped(value, lambda text: re.sub("[\x00\udc80-\udcff]", lambda found: f"\x00{ord(found[0]):04x}", text))


def unescaped(value: object) -> object:
    """What `escaped` was given."""
    return _mapped(value, lambda text: re.sub("\x00(....)", lambda found: chr(int(found[1], 16)), text))


def _mapped(value: object, change: Callable[[str], str]) -> object:
    if isinstance(value, str):
        return change(value)
    if isinstance(value, (list, tuple)):
        return [_mapped(item, change) for item in value]
    if isinstance(value, dict):
        return {_mapped(name, change): _mapped(item, change) for name, item in value.items()}
    return value
