"""What somebody may have meant whose command line cannot be used. Pure."""

from __future__ import annotations

from collections.abc import Sequence

from distcomp.model import State

_OTHER_NAMES = {
    "list": "tasks", "ls": "tasks", "queue": "tasks", "jobs": "tasks", "add": "submit", "start": "run", "log": "logs",
    "info": "show", "why": "explain", "rerun": "retry", "kill": "cancel", "stop": "cancel", "rm": "forget",
    "remove": "forget", "delete": "forget", "result": "results", "settings": "config", "hosts": "nodes",
    "version": "--version",
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
    """Two words or more, and no `--`: it will be a command."""
    if "--" in words or len(words) < 2 or words[0].startswith("-"):
        return ""
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
