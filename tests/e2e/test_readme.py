"""What README.md shows works as it stands there."""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

from tests.support.sandbox import Sandbox

README = (Path(__file__).parents[2] / "README.md").read_text(encoding="utf-8")

SIMULATE = '#!/bin/sh\necho "{\\"seed\\": $2}"\n'
SIM = '#!/bin/sh\necho "{\\"miss_ratio\\": 0.31}"\n'


def block_after(words: str) -> str:
    """The indented lines that follow these words."""
    rest = README.partition(words)[2]
    found = re.search(r"(?:^    .*\n)+", rest, re.MULTILINE)
    assert found, words
    return "".join(line[4:] for line in found[0].splitlines(keepends=True))


def with_programs(sandbox: Sandbox) -> None:
    """The programs that README's tasks run."""
    for name, source in {"simulate": SIMULATE, "sim": SIM, "analyse.py": "print('{}')"}.items():
        sandbox.write(name, source).chmod(0o755)
    (sandbox.folder / "out").mkdir()
    (sandbox.folder / "traces").mkdir()
    sandbox.write("traces/a b.xz", "")


def test_its_task_file(sandbox: Sandbox) -> None:
    with_programs(sandbox)
    sandbox.write("tasks.txt", block_after("A task is a line"))

    sandbox.distcomp("run", "tasks.txt")

    assert sandbox.json("status")["counts"]["finished"] == 3


def test_its_command_lines(sandbox: Sandbox) -> None:
    with_programs(sandbox)
    path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
    lines = block_after("Plain command lines") + block_after("A sweep is a template") + "distcomp run\n"

    subprocess.run(["bash", "-euc", lines], cwd=sandbox.folder, env={**os.environ, "PATH": path}, check=True)

    rows = sandbox.json("results")
    assert len(rows) == 100 + 4, "seed 3 is known by then"
    assert {(row["algo"], row["size"]) for row in rows if row["command"].startswith("./sim ")} == {
        ("LRU", 0.01), ("LRU", 0.1), ("FIFO", 0.01), ("FIFO", 0.1),
    }  # fmt: skip


def test_its_python(sandbox: Sandbox) -> None:
    with_programs(sandbox)
    source = re.findall(r"```python\n(.*?)```", README, re.DOTALL)[0]
    worker = sandbox.start("worker")

    command = [sys.executable, "-c", source + "\nprint(len(rows))"]
    done = subprocess.run(command, cwd=sandbox.folder, capture_output=True, text=True, timeout=60, check=True)

    assert done.stdout.strip() == "100", shlex.join(command)
    worker.terminate()
    worker.wait(timeout=30)
