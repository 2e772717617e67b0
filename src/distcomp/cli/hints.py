"""What somebody may have meant whose command line cannot be used."""

from __future__ import annotations

import os
import re
from collections.abc import Sequence
from pathlib import Path

from distcomp.model import State

_OTHER_NAMES = {
    "list": "tasks", "ls": "tasks", "queue": "tasks", "jobs": "tasks", "add": "submit", "start": "run", "log": "logs",
    "info": "show", "why": "explain", "rerun": "retry", "kill": "cancel", "stop": "cancel", "rm": "forget",
    "remove": "forget", "delete": "forget", "result": "results", "settings": "config", "hosts": "nodes",
    "version": "--version", "-v": "--version", "-V": "--version",
}  # fmt: skip
"""What other programs call these commands."""
_TAKES_STATE = ("tasks", "results")
_TAKES_STATE_FLAGS = ("retry", "forget")


def hint(arguments: Sequence[str]) -> str:
    """A line on what to type instead; "" when nothing comes to mind."""
    command, *words = arguments or [""]
    if other := _OTHER_NAMES.get(command):
        return f"Did you mean: distcomp {other}"
    if command == "--json":
        return "--json comes after the command: distcomp status --json"
    if command in ("run", "submit"):
        return _command_hint(command, words)
    return _state_hint(command, words)


def _command_hint(command: str, words: Sequence[str]) -> str:
    """Two words or more, and no `--`: it will be a command, or several files."""
    if "--" not in words and any(re.match(r"-P\d*$|--(jobs|max-procs)\b", word) for word in words):
        return "So many at once: -j N" if command == "run" else ""
    if "--" in words or len(words) < 2 or words[0].startswith("-"):
        return ""
    if all(Path(word).is_file() and not os.access(word, os.X_OK) for word in words):
        return f"One file at a time, or: cat {' '.join(words)} | distcomp {command} -"
    return f"A command stands after --: distcomp {command} -- {' '.join(words)}"


def _state_hint(command: str, words: Sequence[str]) -> str:
    states = [str(state) for state in State]
    said = [word.lstrip("-") for word in words]
    named = next((word for word in said if word in states), "") or next(
        (word.partition("=")[2] for word in said if word.startswith("state=")), ""
    )
    if command in _TAKES_STATE and named:
        return f"Did you mean: distcomp {command} --state {named}"
    if command in _TAKES_STATE_FLAGS and named:
        return f"Did you mean: distcomp {command} --{named}"
    return ""
