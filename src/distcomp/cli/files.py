"""Files that commands write: whole, or not at all."""

from __future__ import annotations

import os
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO, cast

from distcomp.errors import DistcompError

STDOUT = "-"


@contextmanager
def written_whole(path: Path | None) -> Iterator[BinaryIO]:
    """A file to write to, which appears under its name when all is written; None and "-" are stdout.

    Raises:
        DistcompError: it cannot be written. What was there before stays.
    """
    if path is None or str(path) == STDOUT:
        sys.stdout.flush()
        yield sys.stdout.buffer
        sys.stdout.buffer.flush()
        return
    if path.is_dir():
        raise DistcompError(
            f"{path} is a directory.", unchanged="Nothing was written.", next_step="Name a file in it: -o FILE."
        )
    if path.exists() and not path.is_file():
        # A pipe or a device: it cannot be replaced, and is meant to be written to.
        with path.open("wb") as file:
            yield file
        return
    draft = ""
    try:
        descriptor, draft = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)
        with os.fdopen(descriptor, "wb") as file:
            yield cast(BinaryIO, file)
            file.flush()
        umask = os.umask(0)
        os.umask(umask)
        os.chmod(draft, 0o666 & ~umask)  # noqa: PTH101
        os.replace(draft, path)  # noqa: PTH105
    except OSError as error:
        raise DistcompError(f"{path} cannot be written: {error.strerror}.", unchanged="It is as it was.") from error
    finally:
        if draft:
            Path(draft).unlink(missing_ok=True)
