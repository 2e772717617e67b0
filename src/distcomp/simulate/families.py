"""Synthetic workloads: the families of the study that the policy was chosen by, and the batch of the benchmark."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from random import Random

from distcomp.simulate.workload import NodeSpec, Point, Task

SHAPES = ("flat", "ramp", "jump", "saw")
FAMILIES = (*SHAPES, "mix", "onekind", "uniquekinds", "cpu", "short", "giants", "adversarial")

STUDY_NODE = NodeSpec(memory_bytes=64 * 2**30, cores=32, kill_s=0.0, kill_s_per_gib=0.0)
BENCHMARK_NODE = NodeSpec(memory_bytes=4 * 2**30, cores=2, fill_bytes_per_s=2.2 * 2**30)
"""Two cores that fill 2.2 GiB/s each, and free a GiB in 40 ms, as measured on the machine of the benchmark."""

_LOW, _TROUGH = 0.2, 0.35
_LARGEST = 0.75


@dataclass(frozen=True, slots=True)
class _Kind:
    peak_bytes: float
    work_s: float
    shape: str


@dataclass(frozen=True, slots=True)
class _Spread:
    """How tasks differ: sigmas of log-normal distributions, and what is in their middle."""

    peak_part: float = 1 / 12.8
    work_s: float = 300.0
    kinds: int = 20
    kind_sigma: float = 1.0
    task_sigma: float = 0.4
    work_sigma: float = 0.5


_SPREADS = {
    "onekind": _Spread(kinds=1, kind_sigma=0.0, task_sigma=1.2),
    "uniquekinds": _Spread(kinds=0),
    "cpu": _Spread(peak_part=1 / 256),
    "short": _Spread(work_s=20.0, work_sigma=0.3),
}


def family(
    name: str, tasks: int, seed: int, node: NodeSpec = STUDY_NODE, growth_bytes_per_s: float = 2.0**30
) -> list[Task]:
    """Tasks of a family, made for nodes like this one.

    Args:
        name: one of FAMILIES, or "benchmark".
        growth_bytes_per_s: no task grows faster.

    Raises:
        ValueError: no such family.
    """
    random = Random(f"{name} {seed}")  # noqa: S311 - for a workload that can be made again, not for secrets
    if name == "benchmark":
        return _benchmark(tasks, random, node, growth_bytes_per_s)
    if name not in FAMILIES:
        raise ValueError(f"{name!r} is no family of workloads: {', '.join((*FAMILIES, 'benchmark'))}")
    spread = _SPREADS.get(name, _Spread())
    shapes = (name,) if name in SHAPES else SHAPES
    kinds = [_kind(spread, shapes[number % len(shapes)], node, random) for number in range(spread.kinds or tasks)]
    special = _SPECIAL.get(name)
    made = []
    for number in range(tasks):
        kind = random.choice(kinds) if spread.kinds else kinds[number]
        if spread.kinds == 1:
            kind = _Kind(kind.peak_bytes, kind.work_s, random.choice(shapes))
        work_s = kind.work_s * math.exp(random.gauss(0, 0.3))
        peak_bytes = min(kind.peak_bytes * math.exp(random.gauss(0, spread.task_sigma)), _LARGEST * node.memory_bytes)
        kind = _Kind(peak_bytes, work_s, kind.shape)
        if special:
            kind = special(kind, node, random)
        made.append(Task(number, curve(kind.shape, kind.peak_bytes, kind.work_s, random, growth_bytes_per_s)))
    return made


def _kind(spread: _Spread, shape: str, node: NodeSpec, random: Random) -> _Kind:
    peak_bytes = node.memory_bytes * spread.peak_part * math.exp(random.gauss(0, spread.kind_sigma))
    return _Kind(peak_bytes, spread.work_s * math.exp(random.gauss(0, spread.work_sigma)), shape)


def _giant(kind: _Kind, node: NodeSpec, random: Random) -> _Kind:
    if random.random() >= 0.05:
        return kind
    return _Kind(random.uniform(0.6, 0.8) * node.memory_bytes, kind.work_s, kind.shape)


def _late(kind: _Kind, node: NodeSpec, _random: Random) -> _Kind:
    return _Kind(0.4 * node.memory_bytes, kind.work_s, "late")


_SPECIAL: dict[str, Callable[[_Kind, NodeSpec, Random], _Kind]] = {"giants": _giant, "adversarial": _late}


def _benchmark(tasks: int, random: Random, node: NodeSpec, growth_bytes_per_s: float) -> list[Task]:
    made = []
    for number in range(tasks):
        peak_bytes = min(node.memory_bytes / 40 * math.exp(random.gauss(0, 1.1)), node.memory_bytes / 2)
        work_s, shape = random.uniform(1, 4), random.choice(SHAPES)
        points = curve(shape, peak_bytes, work_s, random, growth_bytes_per_s, teeth=(3, 3))
        made.append(Task(number, points, cores=0.005))
    return made


def curve(
    shape: str,
    peak_bytes: float,
    work_s: float,
    random: Random,
    growth_bytes_per_s: float,
    teeth: Sequence[int] = (4, 10),
) -> tuple[Point, ...]:
    """A course of memory.

    flat: at the peak almost from the start. ramp: grows all the time. jump: a fifth of the peak until 60 to 90 % of its
    life. saw: as a garbage collector makes it, with so many teeth. late: a sixty-fourth of a node until 85 % of it.
    """
    if shape == "flat":
        return (0, 0), (min(peak_bytes / growth_bytes_per_s, work_s / 2), peak_bytes), (work_s, peak_bytes)
    if shape == "ramp":
        return (0, 0), (0.95 * work_s, peak_bytes), (work_s, peak_bytes)
    if shape == "saw":
        return _saw(peak_bytes, work_s, random, teeth)
    low, at_s = (
        (peak_bytes / 25.6, 0.85 * work_s)
        if shape == "late"
        else (
            _LOW * peak_bytes,
            random.uniform(0.6, 0.9) * work_s,
        )
    )
    risen_s = min(low / growth_bytes_per_s, work_s / 10)
    jumped_s = max(at_s + 1e-3, min(at_s + (peak_bytes - low) / growth_bytes_per_s, 0.99 * work_s))
    return (0, 0), (risen_s, low), (at_s, low), (jumped_s, peak_bytes), (work_s, peak_bytes)


def _saw(peak_bytes: float, work_s: float, random: Random, teeth: Sequence[int]) -> tuple[Point, ...]:
    number = random.randint(*teeth)
    points: list[Point] = [(0, 0)]
    for tooth in range(number):
        top = peak_bytes if tooth == number - 1 else peak_bytes * random.uniform(0.6, 1)
        points += ((tooth + 0.93) * work_s / number, top), ((tooth + 1) * work_s / number, _TROUGH * peak_bytes)
    return tuple(points)
