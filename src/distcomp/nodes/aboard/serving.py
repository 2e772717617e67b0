"""Reads a question from stdin, has it answered, writes the answer to stdout: JSON, after a mark.

Login shells print what they like before it, so the mark tells the answer from all else.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable
from typing import Any, BinaryIO

MARK = b"\n@distcomp-answer "


def serve(main: Callable[[dict[str, Any], BinaryIO], dict[str, Any]]) -> None:
    """Answer one question; what cannot be done is an answer too."""
    os.umask(0o077)
    stdin = sys.stdin.buffer
    ask = json.loads(stdin.readline())
    try:
        answer = main(ask, stdin)
    except OSError as error:
        where = f"{error.filename}: " if error.filename else ""
        answer = {"error": f"{where}{error.strerror or error}"}
    except ValueError as error:
        answer = {"error": str(error)}
    say(answer)


def say(answer: dict[str, Any]) -> None:
    """Print an answer."""
    sys.stdout.flush()
    sys.stdout.buffer.write(MARK + json.dumps(answer).encode() + b"\n")
    sys.stdout.buffer.flush()
