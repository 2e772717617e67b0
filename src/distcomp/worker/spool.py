"""Results on the node's own disk, while the store is away."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import BinaryIO

import msgspec

from distcomp.store.settlements import AnySettlement

BATCH = 500
_encoder = msgspec.msgpack.Encoder()
_decoder: msgspec.msgpack.Decoder[AnySettlement] = msgspec.msgpack.Decoder(AnySettlement)


class Spool:
    """A file of settlements, each with its length before it. Used by one thread.

    A settlement that was written half when the worker died is left out: its task runs again.
    """

    def __init__(self, path: Path) -> None:
        self._path = path

    def add(self, settlements: Sequence[AnySettlement]) -> None:
        """Keep settlements.

        Raises:
            OSError: the disk is full, say. None of them was kept.
        """
        frames = []
        for settlement in settlements:
            packed = _encoder.encode(settlement)
            frames += [len(packed).to_bytes(4), packed]
        with self._path.open("ab") as file:
            size = file.tell()
            try:
                file.write(b"".join(frames))
                file.flush()
            except OSError:
                os.ftruncate(file.fileno(), size)
                raise

    def __bool__(self) -> bool:
        """Is anything kept?"""
        return self._path.exists()

    def batches(self) -> Iterator[list[AnySettlement]]:
        """What is kept, oldest first, up to the first that was not written whole."""
        if not self:
            return
        batch: list[AnySettlement] = []
        with self._path.open("rb") as file:
            while (settlement := _next(file)) is not None:
                batch.append(settlement)
                if len(batch) == BATCH:
                    yield batch
                    batch = []
        if batch:
            yield batch

    def clear(self) -> None:
        """All of it was delivered."""
        self._path.unlink(missing_ok=True)


def _next(file: BinaryIO) -> AnySettlement | None:
    length = int.from_bytes(file.read(4))
    packed = file.read(length)
    # Zeros instead of a length: what a machine that lost power may leave at the end of a file.
    if not length or len(packed) < length:
        return None
    try:
        return _decoder.decode(packed)
    except msgspec.DecodeError:
        return None
