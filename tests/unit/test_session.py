"""What pytest itself promises here: nothing is left out in CI, what is left out elsewhere is named, nothing is left."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support import leftovers

ROOT = Path(__file__).parents[2]


def run_pytest(folder: Path, test_source: str, ci: str) -> tuple[int, str]:
    """Exit status and output of a session in a project of its own that has our conftest.py."""
    (folder / "test_it.py").write_text(test_source)
    (folder / "conftest.py").write_text("from tests.conftest import *\n")
    environment = {**os.environ, "CI": ci, "PYTHONPATH": str(ROOT), "TMPDIR": str(folder)}
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "--rootdir", str(folder), str(folder)]
    done = subprocess.run(command, env=environment, cwd=folder, capture_output=True, text=True, check=False)
    return done.returncode, done.stdout


def run_pytest_that_leaves(folder: Path, test_source: str) -> str:
    """Output of a session whose test passes and leaves a process: that is seen to be an error."""
    status, output = run_pytest(folder, test_source, ci="")
    assert status == 1
    assert "1 passed, 1 error" in output
    return output


SKIPPING = """
import pytest

@pytest.mark.skipif(True, reason="needs a moon")
def test_a(): pass

def test_b(): pytest.skip("needs a moon")

@pytest.mark.xfail(reason="known")
def test_c(): assert False
"""


def test_what_is_left_out_is_named_at_the_end(tmp_path: Path) -> None:
    status, output = run_pytest(tmp_path, SKIPPING, ci="")

    assert status == 0
    assert "2 tests: needs a moon" in output


@pytest.mark.parametrize("source", [SKIPPING, "import pytest\npytest.importorskip('a_moon', reason='needs a moon')"])
def test_in_ci_leaving_out_is_failing(tmp_path: Path, source: str) -> None:
    status, output = run_pytest(tmp_path, source, ci="true")

    assert status != 0
    assert "which CI may not do: needs a moon" in output or "which CI may not do: could not import" in output
    assert "skipped" not in output.splitlines()[-1]


def test_a_daemon_that_a_test_leaves_is_an_error_that_names_the_test(tmp_path: Path) -> None:
    source = """
import subprocess
def test_that_forgets():
    subprocess.run(["sh", "-c", "setsid sleep 1000 </dev/null >/dev/null 2>&1 &"], check=True)
"""
    output = run_pytest_that_leaves(tmp_path, source)

    assert "sleep 1000 (started in test_it.py::test_that_forgets (call))" in output


def test_a_store_server_that_a_test_leaves_is_found(tmp_path: Path) -> None:
    """Its environment reads as empty: it writes its title over it."""
    source = """
from tests.support.servers import Server
def test_that_forgets():
    Server("valkey9")
"""
    output = run_pytest_that_leaves(tmp_path, source)

    assert "valkey-server unixsocket:" in output


def test_a_process_that_forgets_its_environment_is_found(tmp_path: Path) -> None:
    source = """
import subprocess
def test_that_forgets():
    subprocess.run(["env", "-i", "sh", "-c", "setsid sleep 1000 </dev/null >/dev/null 2>&1 &"], check=True)
"""
    output = run_pytest_that_leaves(tmp_path, source)

    assert "sleep 1000 (started in an unknown test)" in output


def test_what_has_ended_is_not_left() -> None:
    subprocess.run(["true"], check=True)

    assert not [left for left in leftovers.still_running(patience_s=0) if left.command == "true"]
