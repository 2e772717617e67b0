"""What attempts printed, on the node where they ran: a part of a file, or what distcomp there says of a running one."""

from __future__ import annotations

import base64
import os
import sys
import zlib
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO

if TYPE_CHECKING:
    from distcomp.nodes.aboard.places import node_folder, project_folder
    from distcomp.nodes.aboard.serving import say

PROGRAM_NOTE = "program"


def main(ask: dict[str, Any], payload: BinaryIO) -> dict[str, Any]:  # noqa: ARG001  the same in each script
    """Read it.

    `ask`: {"file", "offset_bytes", "length_bytes"}: a part of a file of outputs. Or {"arguments"}: of `distcomp logs`
    there, whose output follows the answer.
    """
    if "arguments" in ask:
        program = (project_folder(ask) / PROGRAM_NOTE).read_text()
        say({"follows": True})
        folder = str(project_folder(ask))
        os.execv(sys.executable, [sys.executable, "-I", program, "-C", folder, "logs", *ask["arguments"]])
    outputs = node_folder(ask) / "output"
    path = outputs / ask["file"]
    if not path.resolve().is_relative_to(outputs.resolve()):
        raise ValueError(f"{ask['file']} is no file of outputs")
    return {
        "content": base64.b64encode(zlib.compress(part(path, ask["offset_bytes"], ask["length_bytes"]), 1)).decode()
    }


def part(path: Path, offset_bytes: int, length_bytes: int) -> bytes:
    """Some bytes of a file, fewer at its end."""
    with path.open("rb") as file:
        file.seek(offset_bytes)
        return file.read(length_bytes)
