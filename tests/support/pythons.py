"""Pythons that cannot use what is compiled for the tests' own: nodes may have them."""

from __future__ import annotations

import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.support.cluster import Node

_NAMES = [f"python3.{minor}" for minor in (14, 13, 12, 11) if minor != sys.version_info[1]]
# Where pyenv and uv keep theirs.
_FOLDERS = (".pyenv/versions/*/bin", ".local/share/uv/python/*/bin")
_VERSION = "import sys; print(*sys.version_info[:3])"
# A module for sysconfig, which says that compiled modules are named otherwise.
_OTHER_KIND = """
from importlib import import_module
build_time_vars = import_module("{own}").build_time_vars | {{"EXT_SUFFIX": ".another-kind.so"}}
"""


def another_python() -> str:
    """Path of one of another minor version; empty if there is none on this machine."""
    folders = [str(found) for pattern in _FOLDERS for found in Path.home().glob(pattern)]
    found = (shutil.which(name, path=path) for name in _NAMES for path in [None, *folders])
    return next((path for path in found if path and _runs(path)), "")


def _runs(python: str) -> bool:
    # pyenv has names of versions that it does not have.
    return subprocess.run([python, "-c", _VERSION], capture_output=True, check=False).returncode == 0


@contextmanager
def another_python_on(node: Node) -> Iterator[tuple[int, ...]]:
    """The node has no Python but one of another kind; its version.

    That is one of another minor version, if this machine has one: the node sees it at the same path. Else it is one
    like ours that says of itself to be of a kind for which nothing of ours was compiled.
    """
    python = another_python()
    command = python or f"env _PYTHON_SYSCONFIGDATA_NAME=_another_kind {Path(sys.executable).resolve()}"
    if not python:
        own = "import sysconfig; print(sysconfig.get_path('stdlib'), sysconfig._get_sysconfigdata_name())"
        folder, name = node.run(str(Path(sys.executable).resolve()), "-c", own).stdout.split()
        node.put(f"{folder}/_another_kind.py", _OTHER_KIND.format(own=name))
    node.put("/root/another-python", f'#!/bin/sh\nexec {command} "$@"\n', mode=0o755)
    places = node.lines_of(
        "sh", "-c", "realpath /usr/bin/python3.* /usr/local/bin/python3* | grep '3[.0-9]*$' | sort -u"
    )
    try:
        for place in places:
            node.run("mount", "--bind", "/root/another-python", place)
        yield tuple(map(int, node.run("/root/another-python", "-c", _VERSION).stdout.split()))
    finally:
        for place in places:
            node.run("umount", place, exit_code=None)
