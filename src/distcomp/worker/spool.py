"""Results on the node's own disk, while the store is away."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from pathlib import Path

import msgspec

from distcomp.store.settlements import AnySettlement

BATCH = 500
_encoder = msgspec.msgpack.Encoder()
_decoder = msgspec.msgpack.Decoder(AnySettlement)


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
        """What is kept, oldest first."""
        if not self:
            return
        with self._path.open("rb") as file:
            batch: list[AnySettlement] = []
            while (length := file.read(4)) and len(packed := file.read(int.from_bytes(length))) == int.from_bytes(
                length
            ):
                batch.append(_decoder.decode(packed))
                if len(batch) == BATCH:
                    yield batch
                    batch = []
            if batch:
                yield batch

    def clear(self) -> None:
        """All of it was delivered."""
        self._path.unlink(missing_ok=True)
