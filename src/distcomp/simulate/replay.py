"""How long would it take: what attempts were measured to take, again, on nodes that one might have."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from random import Random

from distcomp.simulate.engine import Report
from distcomp.simulate.run import PolicyChoice, simulate
from distcomp.simulate.workload import NodeSpec, Point, Task

MOST_TASKS = 20_000
"""Of more tasks every second, third, ... is taken: what differs is the tail, which is short then."""

BROKEN_OFF = 1000.0
"""Tasks that mostly wait, for others or for a disk, take many times the bound, as no more than a few share a core."""

_LEAST_WALL_S = 1e-3
_RISEN = 0.95
_PERCENT = 100


@dataclass(frozen=True, slots=True)
class Measured:
    """What a finished attempt took. `course`: its memory in equal steps, in percent of the peak; () if not known."""

    peak_bytes: int
    wall_s: float
    cpu_s: float
    kind: str = ""
    course: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True)
class Forecast:
    """What is to be expected on some nodes.

    Args:
        makespan_s: of all tasks.
        report: how the simulated ones went; every `stride`-th was simulated.
    """

    nodes: tuple[NodeSpec, ...]
    makespan_s: float
    report: Report
    stride: int


def tasks_of(history: Iterable[Measured]) -> list[Task]:
    """Tasks that take what was measured.

    Of memory whose course is not known, as of short attempts, it is taken to grow all the time: that is between the
    courses that pack better and worse.
    """
    return [_task(number, one) for number, one in enumerate(history)]


def _task(number: int, one: Measured) -> Task:
    wall_s, peak_bytes = max(one.wall_s, _LEAST_WALL_S), float(one.peak_bytes)
    points: tuple[Point, ...] = (0.0, 0.0), (_RISEN * wall_s, peak_bytes), (wall_s, peak_bytes)
    if one.course:
        points = _points(one.course, wall_s, peak_bytes)
    return Task(number, points, cores=one.cpu_s / wall_s)


def _points(course: Sequence[int], wall_s: float, peak_bytes: float) -> tuple[Point, ...]:
    step_s = wall_s / len(course)
    levels = [peak_bytes * percent / _PERCENT for percent in course]
    # No look may have seen the peak that the kernel counted.
    levels[levels.index(max(levels))] = peak_bytes
    middles = (((at + 0.5) * step_s, level) for at, level in enumerate(levels))
    return ((0.0, 0.0), *middles, (wall_s, levels[-1]))


def alike(kinds: Mapping[str, int], history: Sequence[Measured], seed: int = 0) -> list[Measured]:
    """Tasks that have not run, taken to be like some that have: of their kind, where one has finished.

    Args:
        kinds: how many tasks there are of each.

    Raises:
        ValueError: there is no history.
    """
    if not history:
        raise ValueError("nothing has finished yet that the others could be like")
    by_kind: dict[str, list[Measured]] = {}
    for one in history:
        by_kind.setdefault(one.kind, []).append(one)
    random = Random(seed)  # noqa: S311 - for a forecast that can be made again, not for secrets
    drawn = [random.choice(by_kind.get(kind, history)) for kind, number in kinds.items() for _ in range(number)]
    random.shuffle(drawn)
    return drawn


def forecast(
    history: Sequence[Measured],
    nodes: Sequence[NodeSpec],
    more: Sequence[NodeSpec] = (),
    policy: PolicyChoice | str = "cheapest",
) -> list[Forecast]:
    """How long the same tasks would take again on these nodes; and, if there are `more`, with those besides.

    Raises:
        ValueError: no tasks, or no nodes.
    """
    if not history or not nodes:
        raise ValueError("a forecast needs tasks that have finished, and nodes")
    stride = -(-len(history) // MOST_TASKS)
    tasks = tasks_of(history[::stride])
    fleets = [tuple(nodes)] + ([(*nodes, *more)] if more else [])
    return [_forecast(tasks, fleet, policy, stride) for fleet in fleets]


def _forecast(tasks: Sequence[Task], nodes: tuple[NodeSpec, ...], policy: PolicyChoice | str, stride: int) -> Forecast:
    report = simulate(tasks, nodes, policy, broken_off=BROKEN_OFF)
    return Forecast(nodes, report.makespan_s * stride, report, stride)
