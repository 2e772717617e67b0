"""How long would it take: a finished job's measured attempts, or a synthetic workload, on nodes that one might have."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from distcomp.simulate.engine import Report
from distcomp.simulate.run import PolicyChoice, simulate
from distcomp.simulate.workload import NodeSpec, Task

MOST_TASKS = 20_000
"""Of more tasks every second, third, ... is taken: what differs is the tail, which is short then."""

_LEAST_WALL_S = 1e-3
_RISEN = 0.95


@dataclass(frozen=True, slots=True)
class Measured:
    """What a finished attempt took."""

    peak_bytes: int
    wall_s: float
    cpu_s: float


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

    How memory grew was not: it is taken to grow all the time, which is between the courses that pack better and worse.
    """
    return [_task(number, one) for number, one in enumerate(history)]


def _task(number: int, one: Measured) -> Task:
    wall_s, peak_bytes = max(one.wall_s, _LEAST_WALL_S), float(one.peak_bytes)
    points = (0.0, 0.0), (_RISEN * wall_s, peak_bytes), (wall_s, peak_bytes)
    return Task(number, points, cores=one.cpu_s / wall_s)


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
    report = simulate(tasks, nodes, policy)
    return Forecast(nodes, report.makespan_s * stride, report, stride)
