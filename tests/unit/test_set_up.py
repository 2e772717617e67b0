"""tools/find-python: a fresh machine's Python is found, or its user is told what to install."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

FIND_PYTHON = Path(__file__).parents[2] / "tools" / "find-python"

OLD = "#!/bin/sh\necho '3.9 0'\n"
SHIM_OF_NOTHING = "#!/bin/sh\necho 'no such version' >&2\nexit 127\n"
WITHOUT_VENV = "#!/bin/sh\ncase $2 in *ensurepip*) exit 1;; esac\necho '3.12 1'\n"
GOOD = f'#!/bin/sh\nexec "{sys.executable}" "$@"\n'


def find_python(path: Path, **programs: str) -> subprocess.CompletedProcess[str]:
    """What it says where PATH holds only these programs (`python3_11` for `python3.11`)."""
    for name, source in programs.items():
        (path / name.replace("_", ".")).write_text(source)
        (path / name.replace("_", ".")).chmod(0o755)
    return subprocess.run(
        ["/bin/sh", str(FIND_PYTHON)], env={"PATH": str(path)}, capture_output=True, text=True, check=False
    )


def test_a_newer_one_is_taken_where_python3_is_too_old_or_a_shim(tmp_path: Path) -> None:
    found = find_python(tmp_path, python3=OLD, python3_14=SHIM_OF_NOTHING, python3_12=WITHOUT_VENV, python3_11=GOOD)

    assert found.stdout.strip() == sys.executable


def test_without_any_that_serves_it_says_what_was_wrong_with_each(tmp_path: Path) -> None:
    found = find_python(tmp_path, python3=OLD, python3_12=WITHOUT_VENV)

    assert (found.returncode, found.stdout) == (1, "")
    assert "too old:      python3 (3.9" in found.stderr
    assert "without venv: python3.12 (3.12" in found.stderr
    assert "apt-get install python3-venv" in found.stderr


def test_on_a_machine_without_python_it_says_so(tmp_path: Path) -> None:
    assert "There is no Python on PATH." in find_python(tmp_path).stderr
