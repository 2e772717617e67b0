"""The examples are scripts in folders of their own: here is how tests find and run them."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Protocol

import pytest

EXAMPLES = Path(__file__).resolve().parents[2] / "examples"
# Also for modules that the tests import: `import cachesim` is examples/cache_sweep/cachesim.py.
sys.path[:0] = [str(EXAMPLES / "cache_sweep"), str(EXAMPLES / "published_study")]


class RunScript(Protocol):
    def __call__(self, script: str, *arguments: str | Path) -> subprocess.CompletedProcess[str]: ...


@pytest.fixture
def run_script() -> RunScript:
    """Runs a script of the examples, given as FOLDER/NAME.py, with this Python."""

    def run(script: str, *arguments: str | Path) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, EXAMPLES / script, *arguments]
        return subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)

    return run
