"""The policy under test: distcomp's own, through the very functions that the worker calls."""

from __future__ import annotations

import math
from typing import Protocol

from distcomp import packing
from distcomp.model import NodeMemory
from distcomp.packing import Load, NodeLimits, NodeUse
from distcomp.simulate.attempts import Attempt
from distcomp.simulate.node import Kernel, Node, Over
from distcomp.simulate.pool import Pool, Waiting

_WINDOW = 32
_TELLING = 8
"""Attempts that have to end before their duration counts."""


class Policy(Protocol):
    """Decides for one node. Each node has a policy of its own.

    `kernel`: whom the kernel would take. `pauses`: where memory runs out, it lets attempts stand still and looks at
    once, before the kernel kills. `soon_s`: how soon after a look an end may cause another.
    """

    kernel: Kernel
    pauses: bool
    soon_s: float

    def look(self, node: Node, pool: Pool, now_s: float) -> float:
        """Kill and start what is to be killed and started; in how many seconds to look again."""
        ...

    def ended(self, over: Over, node: Node) -> int:
        """An attempt is over; what its task is now known to need. More than any node has: it fails."""
        ...


class Packing:
    """What the worker does, on one simulated node."""

    kernel = Kernel.NEWEST

    def __init__(self, limits: NodeLimits, *, pauses: bool = True) -> None:
        self.limits, self.pauses = limits, pauses
        self.soon_s = limits.tuning.near_s
        self._held: Waiting | None = None
        self._looked_s = self._risen = self._trend = 0.0
        self._ended = 0
        self._typical_cores, self._log_wall_s = 1.0, 0.0
        self._attempts = self._outgrown = 0

    def look(self, node: Node, pool: Pool, now_s: float) -> float:
        """See how the node is; relieve it, or fill it."""
        use = self._use(node, now_s)
        if node.is_stalled or use.memory.available_bytes < packing.line_bytes(use, self.limits):
            self._relieve(use, node)
        elif self._may_start(node, pool, now_s):
            self._fill(use, node, pool, now_s)
        elif not node.dying:
            self._attempts = len(node.running)
            return max(self._quiet_s(node), packing.look_interval_s(use, (), self.limits))
        has_new = len(node.running) > self._attempts
        self._attempts = len(node.running)
        if has_new or node.dying:
            for attempt in node.running:
                attempt.is_new = False
            return self.limits.tuning.near_s
        return packing.look_interval_s(use, (), self.limits)

    def ended(self, over: Over, node: Node) -> int:
        """Learn from an attempt's end."""
        attempt = over.attempt
        wall_s = max(node.now_s - attempt.started_s, 1e-4)
        if not over.is_killed:
            self._ended += 1
            cores = attempt.task.work_s * attempt.task.cores / wall_s
            self._typical_cores += (cores - self._typical_cores) / min(self._ended + 1, _WINDOW)
            self._log_wall_s += (math.log(wall_s) - self._log_wall_s) / min(self._ended, _WINDOW)
            return 0
        place = packing.Place(node.spec.memory_bytes, was_alone=over.was_alone or attempt.key == self._outgrown)
        return packing.need_after(int(attempt.known_bytes), int(attempt.need_bytes), place)

    def _use(self, node: Node, now_s: float) -> NodeUse:
        since_s, self._looked_s = now_s - self._looked_s, now_s
        growth, self._risen = int(node.risen_bytes - self._risen), node.risen_bytes
        typical_s = self._typical_wall_s(node)
        horizon_s = packing.trend_horizon_s(typical_s, self.limits)
        self._trend = packing.trend_bytes_per_s(self._trend, growth, since_s, horizon_s)
        foreign_cores = node.spec.foreign_cores
        return NodeUse(
            NodeMemory(node.spec.memory_bytes, max(0, int(node.available_bytes))),
            growth,
            node.busy_cores + foreign_cores,
            self._typical_cores,
            since_s,
            self._trend,
            typical_s,
            self._attempts,
            foreign_cores,
            node.is_stalled,
        )

    def _typical_wall_s(self, node: Node) -> float:
        if self._ended >= _TELLING or not node.running:
            return math.exp(self._log_wall_s) if self._ended else 0.0
        return node.now_s - sum(attempt.started_s for attempt in node.running) / len(node.running)

    def _loads(self, node: Node, since_s: float) -> list[Load]:
        attempts = sorted((*node.running, *node.dying), key=lambda attempt: attempt.key)
        return [
            Load(
                attempt.key,
                int(attempt.used_bytes),
                int(attempt.known_bytes),
                0.0,
                attempt.is_new,
                int(attempt.need_bytes),
                attempt.memory_byte_s,
                attempt.gone_s > 0,
                self._grown_bytes(attempt, since_s),
            )
            for attempt in attempts
        ]

    def _grown_bytes(self, attempt: Attempt, since_s: float) -> int:
        """By how much it outgrew what was known, at about the present rate, since the last look."""
        if attempt.started_s >= self._looked_s - since_s:
            return int(attempt.known_bytes - attempt.need_bytes)
        return int(attempt.slope * attempt.lane.speed * since_s) if attempt.is_rising else 0

    def _relieve(self, use: NodeUse, node: Node) -> None:
        by_key = {attempt.key: attempt for attempt in node.running}
        for returned in packing.relieve_pressure(use, self._loads(node, use.since_s), self.limits):
            node.kill(by_key[returned.key])
            if returned.has_outgrown_node:
                self._outgrown = returned.key

    def _may_start(self, node: Node, pool: Pool, now_s: float) -> bool:
        """Most looks end here, before anything is built: what packing itself would come to."""
        if not node.running:
            return self._held is not None or len(pool) > 0
        room_bytes = node.spare_bytes - self.limits.keep_free_bytes
        if self._held:
            return room_bytes >= self._held.need_bytes
        gap_bytes = self.limits.tuning.gap_fraction * node.spec.memory_bytes
        return room_bytes > gap_bytes and pool.has_for(room_bytes, node.spec.memory_bytes, now_s)

    def _quiet_s(self, node: Node) -> float:
        """How long no look would do anything unless something happens before: nothing can start, memory is not short.

        The worker looks all the same. Here it would only take time.
        """
        if node.growth_bytes_per_s <= 0:
            return math.inf
        tuning = self.limits.tuning
        line = max(self.limits.keep_free_bytes, tuning.lookahead * node.rise_bytes_per_s * tuning.react_s)
        return (node.available_bytes - line) / node.growth_bytes_per_s + tuning.near_s / 2

    def _fill(self, use: NodeUse, node: Node, pool: Pool, now_s: float) -> None:
        loads = self._loads(node, use.since_s)
        if self._held:
            if packing.fits(use, loads, self.limits, self._held.need_bytes):
                node.start(self._held.task, self._held.need_bytes)
                self._held = None
            return
        room = packing.room(use, loads, self.limits)
        claimed = pool.claim(room, now_s)
        if claimed and claimed[0].need_bytes > room.memory_bytes:
            self._held = claimed.pop(0)
        for waiting in claimed:
            node.start(waiting.task, waiting.need_bytes)
