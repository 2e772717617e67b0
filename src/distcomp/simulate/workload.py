"""Tasks with a known course of memory: what the simulator runs, and what no policy may look at."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import pairwise

Point = tuple[float, float]
"""Seconds of work done, bytes in use then."""


@dataclass(frozen=True, slots=True, eq=False)
class Task:
    """One task. Memory follows straight lines between the points, the last of which is its end.

    `cores`: what it keeps busy while it works. `declared_bytes`: what its user said, 0 for nothing.
    """

    number: int
    points: tuple[Point, ...]
    cores: float = 1.0
    declared_bytes: int = 0

    @property
    def work_s(self) -> float:
        """How long it takes if nothing slows it down."""
        return self.points[-1][0]

    @property
    def peak_bytes(self) -> float:
        """The most that it uses at a time."""
        return max(level for _, level in self.points)

    @property
    def memory_byte_s(self) -> float:
        """Memory times how long it is held."""
        return sum((end - start) * (low + high) / 2 for (start, low), (end, high) in pairwise(self.points))


@dataclass(frozen=True, slots=True)
class NodeSpec:
    """A simulated node.

    Args:
        foreign_bytes, foreign_cores: what others use of it all the time.
        kill_s, kill_s_per_gib: how long an attempt takes to die, and its memory to be free.
        fill_bytes_per_s: how fast a core can take memory; 0: at no cost.
        is_stalling: where memory runs out attempts wait for the worker instead of being killed by the kernel (a cgroup
            with memory.high, or without its OOM killer).
    """

    memory_bytes: int
    cores: float
    foreign_bytes: int = 0
    foreign_cores: float = 0.0
    kill_s: float = 0.01
    kill_s_per_gib: float = 0.04
    fill_bytes_per_s: float = 0.0
    is_stalling: bool = False


def lower_bound_s(tasks: Sequence[Task], nodes: Iterable[NodeSpec]) -> float:
    """No schedule is faster: memory or cores in use all the time, or the longest task."""
    nodes = list(nodes)
    memory_bytes = sum(node.memory_bytes - node.foreign_bytes for node in nodes)
    cores = sum(node.cores - node.foreign_cores for node in nodes)
    return max(
        sum(task.memory_byte_s for task in tasks) / memory_bytes,
        sum(task.work_s * task.cores for task in tasks) / cores,
        max(task.work_s for task in tasks),
    )
