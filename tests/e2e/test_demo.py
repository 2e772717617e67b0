"""`make demo`, with two of its traces."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]
EXAMPLE = ROOT / "examples" / "cache_sweep"
TRACES = ("paths_venv", "prog_xz")


def test_the_demo_ends_with_a_table_and_a_picture(tmp_path: Path) -> None:
    example, folder = tmp_path / "example", tmp_path / "demo"
    (example / "traces").mkdir(parents=True)
    for script in EXAMPLE.glob("*.py"):
        shutil.copy(script, example)
    for name in TRACES:
        shutil.copy(EXAMPLE / "traces" / f"{name}.u32.xz", example / "traces")
    expected = (EXAMPLE / "traces" / "expected.csv").read_text().splitlines(keepends=True)
    kept = [line for number, line in enumerate(expected) if not number or line.startswith(TRACES)]
    (example / "traces" / "expected.csv").write_text("".join(kept))

    command = [sys.executable, str(example / "demo.py"), str(folder)]
    done = subprocess.run(
        command, env={**os.environ, "CI": "true"}, capture_output=True, text=True, timeout=110, check=False
    )

    assert done.returncode == 0, done.stdout + done.stderr
    assert "60 finished" in done.stdout + done.stderr
    assert "better" in done.stdout
    assert (folder / "plot.svg").stat().st_size > 1000


def test_the_makefile_runs_it() -> None:
    recipe = subprocess.run(
        ["make", "--dry-run", "demo"], cwd=ROOT, capture_output=True, text=True, check=True
    ).stdout.splitlines()

    assert recipe[0] == "tools/set-up examples"
    assert (ROOT / recipe[-1].split()[-1]) == EXAMPLE / "demo.py"
