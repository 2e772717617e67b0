"""Runs a workload through a policy, by name: the simulator's front door."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial

from distcomp.packing import NodeLimits, Tuning, Victim
from distcomp.simulate.engine import Report, Simulation
from distcomp.simulate.families import family
from distcomp.simulate.policy import Packing, Policy
from distcomp.simulate.rivals import Lines, Optimist, Reserve, with_largest_peak, with_true_peaks
from distcomp.simulate.workload import NodeSpec, Task, lower_bound_s

BROKEN_OFF = 15.0
"""A run that takes so many times its lower bound is broken off."""


@dataclass(frozen=True, slots=True)
class PolicyChoice:
    """A policy by name. `prepare` is what its users would have to declare."""

    name: str
    make: Callable[[NodeSpec], Policy]
    prepare: Callable[[Sequence[Task]], Sequence[Task]] | None = None


def ours(
    victim: Victim = Victim.CHEAPEST,
    keep_free_fraction: float = 0.03,
    tuning: Tuning | None = None,
    max_attempts: int = 0,
    keep_free_floor_bytes: int = 0,
    *,
    pauses: bool = True,
) -> PolicyChoice:
    """distcomp's own policy, with these settings; without `pauses` the kernel kills where memory runs out."""

    def make(node: NodeSpec) -> Policy:
        keep_free_bytes = max(int(keep_free_fraction * node.memory_bytes), keep_free_floor_bytes)
        keep_free_bytes = min(keep_free_bytes, node.memory_bytes // 8)
        limits = NodeLimits(node.cores, max_attempts, keep_free_bytes, victim, tuning=tuning or Tuning())
        return Packing(limits, pauses=pauses)

    return PolicyChoice(victim.value, make)


_CHOICES = (
    ours(Victim.CHEAPEST),
    ours(Victim.NEWEST),
    PolicyChoice("reserve-true", Reserve, with_true_peaks),
    PolicyChoice("reserve-largest", Reserve, with_largest_peak),
    PolicyChoice("lifo", lambda _node: Optimist(0.0)),
    PolicyChoice("lifo+need", lambda _node: Optimist(1.25)),
    PolicyChoice("memfree", partial(Lines, start_above=0.25, kill_below=0.125, every_s=1.0)),
    PolicyChoice("ray-95", partial(Lines, start_above=0.05, kill_below=0.05, every_s=0.5)),
    PolicyChoice("original", partial(Lines, start_above=0.31, kill_below=0.16, every_s=2.0, looks_a_kill=2)),
)
POLICIES = {choice.name: choice for choice in _CHOICES}


def simulate(
    workload: str | Sequence[Task],
    nodes: Sequence[NodeSpec],
    policy: PolicyChoice | str = "cheapest",
    seed: int = 0,
    tasks_per_node: int = 200,
    broken_off: float = BROKEN_OFF,
) -> Report:
    """Run a workload, all there from the start, on nodes.

    Args:
        workload: tasks, or the name of a family (families.py), made for the first node with this seed.
        policy: one of POLICIES, or a choice made by `ours`.
        broken_off: after so many times the lower bound.

    Raises:
        ValueError: no such family.
        KeyError: no such policy.
    """
    choice = POLICIES[policy] if isinstance(policy, str) else policy
    if isinstance(workload, str):
        workload = family(workload, tasks_per_node * len(nodes), seed, nodes[0])
    tasks = choice.prepare(workload) if choice.prepare else workload
    until_s = broken_off * lower_bound_s(tasks, nodes)
    return Simulation(tasks, nodes, choice.make).run(until_s)
