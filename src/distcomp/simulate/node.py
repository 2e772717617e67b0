"""The physics of a simulated node: memory and cores that attempts share, and a kernel that kills when memory is out."""

from __future__ import annotations

import math
from dataclasses import dataclass
from enum import Enum

from distcomp.simulate.attempts import Attempt, Lane
from distcomp.simulate.workload import NodeSpec, Task

_BUSY_CORES = 0.5
"""An attempt that keeps more of a core busy than this is slowed where cores are short; others get what they ask."""
_LEAST_SHARE = 0.1
_GIB = 2**30


class Kernel(Enum):
    """Whom the kernel kills when memory is out: by its own measure, or by ours (oom_score_adj)."""

    LARGEST = 1
    NEWEST = 2


@dataclass(frozen=True, slots=True, eq=False)
class Over:
    """An attempt that is over. `is_killed`: it did not end by itself. `was_alone`: nothing else ran."""

    attempt: Attempt
    is_killed: bool
    is_oom: bool = False
    was_alone: bool = False


class Node:
    """One node. `advance` moves its time on; what happened then is in `over`.

    `running` has the oldest first. `risen_bytes` is by how much attempts have outgrown what was known, in all, and
    `rise_bytes_per_s` how fast they do so now; `growth_bytes_per_s` is how fast they grow.
    """

    def __init__(self, number: int, spec: NodeSpec, kernel: Kernel) -> None:
        self.number, self.spec, self.kernel = number, spec, kernel
        self.running: list[Attempt] = []
        self.dying: list[Attempt] = []
        self.over: list[Over] = []
        self.now_s = self.used_bytes = self.known_bytes = self.risen_bytes = 0.0
        self.wanted_cores = self.memory_byte_s = self.core_s = 0.0
        self.oom_kills = self.stalls = 0
        self.is_stalled = False
        self._calm, self._busy, self._stopped = Lane(), Lane(), Lane()
        self._stopped.speed = 0.0
        self.growth_bytes_per_s = self.rise_bytes_per_s = self._dying_bytes = 0.0
        self._keys = 0

    @property
    def available_bytes(self) -> float:
        """Memory that nobody uses."""
        return self.spec.memory_bytes - self.spec.foreign_bytes - self.used_bytes - self._dying_bytes

    @property
    def spare_bytes(self) -> float:
        """Memory that nobody uses, and that nobody who runs is known to use again."""
        return self.available_bytes - (self.known_bytes - self.used_bytes)

    @property
    def dying_bytes(self) -> float:
        """Memory of attempts that have been killed and are not gone yet."""
        return self._dying_bytes

    @property
    def busy_cores(self) -> float:
        """Cores at work for attempts."""
        return min(self.wanted_cores, self.spec.cores - self.spec.foreign_cores)

    def start(self, task: Task, need_bytes: float) -> None:
        """Begin an attempt."""
        self._keys += 1
        attempt = Attempt(task, self._keys, need_bytes, self.now_s)
        # What it takes at once has risen, too.
        self.risen_bytes += attempt.known_bytes - need_bytes
        self.running.append(attempt)
        self._enter(attempt, 0.0)
        self._sum_up()

    def kill(self, attempt: Attempt) -> None:
        """End an attempt; its memory is free when it is gone."""
        used_bytes = self._stop(attempt)
        attempt.gone_s = self.now_s + self.spec.kill_s + self.spec.kill_s_per_gib * used_bytes / _GIB
        self.dying.append(attempt)
        self._sum_up()

    def next_event_s(self) -> float:
        """When something happens by itself next."""
        next_s = min((attempt.gone_s for attempt in self.dying), default=math.inf)
        for lane in (self._calm, self._busy):
            if lane.turns:
                next_s = min(next_s, self.now_s + max(0.0, lane.turns[0][0] - lane.work_s) / lane.speed)
        if self.growth_bytes_per_s > 0:
            next_s = min(next_s, self.now_s + max(0.0, self.available_bytes) / self.growth_bytes_per_s)
        return next_s

    def advance(self, now_s: float) -> None:
        """Let time pass, no further than to the next event, and let happen what happens then."""
        self._pass_time(now_s - self.now_s)
        self.now_s = now_s
        gone = [attempt for attempt in self.dying if attempt.gone_s <= now_s + 1e-9]
        self.over += [Over(attempt, is_killed=True) for attempt in gone]
        self.dying = [attempt for attempt in self.dying if attempt not in gone]
        has_turned = self._turn(self._calm) | self._turn(self._busy)
        if gone or has_turned:
            self._sum_up()
        if self.is_stalled and not self.dying and self.available_bytes > 1:
            self._resume()
        while self.growth_bytes_per_s > 0 and self.available_bytes <= 1:
            self._run_out()

    def _pass_time(self, passed_s: float) -> None:
        if passed_s <= 0:
            return
        before = self.used_bytes
        self.used_bytes += self.growth_bytes_per_s * passed_s
        self.known_bytes += self.rise_bytes_per_s * passed_s
        self.risen_bytes += self.rise_bytes_per_s * passed_s
        self.memory_byte_s += passed_s * ((before + self.used_bytes) / 2 + self._dying_bytes)
        self.core_s += passed_s * self.busy_cores
        self._calm.work_s += passed_s
        self._busy.work_s += passed_s * self._busy.speed

    def _turn(self, lane: Lane) -> bool:
        has_turned = False
        while attempt := lane.pop_due():
            has_turned = True
            if attempt.done_s < attempt.line_end_s - 1e-7:
                lane.next_turn(attempt)
            elif attempt.end_line():
                self._enter(attempt, attempt.start_s)
            else:
                self.running.remove(attempt)
                self.over.append(Over(attempt, is_killed=False))
        return has_turned

    def _enter(self, attempt: Attempt, done_s: float) -> None:
        attempt.cores = attempt.task.cores
        if self.spec.fill_bytes_per_s and attempt.slope > 0:
            attempt.cores = max(attempt.cores, min(1.0, attempt.slope / self.spec.fill_bytes_per_s))
        lane = self._busy if attempt.cores > _BUSY_CORES else self._calm
        lane.enter(attempt, done_s)

    def _stop(self, attempt: Attempt) -> float:
        used_bytes = attempt.used_bytes
        attempt.known_bytes = max(attempt.known_bytes, used_bytes)
        self.running.remove(attempt)
        attempt.lane.leave(attempt)
        attempt.held_byte_s = attempt.memory_byte_s
        attempt.level, attempt.slope = used_bytes, 0.0
        return used_bytes

    def _sum_up(self) -> None:
        slopes, rises = dict.fromkeys(self._lanes, 0.0), dict.fromkeys(self._lanes, 0.0)
        wanted = dict.fromkeys(self._lanes, 0.0)
        used = known = 0.0
        for attempt in self.running:
            now = attempt.used_bytes
            used += now
            known += max(now, attempt.known_bytes)
            wanted[attempt.lane] += attempt.cores
            slopes[attempt.lane] += attempt.slope
            if attempt.is_rising:
                rises[attempt.lane] += attempt.slope
        self.used_bytes, self.known_bytes, self.wanted_cores = used, known, sum(wanted.values())
        left = self.spec.cores - self.spec.foreign_cores - wanted[self._calm]
        left = max(left, _LEAST_SHARE * self.spec.cores)
        self._busy.speed = min(1.0, left / wanted[self._busy]) if wanted[self._busy] else 1.0
        self.growth_bytes_per_s = sum(lane.speed * slope for lane, slope in slopes.items())
        self.rise_bytes_per_s = sum(lane.speed * rise for lane, rise in rises.items())
        self._dying_bytes = sum(attempt.level for attempt in self.dying)

    @property
    def _lanes(self) -> tuple[Lane, Lane, Lane]:
        return self._calm, self._busy, self._stopped

    def _run_out(self) -> None:
        if self.spec.is_stalling:
            self._stall()
            return
        self.oom_kills += 1
        newest = self.running[-1]
        victim = newest if self.kernel is Kernel.NEWEST else max(self.running, key=lambda one: one.used_bytes)
        was_alone = len(self.running) == 1 and not self.dying
        self._stop(victim)
        self.over.append(Over(victim, is_killed=True, is_oom=True, was_alone=was_alone))
        self._sum_up()

    def _stall(self) -> None:
        """Who wants more memory waits for it."""
        self.is_stalled, self.stalls = True, self.stalls + 1
        for attempt in self.running:
            if attempt.slope > 0 and attempt.lane is not self._stopped:
                done_s = attempt.done_s
                attempt.lane.leave(attempt)
                self._stopped.enter(attempt, done_s)
        self._sum_up()

    def _resume(self) -> None:
        self.is_stalled = False
        self._stopped.turns.clear()
        for attempt in self.running:
            if attempt.lane is self._stopped:
                self._enter(attempt, attempt.done_s)
        self._sum_up()
