"""Batches of memoryload.py, the least time that they can take, and what a packer that knows all curves would need."""

from __future__ import annotations

import math
import random
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path

from benchmarks import memoryload

TASKS = 200
SIGMA = 1.1
WEIGHTS = {"flat": 2, "ramp": 2, "jump": 2, "forked": 2, "saw": 1, "shared": 1, "cache": 1, "mmap": 1}
"""The last ones take several times the CPU time per byte, which on few cores would be what is measured."""
_PYTHON = ("-S", "-E", "-I")


@dataclass(frozen=True, slots=True)
class Task:
    """One call of memoryload.py."""

    shape: str
    peak_bytes: int
    seconds: float
    seed: int

    def words(self, interpreter: str, log: Path) -> list[str]:
        """Its command."""
        arguments = [self.shape, str(self.peak_bytes), f"{self.seconds:g}", str(self.seed), str(log)]
        return [interpreter, *_PYTHON, memoryload.__file__, *arguments]

    @property
    def curve(self) -> list[float]:
        """Bytes held in each step; what Python itself takes, some 5 MiB, is left out."""
        return [part * self.peak_bytes for part in memoryload.plan(self.shape, self.seconds, self.seed)]

    @property
    def expected_line(self) -> str:
        """What it must print."""
        return memoryload.expected_line(self.shape, self.peak_bytes, self.seconds, self.seed)


@dataclass(frozen=True)
class Batch:
    """Tasks for a node of a size."""

    name: str
    node_bytes: int
    tasks: Sequence[Task]

    @cached_property
    def bound_s(self) -> float:
        """No packing is faster: all memory in use all the time, or the longest task."""
        area = sum(sum(task.curve) for task in self.tasks) * memoryload.STEP_S
        return max(area / self.node_bytes, *(task.seconds for task in self.tasks))

    @cached_property
    def clairvoyant_s(self) -> float:
        """A packer that knows every curve, and starts the largest task that fits until its end. Worked out, not run."""
        waiting = sorted((task.curve for task in self.tasks), key=sum, reverse=True)
        used: list[float] = []
        step = 0
        while waiting:
            for curve in list(waiting):
                used += [0.0] * (step + len(curve) - len(used))
                if all(used[step + i] + level <= self.node_bytes for i, level in enumerate(curve)):
                    for i, level in enumerate(curve):
                        used[step + i] += level
                    waiting.remove(curve)
            step += 1
        end = max(i for i, level in enumerate(used) if level > 0)
        return (end + 1) * memoryload.STEP_S

    def stretched(self, factor: float) -> Batch:
        """The same tasks, so many times as long."""
        tasks = [replace(task, seconds=round(factor * task.seconds, 2)) for task in self.tasks]
        return Batch(f"{self.name} x{factor:g}", self.node_bytes, tasks)

    def expected_lines(self) -> list[str]:
        """What the tasks print, sorted."""
        return sorted(task.expected_line for task in self.tasks)


def mixed(seed: int, node_bytes: int) -> Batch:
    """TASKS tasks of all shapes, 1 to 4 s long; peaks log-normal around 1/40 of the node, 7 to 9 nodes in all."""
    dice = random.Random(seed)
    while True:
        peaks = [min(0.5, math.exp(dice.gauss(math.log(1 / 40), SIGMA))) for _ in range(TASKS)]
        if 7 <= sum(peaks) <= 9:
            break
    shapes = dice.choices(list(WEIGHTS), list(WEIGHTS.values()), k=TASKS)
    tasks = [
        Task(
            shapes[number],
            int(peak * node_bytes) // memoryload.PAGE_BYTES * memoryload.PAGE_BYTES,
            round(dice.uniform(1, 4), 2),
            number,
        )
        for number, peak in enumerate(peaks)
    ]
    return Batch(f"seed {seed}", node_bytes, tasks)


def adversarial(node_bytes: int, tasks: int = 24, seconds: float = 2.0) -> Batch:
    """Each is small until 85 % of its life, and then takes 40 % of the node."""
    peak_bytes = node_bytes * 2 // 5
    return Batch("adversarial", node_bytes, [Task("late", peak_bytes, seconds, number) for number in range(tasks)])
