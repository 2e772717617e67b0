"""Reads outputs again: for `distcomp logs`, in any process that sees the node's folder."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO, Literal

from distcomp.errors import NotFound
from distcomp.model import OutputPlace
from distcomp.runner.packs import read_frame

Stream = Literal["stdout", "stderr"]

_CHUNK_BYTES = 2**18


def read_output(folder: Path, place: OutputPlace, stream: Stream) -> Iterator[bytes]:
    """What an attempt printed to one of its streams, in pieces. Where the limit cut it, a line says so.

    Args:
        folder: of the node's outputs.
        place: from the attempt's outcome.

    Raises:
        NotFound: the file is gone, or something else is in it. Raised with the first piece at the latest.
    """
    try:
        with (folder / place.file).open("rb") as file:
            yield from _decompressed(file, place, stream) if place.is_compressed else _packed(file, place, stream)
    except FileNotFoundError:
        raise NotFound(f"The output is gone: there is no file {folder / place.file}.") from None


def _packed(file: BinaryIO, place: OutputPlace, stream: Stream) -> Iterator[bytes]:
    frame = read_frame(file.fileno(), place.offset_bytes)
    if frame is None or (frame.stdout_bytes, frame.stderr_bytes) != (place.stdout_bytes, place.stderr_bytes):
        raise NotFound(f"The output is gone: {file.name} has something else at its place.")
    is_stdout = stream == "stdout"
    start = frame.stdout_start if is_stdout else frame.stdout_start + frame.stdout_bytes
    left = frame.stdout_bytes if is_stdout else frame.stderr_bytes
    while left and (piece := os.pread(file.fileno(), min(left, _CHUNK_BYTES), start)):
        yield piece
        start += len(piece)
        left -= len(piece)


def _decompressed(file: BinaryIO, place: OutputPlace, stream: Stream) -> Iterator[bytes]:
    from zstandard import ZstdDecompressor, ZstdError

    is_stdout = stream == "stdout"
    file.seek(0 if is_stdout else place.offset_bytes)
    left = place.stdout_bytes if is_stdout else place.stderr_bytes
    try:
        with ZstdDecompressor().stream_reader(file, closefd=False) as reader:
            # Not up to the end: behind the frame of stdout comes that of stderr.
            while left and (piece := reader.read(min(left, _CHUNK_BYTES))):
                yield piece
                left -= len(piece)
    except ZstdError:
        raise NotFound(f"The output is gone: {file.name} is damaged.") from None
