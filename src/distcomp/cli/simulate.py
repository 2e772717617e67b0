"""`distcomp simulate`: how long would it take, and with more nodes?"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from itertools import islice
from typing import TYPE_CHECKING, Annotated

import msgspec
import typer

from distcomp.cli import render
from distcomp.cli.opening import opened
from distcomp.cli.options import AsJson
from distcomp.cli.usage import BadUsage, check_number
from distcomp.model import State

if TYPE_CHECKING:
    from distcomp.api import Client
    from distcomp.settings import Settings
    from distcomp.simulate import Forecast, Measured, NodeSpec, PolicyChoice

MOST_READ = 200_000
"""Of a longer history the beginning has to do."""
TASKS_PER_NODE = 200


class Row(msgspec.Struct, frozen=True, kw_only=True):
    """One policy on one set of nodes.

    Args:
        tasks: that were simulated. Of very many only a part is, and `makespan_s` is of all.
        bound_s: no schedule is faster; `ratio` is makespan over it.
        wasted_fraction: task-seconds of attempts that came to nothing.
        failed: tasks that no node holds. `is_complete`: all others have finished.
        memory_fraction, cores_fraction: mean use.
    """

    policy: str
    nodes: str
    tasks: int
    makespan_s: float
    bound_s: float
    ratio: float
    wasted_fraction: float
    returns: int
    most_returns: int
    oom_kills: int
    memory_fraction: float
    cores_fraction: float
    failed: int
    is_complete: bool


class Answer(msgspec.Struct, frozen=True):
    """What was simulated, in a sentence, and what came of it."""

    workload: str
    rows: tuple[Row, ...]


def simulate(
    nodes: Annotated[
        str, typer.Option(metavar="NODES", help="Such as 10x64G/32,2x256G/64.  [default: the workers', or this one]")
    ] = "",
    more: Annotated[str, typer.Option(metavar="NODES", help="Nodes besides: compares without and with them.")] = "",
    job: Annotated[list[int] | None, typer.Option(metavar="N", help="What this job has finished, again.")] = None,
    family: Annotated[str, typer.Option(metavar="NAME", help="A made up workload, such as mix; see below.")] = "",
    tasks: Annotated[int | None, typer.Option(metavar="N", help="Of a family.  [default: 200 for each node]")] = None,
    policy: Annotated[
        list[str] | None,
        typer.Option(metavar="NAME", help="One, or all, to compare.  [default: ours, as the settings have it]"),
    ] = None,
    seed: Annotated[int, typer.Option(metavar="N", help="Another number, another draw.")] = 0,
    as_json: AsJson = False,
) -> None:
    """Tell how long it would take: packing decides as on real nodes, on a clock that needs no time.

    Without --job and --family: what this project has left, taken to be like what has finished; when nothing is left,
    what has finished, again. Memory goes as it was measured to go.

    \b
      distcomp simulate                                   how long on the nodes there are
      distcomp simulate --more 10x64G/32                  and with ten more of 64 GiB and 32 cores
      distcomp simulate --nodes 4x256G/64 --job 3         job 3 again, on other nodes
      distcomp simulate --family mix --nodes 10x64G/32 --policy all

    Families: flat ramp jump saw mix onekind uniquekinds cpu short giants adversarial. Policies: cheapest newest, and
    models of others: reserve-true reserve-largest lifo lifo+need memfree ray-95 original.
    """
    if family and job:
        raise BadUsage("A workload is a family or what a job has finished, not both.")
    try:
        if family:
            answer = _of_family(family, nodes, more, tasks, policy, seed)
        else:
            with opened() as client:
                answer = _of_project(client, nodes, more, job, policy, seed)
    except ValueError as error:
        raise BadUsage(f"{str(error)[:1].upper()}{str(error)[1:]}.", unchanged="Nothing was simulated.") from error
    render.show(answer, as_json, _lines)


def _of_family(family: str, nodes: str, more: str, tasks: int | None, policies: list[str] | None, seed: int) -> Answer:
    from distcomp import simulate as simulator

    check_number("--tasks", "tasks", tasks)
    specs, besides = simulator.parse_nodes(nodes) if nodes else [_this_node()], _parsed(more)
    made = simulator.family(family, tasks or TASKS_PER_NODE * len(specs), seed, specs[0])
    rows = [
        _row(choice.name, simulator.Forecast(tuple(fleet), report.makespan_s, report, stride=1))
        for choice in _choices(policies, simulator.ours())
        for fleet in ([specs, specs + besides] if besides else [specs])
        for report in (simulator.simulate(made, fleet, choice),)
    ]
    return Answer(f"{render.number_of(len(made), 'task')} of the family {family}, seed {seed}", tuple(rows))


def _of_project(
    client: Client, nodes: str, more: str, jobs: list[int] | None, policies: list[str] | None, seed: int
) -> Answer:
    from distcomp import simulate as simulator

    workload, measured = _workload(client, jobs, seed)
    if not measured:
        raise ValueError("nothing has finished yet: a forecast is made from what was measured")
    specs = simulator.parse_nodes(nodes) if nodes else _nodes_of(client)
    rows = [
        _row(choice.name, forecast)
        for choice in _choices(policies, _as_set(client.project.settings))
        for forecast in simulator.forecast(measured, specs, _parsed(more), choice)
    ]
    return Answer(workload, tuple(rows))


def _workload(client: Client, jobs: list[int] | None, seed: int) -> tuple[str, Sequence[Measured]]:
    """What is to be simulated: in a sentence, and as measured."""
    from distcomp.simulate import alike

    history = list(_history(client, jobs))
    if jobs:
        return f"{render.number_of(len(history), 'task')} of job {', '.join(map(str, jobs))}, again", history
    left = _left(client)
    if not left:
        return f"{render.number_of(len(history), 'task')} that have finished, again", history
    number = render.number_of(left.total(), "task")
    return f"{number} left, taken to be like the {len(history):,} that have finished", alike(left, history, seed)


def _history(client: Client, jobs: list[int] | None) -> Iterator[Measured]:
    from distcomp.api import Filter
    from distcomp.simulate import Measured

    for task in client.tasks(Filter(states=(State.FINISHED,), jobs=tuple(jobs or ())), MOST_READ):
        if task.outcome:
            usage = task.outcome.usage
            yield Measured(usage.peak_bytes, usage.wall_s, usage.cpu_s, task.kind or "", task.outcome.course)


def _left(client: Client) -> Counter[str]:
    """Tasks by kind that have not ended. Those that run now are taken to begin anew."""
    from distcomp.api import Filter

    waiting = client.tasks(Filter(states=(State.TODO, State.RUNNING)))
    return Counter(task.kind or "" for task in islice(waiting, MOST_READ))


def _nodes_of(client: Client) -> list[NodeSpec]:
    """Those of the workers, or this one."""
    from distcomp.simulate import NodeSpec

    live = [worker for worker in client.workers() if worker.state != "silent" and worker.total_memory_bytes]
    return [NodeSpec(worker.total_memory_bytes, worker.total_cores) for worker in live] or [_this_node()]


def _this_node() -> NodeSpec:
    from distcomp.memory import NodeMemoryReader
    from distcomp.simulate import NodeSpec
    from distcomp.worker.node import usable_cores

    return NodeSpec(NodeMemoryReader().read().total_bytes, usable_cores())


def _parsed(nodes: str) -> list[NodeSpec]:
    from distcomp.simulate import parse_nodes

    return parse_nodes(nodes) if nodes else []


def _as_set(settings: Settings) -> PolicyChoice:
    from distcomp.packing import Victim
    from distcomp.simulate import ours

    return ours(
        Victim(settings.victim),
        settings.keep_free_fraction,
        max_attempts=settings.max_tasks,
        keep_free_floor_bytes=settings.keep_free_floor_bytes,
    )


def _choices(names: list[str] | None, ours: PolicyChoice) -> list[PolicyChoice]:
    from distcomp.simulate import POLICIES

    if not names:
        return [ours]
    if names == ["all"]:
        return list(POLICIES.values())
    for name in names:
        if name not in POLICIES:
            raise BadUsage(f"{name!r} is no policy: all, {', '.join(POLICIES)}.")
    return [POLICIES[name] for name in names]


def _row(policy: str, forecast: Forecast) -> Row:
    from distcomp.simulate import format_nodes

    report, stride = forecast.report, forecast.stride
    return Row(
        policy=policy,
        nodes=format_nodes(forecast.nodes),
        tasks=report.tasks,
        makespan_s=forecast.makespan_s,
        bound_s=report.bound_s * stride,
        ratio=report.ratio,
        wasted_fraction=report.wasted_fraction,
        returns=report.returns * stride,
        most_returns=report.most_returns,
        oom_kills=report.oom_kills * stride,
        memory_fraction=report.memory_fraction,
        cores_fraction=report.cores_fraction,
        failed=report.failed * stride,
        is_complete=report.is_complete,
    )


def _lines(answer: Answer) -> Iterator[str]:
    yield answer.workload
    head = ("nodes", "policy", "time", "bound", "ratio", "wasted", "returns", "kernel kills", "memory", "cores")
    yield from render.table(head, [_cells(row) for row in answer.rows], right=head[2:])
    for row in answer.rows:
        if row.failed:
            yield f"{row.policy}: {render.number_of(row.failed, 'task')} need more memory than any node has"
        if not row.is_complete:
            yield f"{row.policy}: broken off, as it took {row.ratio:.0f} times the bound and had not done all"


def _cells(row: Row) -> tuple[str, ...]:
    return (
        row.nodes,
        row.policy,
        render.duration(row.makespan_s) if row.is_complete else f">{render.duration(row.makespan_s)}",
        render.duration(row.bound_s),
        f"{row.ratio:.2f}",
        f"{100 * row.wasted_fraction:.0f} %",
        f"{row.returns:,}",
        f"{row.oom_kills:,}",
        f"{100 * row.memory_fraction:.0f} %",
        f"{100 * row.cores_fraction:.0f} %",
    )
