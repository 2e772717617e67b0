"""Patterns of result files: what may be one, and the variables in it. Pure."""

from __future__ import annotations

import glob
import re
from collections.abc import Mapping
from pathlib import PurePosixPath

_VARIABLE = re.compile(r"\$(?:([A-Za-z_]\w*)|\{([A-Za-z_]\w*)\})", re.ASCII)


def check_glob(text: str) -> str:
    """The pattern itself, if it can name files below a task's directory. ValueError, for the user: it cannot."""
    parts = PurePosixPath(text).parts
    if not parts:
        raise ValueError("a pattern of files is empty")
    if "\0" in text:
        raise ValueError("a pattern of files holds a NUL character")
    if text.startswith("/") or ".." in parts:
        raise ValueError(f"{text!r} is not below the task's directory")
    if any("**" in part and part != "**" for part in parts):
        raise ValueError(f"{text!r}: ** stands for whole directories, as in **/*.csv")
    return text


def expanded(pattern: str, variables: Mapping[str, str]) -> str:
    """The pattern with $NAME and ${NAME} replaced, where such a variable is known; what it holds is no pattern."""

    def value(match: re.Match[str]) -> str:
        known = variables.get(match[1] or match[2])
        return match[0] if known is None else glob.escape(known)

    return _VARIABLE.sub(value, pattern)


def is_exact(pattern: str) -> bool:
    """Whether it can name one file only, which is `exact_name` then."""
    return not glob.has_magic(pattern.replace("[*]", "").replace("[?]", "").replace("[[]", ""))


def exact_name(pattern: str) -> str:
    """The name of the file that an exact pattern names."""
    return re.sub(r"\[([*?[])\]", r"\1", pattern)
