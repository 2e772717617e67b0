"""The tasks that wait, as the store keeps them: by what they are known to need, the oldest first."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass
from heapq import heappop, heappush

from distcomp import packing
from distcomp.model import NodeRoom
from distcomp.simulate.workload import Task


@dataclass(frozen=True, slots=True)
class Waiting:
    """A task that waits. `need_bytes`: what it is known to need; 0: nothing is known."""

    task: Task
    need_bytes: int
    returns: int
    since_s: float


class Pool:
    """What the store does on submission, claim and return (store/lua/claim.lua, give_back.lua)."""

    def __init__(self, tasks: Iterable[Task] = ()) -> None:
        self.fresh: deque[Waiting] = deque()
        self._known: dict[int, list[tuple[int, Waiting]]] = {}
        self._returns: dict[int, int] = {}
        self.add(tasks, 0.0)

    def __len__(self) -> int:
        return len(self.fresh) + sum(map(len, self._known.values()))

    def add(self, tasks: Iterable[Task], now_s: float) -> None:
        """More tasks."""
        for task in tasks:
            waiting = Waiting(task, task.declared_bytes, 0, now_s)
            if task.declared_bytes:
                self._queue(waiting)
            else:
                self.fresh.append(waiting)

    def put_back(self, task: Task, need_bytes: int, now_s: float) -> None:
        """A task was returned."""
        returns = self._returns[task.number] = self._returns.get(task.number, 0) + 1
        waiting = Waiting(task, need_bytes, returns, now_s)
        if need_bytes:
            self._queue(waiting)
        else:
            self.fresh.append(waiting)

    def take_all(self) -> list[Waiting]:
        """All that wait, the oldest first, for policies of their own order."""
        known = [waiting for queue in self._known.values() for _, waiting in queue]
        waiting = sorted([*known, *self.fresh], key=lambda one: one.task.number)
        self._known.clear()
        self.fresh.clear()
        return waiting

    def claim(self, room: NodeRoom, now_s: float, *, makes_room: bool = True) -> list[Waiting]:
        """Tasks for a node: those that fit its room, the oldest first.

        A task that has waited for too long is given to a node that could hold it, if that one `makes_room`.
        """
        if makes_room and room.attempts > 0 and (starving := self._take_starving(room, now_s)):
            return [starving]
        claimed: list[Waiting] = []
        memory_bytes = room.memory_bytes
        while len(claimed) < room.attempts and (waiting := self._take_fitting(memory_bytes, room)):
            claimed.append(waiting)
            memory_bytes -= waiting.need_bytes
        return claimed

    def has_for(self, room_bytes: float, node_bytes: int, now_s: float) -> bool:
        """Whether a claim with so much room could bring anything."""
        return (
            len(self.fresh) > 0
            or any(need <= room_bytes for need in self._known)
            or self._first_starving(node_bytes, now_s) is not None
        )

    def _take_fitting(self, memory_bytes: int, room: NodeRoom) -> Waiting | None:
        fitting = [queue[0] for need, queue in self._known.items() if need <= memory_bytes]
        first = min(fitting, key=lambda entry: entry[0], default=None)
        if self.fresh and memory_bytes >= 0 and (first is None or self.fresh[0].task.number < first[0]):
            if room.unknown_waits and self._has_waiting_before(self.fresh[0], memory_bytes, room):
                return None
            return self.fresh.popleft()
        return None if first is None else self._unqueue(first[1].need_bytes)

    def _has_waiting_before(self, fresh: Waiting, memory_bytes: int, room: NodeRoom) -> bool:
        return any(
            memory_bytes < need <= room.total_memory_bytes and queue[0][0] < fresh.task.number
            for need, queue in self._known.items()
        )

    def _take_starving(self, room: NodeRoom, now_s: float) -> Waiting | None:
        need_bytes = self._first_starving(room.total_memory_bytes, now_s)
        return None if need_bytes is None else self._unqueue(need_bytes)

    def _first_starving(self, node_bytes: int, now_s: float) -> int | None:
        for need, queue in self._known.items():
            waiting = queue[0][1]
            waited_s = now_s - waiting.since_s
            if packing.is_starving(waiting.returns, waited_s) and packing.may_make_room(need, node_bytes, waited_s):
                return need
        return None

    def _queue(self, waiting: Waiting) -> None:
        heappush(self._known.setdefault(waiting.need_bytes, []), (waiting.task.number, waiting))

    def _unqueue(self, need_bytes: int) -> Waiting:
        queue = self._known[need_bytes]
        _, waiting = heappop(queue)
        if not queue:
            del self._known[need_bytes]
        return waiting
