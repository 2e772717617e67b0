"""Runs tasks on nodes by a policy, on a virtual clock."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from heapq import heappop, heappush

from distcomp.simulate.node import Node, Over
from distcomp.simulate.policy import Policy
from distcomp.simulate.pool import Pool
from distcomp.simulate.workload import NodeSpec, Task, lower_bound_s

_RESTING_S = 1.0
"""A node that looks less often than this has found nothing to do."""

PolicyMaker = Callable[[NodeSpec], Policy]


@dataclass(frozen=True, slots=True)
class Report:
    """How it went.

    Args:
        makespan_s: until the last task was done; until it was broken off, where some were not.
        bound_s: no schedule is faster.
        finished, failed, tasks: how many; the rest were left when it was broken off.
        kept_s, wasted_s: task-seconds of attempts that finished, and of those that were killed.
        returns: attempts that were killed; most_returns: of one task.
        t90_s: until nine tenths of the tasks were done.
        memory_fraction, cores_fraction: mean use of what there is.
    """

    makespan_s: float
    bound_s: float
    tasks: int
    finished: int
    failed: int
    kept_s: float
    wasted_s: float
    returns: int
    most_returns: int
    oom_kills: int
    stalls: int
    t90_s: float
    memory_fraction: float
    cores_fraction: float

    @property
    def ratio(self) -> float:
        """Makespan over its lower bound."""
        return self.makespan_s / self.bound_s

    @property
    def wasted_fraction(self) -> float:
        """Of all task-seconds."""
        return self.wasted_s / max(1e-9, self.kept_s + self.wasted_s)

    @property
    def is_complete(self) -> bool:
        """Whether all tasks came to an end."""
        return self.finished + self.failed == self.tasks


@dataclass(slots=True)
class _Tally:
    kept_s: float = 0.0
    wasted_s: float = 0.0
    failed: int = 0
    ends_s: list[float] = field(default_factory=list)
    returns: dict[int, int] = field(default_factory=dict)


class Simulation:
    """One run. `step` may be called until `is_over`; tasks may be added to the pool meanwhile."""

    def __init__(self, tasks: Sequence[Task], nodes: Sequence[NodeSpec], make_policy: PolicyMaker) -> None:
        self.pool = Pool(tasks)
        self.now_s = 0.0
        self.policies = [make_policy(spec) for spec in nodes]
        self.nodes = [
            Node(number, replace(spec, is_stalling=spec.is_stalling or policy.pauses), policy.kernel)
            for number, (spec, policy) in enumerate(zip(nodes, self.policies, strict=True))
        ]
        self.tally = _Tally()
        self._tasks, self._specs = tasks, nodes
        self._largest_bytes = max(spec.memory_bytes for spec in nodes)
        self._look_s, self._looked_s = [0.0] * len(nodes), [0.0] * len(nodes)
        self._heap: list[tuple[float, int]] = []
        self._resting: set[int] = set()
        self._next_s = [math.inf] * len(nodes)
        for node in self.nodes:
            self._schedule(node)

    @property
    def is_over(self) -> bool:
        """Whether nothing runs and nothing waits."""
        return not len(self.pool) and not any(node.running or node.dying for node in self.nodes)

    def run(self, until_s: float) -> Report:
        """Until all tasks are done, or until then."""
        left = len(self._tasks)
        while self._heap and len(self.tally.ends_s) + self.tally.failed < left and self._heap[0][0] <= until_s:
            self.step()
        return self.report()

    def step(self) -> None:
        """The next thing that happens on any node."""
        now_s, number = heappop(self._heap)
        if now_s != self._next_s[number]:
            # It was put off, or put forward and is done.
            return
        self.now_s = now_s
        node, policy = self.nodes[number], self.policies[number]
        stalls = node.stalls
        node.advance(now_s)
        self._settle(node, policy)
        if node.stalls > stalls:
            # The worker is woken by the event.
            self._look_s[number] = now_s
        if now_s >= self._look_s[number] - 1e-9:
            self._looked_s[number] = now_s
            interval_s = policy.look(node, self.pool, now_s)
            self._look_s[number] = now_s + interval_s
            (self._resting.add if interval_s > _RESTING_S else self._resting.discard)(number)
        self._schedule(node)

    def _schedule(self, node: Node) -> None:
        next_s = min(node.next_event_s(), self._look_s[node.number])
        self._next_s[node.number] = next_s
        heappush(self._heap, (next_s, node.number))

    def _settle(self, node: Node, policy: Policy) -> None:
        for over in node.over:
            self._settle_one(over, policy.ended(over, node), node)
        node.over.clear()
        # Whatever has happened: an end wakes the worker, and the policy may have relied on nothing else happening.
        number = node.number
        self._look_s[number] = min(self._look_s[number], max(self.now_s, self._looked_s[number] + policy.soon_s))

    def _settle_one(self, over: Over, need_bytes: int, node: Node) -> None:
        task, tally = over.attempt.task, self.tally
        spent_s = node.now_s - over.attempt.started_s
        if not over.is_killed:
            tally.kept_s += spent_s
            tally.ends_s.append(node.now_s)
            return
        tally.wasted_s += spent_s
        tally.returns[task.number] = tally.returns.get(task.number, 0) + 1
        if need_bytes > self._largest_bytes:
            tally.failed += 1
        else:
            self.pool.put_back(task, need_bytes, node.now_s)
            self._ring(need_bytes)

    def _ring(self, need_bytes: int) -> None:
        """Wake the nodes that have stopped looking and may hold such a task."""
        for number in list(self._resting):
            node = self.nodes[number]
            if not node.running or node.spare_bytes >= need_bytes:
                node_look_s = max(self.now_s, self._looked_s[number] + self.policies[number].soon_s)
                self._look_s[number] = min(self._look_s[number], node_look_s)
                self._schedule(node)

    def report(self) -> Report:
        """How it went so far."""
        tally, now_s = self.tally, max(self.now_s, 1e-9)
        ends_s, ninth = sorted(tally.ends_s), math.ceil(0.9 * len(self._tasks)) - 1
        return Report(
            makespan_s=now_s,
            bound_s=lower_bound_s(self._tasks, self._specs),
            tasks=len(self._tasks),
            finished=len(ends_s),
            failed=tally.failed,
            kept_s=tally.kept_s,
            wasted_s=tally.wasted_s,
            returns=sum(tally.returns.values()),
            most_returns=max(tally.returns.values(), default=0),
            oom_kills=sum(node.oom_kills for node in self.nodes),
            stalls=sum(node.stalls for node in self.nodes),
            t90_s=ends_s[ninth] if ninth < len(ends_s) else now_s,
            memory_fraction=sum(node.memory_byte_s for node in self.nodes)
            / (now_s * sum(spec.memory_bytes for spec in self._specs)),
            cores_fraction=sum(node.core_s for node in self.nodes) / (now_s * sum(spec.cores for spec in self._specs)),
        )
