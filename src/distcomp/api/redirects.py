"""Where a shell command sends its stderr, if not to us. Pure."""

from __future__ import annotations

import re
from pathlib import PurePosixPath

_FILE = r"""\s*("[^"]*"|'[^']*'|[^\s;|&<>()'"]+)"""
_STDERR = re.compile(rf"(?:(?<![\w&])2|(?<=\s)&|^&)>>?(?!&){_FILE}")
_STDOUT = re.compile(rf"(?<![\d&>])1?>>?(?![>&]){_FILE}")
_TO_STDOUT = re.compile(r"(?<!\w)2>&1")


def stderr_file(command: str, cwd: str) -> str:
    """The file that the command's own text names for stderr, the last one of several; "" when it names none.

    It is a look at the text, not a parser of shell: what is said there through variables or in programs is not seen.

    >>> stderr_file("./p > out 2> err.log", "/data")
    '/data/err.log'
    >>> stderr_file("./p > all.log 2>&1", "/data")
    '/data/all.log'
    """
    found = _STDERR.findall(command)
    if not found and _TO_STDOUT.search(command):
        found = _STDOUT.findall(command)
    return str(PurePosixPath(cwd, found[-1].strip("\"'"))) if found else ""
