"""A packer that knows every curve before, run on the same cores: what is left to gain by knowing more.

It starts the largest task whose whole curve fits beside what the running ones still have before them, and is told how
far each of them is, as busy cores hold them up. It has no store, no worker and no looks at memory.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from benchmarks.batches import Batch, Task
from benchmarks.contestants import Run, wrong
from benchmarks.memoryload import PROGRESS
from benchmarks.node import Node
from benchmarks.watch import Watch

_ALLOWANCE = 0.93
"""Of the node: of 0.93 and 0.97 the quicker. Cores that are busy move curves by some steps, and the kernel kills."""
_INTERPRETER_BYTES = 7 * 2**20
_TURN_S = 0.01
_MOST_STEPS = 10_000


@dataclass(slots=True)
class _Running:
    task: Task
    process: subprocess.Popen[bytes]
    progress_fd: int

    def before_it(self) -> Sequence[float]:
        """Bytes that it will hold, step by step, from now on."""
        done = int.from_bytes(os.pread(self.progress_fd, 4, 0), "little")
        levels = _levels(self.task)
        return levels[done:] or levels[-1:]


@dataclass(slots=True)
class _Packer:
    node: Node
    folder: Path
    waiting: list[Task]
    running: list[_Running] = field(default_factory=list)

    def turn(self) -> None:
        """Take note of those that have ended, and start whatever fits. What the kernel killed runs again."""
        for one in [one for one in self.running if one.process.poll() is not None]:
            self.running.remove(one)
            os.close(one.progress_fd)
            if one.process.returncode:
                self.waiting.append(one.task)
        self.waiting.sort(key=lambda task: sum(task.curve), reverse=True)
        held = [0.0] * _MOST_STEPS
        for one in self.running:
            _add(held, one.before_it())
        for task in list(self.waiting):
            if all(level + more <= self._most_bytes for level, more in zip(held, _levels(task), strict=False)):
                _add(held, _levels(task))
                self.waiting.remove(task)
                self._start(task)

    @property
    def _most_bytes(self) -> float:
        return _ALLOWANCE * self.node.memory_bytes

    def _start(self, task: Task) -> None:
        progress = self.folder / f"progress-{task.seed}"
        progress.write_bytes(b"")
        words = task.words(sys.executable, self.folder / "log")
        with (self.folder / "out").open("ab") as out:
            process = subprocess.Popen(
                self.node.command(words),
                stdout=out,
                stderr=subprocess.DEVNULL,
                env={**os.environ, PROGRESS: str(progress)},
            )
        self.running.append(_Running(task, process, os.open(progress, os.O_RDONLY)))


def clairvoyant(batch: Batch) -> Run:
    """The batch in its node."""
    with tempfile.TemporaryDirectory(prefix="dc-bench-") as name, Node(batch.node_bytes) as node:
        packer = _Packer(node, Path(name), list(batch.tasks))
        with Watch(node, Path(name, "log")) as watch:
            before_s = time.monotonic()
            while packer.waiting or packer.running:
                packer.turn()
                time.sleep(_TURN_S)
            wall_s = time.monotonic() - before_s
        printed = Path(name, "out").read_text().splitlines()
        return Run("clairvoyant", batch, wall_s, watch, wrong(batch, printed), {})


def _levels(task: Task) -> list[float]:
    return [level + _INTERPRETER_BYTES for level in task.curve]


def _add(held: list[float], levels: Sequence[float]) -> None:
    for step, level in enumerate(levels):
        held[step] += level
