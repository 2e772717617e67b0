"""Chunks: how task specs lie in the store, and the place of a task in them.

A hundred specs share one compressed body, so a queued task costs about 70 bytes in all, where one record per task
would cost more than 200 (docs/decisions/chunks.md).
"""

from __future__ import annotations

import struct
import threading
from collections import OrderedDict
from collections.abc import Sequence
from typing import NamedTuple

import msgspec
import zstandard

from distcomp.model import TaskSpec
from distcomp.store.texts import escaped, unescaped

CHUNK_TASKS = 100
CHUNK_BYTES = 1 << 18
"""A chunk closes when it holds this many tasks, or command bytes: a claim fetches whole chunks."""

PLACE = struct.Struct(">IH")
HEADER = struct.Struct(">IQiQI")
ENTRY = struct.Struct(">8sH")

_GIB, _MOST_EXACT_BYTES = 1 << 30, 1 << 40
_PLAIN, _ESCAPED = b"p", b"e"
_specs_encoder = msgspec.msgpack.Encoder()
_specs_decoder = msgspec.msgpack.Decoder(list[TaskSpec])


class _Zstd(threading.local):
    """Each thread's own: used by two at once, one of these mixes what they give it, and need not notice."""

    def __init__(self) -> None:
        self.compressor = zstandard.ZstdCompressor(level=1)
        self.decompressor = zstandard.ZstdDecompressor()


_zstd = _Zstd()


class Place(NamedTuple):
    """Where a task's spec lies: chunk number, and position in it from 1."""

    chunk: int
    position: int


class ChunkHeader(NamedTuple):
    """What the store's scripts know of a chunk. `cores` in thousandths; `ids` in order of submission."""

    job: int
    first_seq: int
    priority: int
    memory_bytes: int
    millicores: int
    ids: list[bytes]
    seqs: list[int]


def encode_body(specs: Sequence[TaskSpec]) -> bytes:
    """The specs as one compressed value."""
    try:
        return _PLAIN + _zstd.compressor.compress(_specs_encoder.encode(specs))
    except UnicodeEncodeError:
        packed = msgspec.msgpack.encode(escaped(msgspec.to_builtins(list(specs))))
        return _ESCAPED + _zstd.compressor.compress(packed)


def encode_alike(pattern: TaskSpec, commands: Sequence[bytes]) -> bytes:
    """As encode_body, for tasks that are `pattern` but for their commands, in UTF-8; at a third of the price."""
    try:
        head, tail = _around_command(pattern)
        strings = [_STRING_HEADS[len(command)] + command for command in commands]
    except (IndexError, UnicodeEncodeError):
        return encode_body([msgspec.structs.replace(pattern, command=command.decode()) for command in commands])
    packed = b"".join((b"\xdc", len(commands).to_bytes(2), head, (tail + head).join(strings), tail))
    return _PLAIN + _zstd.compressor.compress(packed)


def _around_command(pattern: TaskSpec) -> tuple[bytes, bytes]:
    """What stands before and after the command where `pattern` is packed."""
    packed = _specs_encoder.encode(msgspec.structs.replace(pattern, command=""))
    name = _specs_encoder.encode("command")
    at = packed.index(name) + len(name)
    return packed[:at], packed[at + 1 :]


# By length; a longer command is rare.
_STRING_HEADS = [_specs_encoder.encode("x" * length)[: -length or None] for length in range(2048)]


def decode_body(body: bytes) -> list[TaskSpec]:
    """The specs of one body."""
    packed = _zstd.decompressor.decompress(body[1:])
    if body[:1] == _PLAIN:
        return _specs_decoder.decode(packed)
    return msgspec.convert(unescaped(msgspec.msgpack.decode(packed)), list[TaskSpec])


def decode_header(raw: bytes) -> ChunkHeader:
    """The header as `_prelude.lua` describes it."""
    job, first_seq, priority, memory_bytes, millicores = HEADER.unpack_from(raw)
    entries = list(ENTRY.iter_unpack(raw[HEADER.size :]))
    return ChunkHeader(
        job,
        first_seq,
        priority,
        memory_bytes,
        millicores,
        [task_id for task_id, _ in entries],
        [first_seq + offset for _, offset in entries],
    )


class ChunkCache:
    """The specs of the chunks used last, so that a chunk is fetched once for its hundred tasks."""

    def __init__(self, most: int = 64) -> None:
        self._chunks: OrderedDict[int, tuple[int, list[TaskSpec]]] = OrderedDict()
        self._most = most

    def keys(self) -> bytes:
        """The chunk numbers held, as the claim script wants them: 4 bytes each."""
        return b"".join(number.to_bytes(4) for number in self._chunks)

    def put(self, chunk: int, job: int, body: bytes) -> None:
        """Add a chunk, as its body came from the store."""
        self._chunks[chunk] = job, decode_body(body)

    def get(self, place: Place) -> tuple[int, TaskSpec]:
        """Job and spec of the task at `place`, whose chunk was put."""
        job, specs = self._chunks[place.chunk]
        self._chunks.move_to_end(place.chunk)
        return job, specs[place.position - 1]

    def trim(self) -> None:
        """Drop the chunks not used for longest. Called after a claim is read, never within one."""
        while len(self._chunks) > self._most:
            self._chunks.popitem(last=False)


def memory_step(memory_bytes: int) -> int:
    """A declared need as the queue keeps it, so that it has a bounded number of classes, whatever users declare.

    Whole GiB up to a TiB as they are, else the next number below with 6 binary digits: at most 3 % less.
    Never more than declared: who declares what a node has must be able to run there.

    >>> memory_step(500 << 30) == 500 << 30, memory_step(1000), memory_step(0)
    (True, 992, 0)
    """
    if memory_bytes % _GIB == 0 and memory_bytes <= _MOST_EXACT_BYTES:
        return memory_bytes
    return _rounded_down(memory_bytes)


def cores_step(cores: float) -> int:
    """Cores as the queue keeps them, in thousandths: at most a twentieth, or above one core a quarter, less than asked.

    Above 16 at most 3 % less, and whole ones. Never more than asked, but for the smallest: 0 would be "unknown".

    >>> [cores_step(cores) for cores in (0, 0.01, 0.5, 0.54, 1, 2, 2.3, 64, 1000)]
    [0, 50, 500, 500, 1000, 2000, 2250, 64000, 992000]
    """
    millicores = round(cores * 1000)
    if millicores <= 16_000:
        step = 50 if millicores <= 1000 else 250
        return max(millicores // step * step, min(millicores, 1) * step)
    return _rounded_down(millicores // 1000) * 1000


def _rounded_down(number: int) -> int:
    shift = max(0, number.bit_length() - 6)
    return number >> shift << shift
