"""What is said of cgroups of version 2 holds in a kernel that has them."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.needs import needs_root, needs_uml

pytestmark = [needs_root, needs_uml]
ROOT = Path(__file__).parents[2]
PATIENCE_S = 300


@pytest.mark.parametrize("name", ["fence", "relief"])
def test_what_version_2_is_to_do(name: str, tmp_path: Path) -> None:
    """The tests of inside_NAME.py, in User Mode Linux."""
    script, tests = ROOT / "tests/support/uml/run.sh", ROOT / f"tests/cgroup2/inside_{name}.py"
    words = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-p", "no:xdist", "-p", "no:randomly"]
    environment = {**os.environ, "PYTHONDONTWRITEBYTECODE": "1"}
    done = subprocess.run(
        [script, sys.executable, "600M", tmp_path, *words, "--rootdir", ROOT, "-c", "/dev/null", tests],
        cwd=ROOT, env=environment, capture_output=True, text=True, timeout=PATIENCE_S, check=False,
    )  # fmt: skip
    print(done.stdout, done.stderr)
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr
    assert " passed" in done.stdout
    assert "skipped" not in done.stdout
