"""Those who run a batch in a node: distcomp, GNU parallel, xargs. All start 100 at once if memory lets them."""

from __future__ import annotations

import json
import shlex
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from benchmarks.batches import Batch
from benchmarks.node import Node
from benchmarks.support import DISTCOMP
from benchmarks.watch import Watch
from distcomp.api import Client

AT_ONCE = 100
XARGS_ROUNDS = 20


@dataclass(frozen=True, slots=True)
class Run:
    """How a contestant did. `notes` is what it says of itself."""

    contestant: str
    batch: Batch
    wall_s: float
    watch: Watch
    wrong: int
    notes: Mapping[str, int]

    @property
    def ratio(self) -> float:
        """Its time over the least that is possible."""
        return self.wall_s / self.batch.bound_s

    @property
    def returns(self) -> int:
        """Attempts that came to nothing, whoever ended them."""
        return len(self.watch.killed)

    @property
    def mean_use(self) -> float:
        """Part of the node's memory that was in use, on average."""
        return self.watch.mean_used_bytes / self.batch.node_bytes


Contestant = Callable[[Batch], Run]


def distcomp(batch: Batch, settings: str = "", at_once: int = AT_ONCE) -> Run:
    """`distcomp run`, with its store and all else in the node; the store runs already."""
    with tempfile.TemporaryDirectory(prefix="dc-bench-") as name, Node(batch.node_bytes) as node:
        folder, log = Path(name), Path(name, "log")
        (folder / "distcomp.toml").write_text(f"max_tasks = {at_once}\n{settings}")
        lines = [f"shell:0:0:0:{shlex.join(task.words(sys.executable, log))}\n" for task in batch.tasks]
        (folder / "batch.txt").write_text("".join(lines))
        _distcomp(node, folder, "server", "start")
        try:
            with Watch(node, log) as watch:
                before_s = time.monotonic()
                ended = _distcomp(node, folder, "run", "batch.txt")
                wall_s = time.monotonic() - before_s
            with Client.open(folder) as client:
                printed = [json.dumps(task.outcome.columns) for task in client.tasks() if task.outcome]
                notes = {str(cause): number for cause, number in client.status().attempts.items()}
        finally:
            _distcomp(node, folder, "server", "stop")
        return Run("distcomp", batch, wall_s, watch, wrong(batch, printed), {**notes, "exit": ended.returncode})


def _distcomp(node: Node, folder: Path, *words: str) -> subprocess.CompletedProcess[str]:
    command = node.command([*DISTCOMP, *words])
    return subprocess.run(command, cwd=folder, text=True, capture_output=True, check=False, stdin=subprocess.DEVNULL)


def parallel(batch: Batch, free_fraction: float) -> Run:
    """GNU parallel, which starts nothing unless so much of the memory is free, and kills when half of that is not."""
    with tempfile.TemporaryDirectory(prefix="dc-bench-") as name, Node(batch.node_bytes) as node:
        log = Path(name, "log")
        lines = "".join(shlex.join(task.words(sys.executable, log)) + "\n" for task in batch.tasks)
        free_kib = int(batch.node_bytes * free_fraction) >> 10
        words = ["parallel", "--will-cite", f"-j{AT_ONCE}", "--memfree", f"{free_kib}K", "--retries", "0"]
        with Watch(node, log) as watch:
            before_s = time.monotonic()
            ended = subprocess.run(
                node.command(words, sees_meminfo=True), input=lines, text=True, capture_output=True, check=False
            )
            wall_s = time.monotonic() - before_s
        missing = wrong(batch, ended.stdout.splitlines())
        return Run(f"parallel --memfree {free_fraction:.1%}", batch, wall_s, watch, missing, {"exit": ended.returncode})


def xargs(batch: Batch, at_once: int) -> Run:
    """`xargs -P`, then again with what failed, half as many at once each time, until nothing does."""
    with tempfile.TemporaryDirectory(prefix="dc-bench-") as name, Node(batch.node_bytes) as node:
        log, failed = Path(name, "log"), Path(name, "failed")
        # xargs gives up when a command is killed, so a shell stands between; it is small, and not who is killed.
        script = f'sh -c "$1" || echo "$1" >> {failed}'
        left = [shlex.join(task.words(sys.executable, log)) for task in batch.tasks]
        printed, rounds = "", 0
        with Watch(node, log) as watch:
            before_s = time.monotonic()
            while left and rounds < XARGS_ROUNDS:
                words = ["xargs", "-d", "\n", f"-P{max(1, at_once >> rounds)}", "-n1", "sh", "-c", script, "sh"]
                ended = subprocess.run(
                    node.command(words), input="\n".join(left), text=True, capture_output=True, check=False
                )
                printed += ended.stdout
                rounds += 1
                left = failed.read_text().splitlines() if failed.exists() else []
                failed.unlink(missing_ok=True)
            wall_s = time.monotonic() - before_s
        return Run(f"xargs -P{at_once}", batch, wall_s, watch, wrong(batch, printed.splitlines()), {"rounds": rounds})


def wrong(batch: Batch, printed: list[str]) -> int:
    """How many answers are missing or not what they must be."""
    missing = [json.loads(line) for line in batch.expected_lines()]
    for line in printed:
        answer = json.loads(line)
        if answer in missing:
            missing.remove(answer)
    return len(missing)
