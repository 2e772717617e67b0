"""Other policies, as models of what one might do instead: for comparison only."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from distcomp.model import NodeRoom
from distcomp.packing import Place, need_after
from distcomp.simulate.node import Kernel, Node, Over
from distcomp.simulate.pool import Pool
from distcomp.simulate.workload import NodeSpec, Task

_NEVER = 2**62


def with_true_peaks(tasks: Sequence[Task]) -> list[Task]:
    """As if each user knew exactly what to declare."""
    return [replace(task, declared_bytes=max(1, int(task.peak_bytes))) for task in tasks]


def with_largest_peak(tasks: Sequence[Task]) -> list[Task]:
    """As if one number had to do for all of them."""
    largest = max(int(task.peak_bytes) for task in tasks)
    return [replace(task, declared_bytes=largest) for task in tasks]


class Reserve:
    """Reserves what was declared, for as long as the task runs; as many as there are cores."""

    kernel = Kernel.LARGEST
    pauses = False
    soon_s = 0.0

    def __init__(self, node: NodeSpec, jobs: int = 0) -> None:
        self._jobs = jobs or int(node.cores)

    def look(self, node: Node, pool: Pool, now_s: float) -> float:
        """Start whatever fits."""
        reserved = sum(attempt.task.declared_bytes for attempt in node.running)
        spec = node.spec
        room = NodeRoom(
            self._jobs - len(node.running), spec.memory_bytes - reserved, spec.cores, spec.memory_bytes, spec.cores
        )
        for waiting in pool.claim(room, now_s, makes_room=False):
            node.start(waiting.task, waiting.need_bytes)
        return 1.0

    def ended(self, over: Over, _node: Node) -> int:
        """Nothing is learned, but that what was declared was too little."""
        return max(int(over.attempt.known_bytes), over.attempt.task.declared_bytes)


class Lines:
    """Starts while more than one part of memory is free, kills the newest when less than another is; remembers nothing.

    GNU parallel's --memfree, Ray and the original distComp, each with its own parts; one start or kill a look.
    """

    kernel = Kernel.LARGEST
    pauses = False
    soon_s: float = _NEVER

    def __init__(
        self,
        node: NodeSpec,
        *,
        start_above: float,
        kill_below: float,
        every_s: float,
        looks_a_kill: int = 1,
        jobs: int = 0,
    ) -> None:
        self._start_above, self._kill_below, self._every_s = start_above, kill_below, every_s
        self._looks_a_kill, self._jobs = looks_a_kill, jobs or int(node.cores)
        self._looks = 0

    def look(self, node: Node, pool: Pool, now_s: float) -> float:
        """Kill one, or start one."""
        self._looks += 1
        free = node.available_bytes / node.spec.memory_bytes
        if free < self._kill_below and len(node.running) > 1 and self._looks % self._looks_a_kill == 0:
            node.kill(node.running[-1])
        elif (free > self._start_above or not node.running) and len(node.running) < self._jobs:
            _start(node, pool, 1, _NEVER, now_s)
        return self._every_s

    def ended(self, _over: Over, _node: Node) -> int:
        """Nothing is remembered."""
        return 0


class Optimist:
    """Starts up to four a look while memory is free, kills the newest when it is not; what a victim had reached, times
    `memory`, is what it needs next time: 0 forgets it.
    """

    kernel = Kernel.NEWEST
    pauses = False
    soon_s: float = _NEVER

    def __init__(self, memory: float) -> None:
        self._memory = memory
        self._used_bytes = 0.0

    def look(self, node: Node, pool: Pool, now_s: float) -> float:
        """Kill until there is room, or start while there is."""
        used_bytes = node.used_bytes + node.dying_bytes
        growth, self._used_bytes = max(0.0, used_bytes - self._used_bytes), used_bytes
        spec = node.spec
        line = max(0.03 * spec.memory_bytes, 1.5 * growth)
        if node.available_bytes + node.dying_bytes < line:
            while node.available_bytes + node.dying_bytes < line and len(node.running) > 1:
                node.kill(node.running[-1])
            return 1.0
        regrowth = node.known_bytes - node.used_bytes if self._memory else 0.0
        room = min(node.available_bytes - line, node.available_bytes - 0.03 * spec.memory_bytes - regrowth)
        if node.running and room <= 0:
            return 1.0
        starts = min(4, int(spec.cores - node.wanted_cores))
        _start(node, pool, max(starts, not node.running), int(room) if node.running else spec.memory_bytes, now_s)
        return 1.0

    def ended(self, over: Over, node: Node) -> int:
        """What it had reached is remembered, or not."""
        if not self._memory:
            return 0
        if over.was_alone:
            return need_after(0, 0, Place(node.spec.memory_bytes, was_alone=True))
        return min(int(over.attempt.known_bytes * self._memory), node.spec.memory_bytes)


def _start(node: Node, pool: Pool, most: int, memory_bytes: int, now_s: float) -> None:
    spec = node.spec
    room = NodeRoom(most, memory_bytes, spec.cores, spec.memory_bytes, spec.cores)
    for waiting in pool.claim(room, now_s, makes_room=False):
        node.start(waiting.task, waiting.need_bytes)
