"""One run of a simulated task, and the lanes that attempts of equal speed share."""

from __future__ import annotations

from heapq import heapify, heappop, heappush

from distcomp.simulate.workload import Task

PRECISION_S = 1e-9


class Lane:
    """Attempts that get on at the same speed. Progress is counted in the lane's own time, so that a change of speed
    costs the same for one attempt and for a thousand.

    `work_s`: seconds of work that an attempt could have done here so far. `turns` are the points at which an attempt's
    line of memory changes, the next one first.
    """

    __slots__ = ("_entered", "speed", "turns", "work_s")

    def __init__(self) -> None:
        self.work_s, self.speed = 0.0, 1.0
        self.turns: list[tuple[float, int, Attempt]] = []
        self._entered = 0

    def enter(self, attempt: Attempt, done_s: float) -> None:
        """An attempt that has done so much work goes on here."""
        attempt.lane, attempt.offset_s = self, self.work_s - done_s
        self.next_turn(attempt)

    def next_turn(self, attempt: Attempt) -> None:
        """Put the attempt's next turn in its place among the others."""
        self._entered += 1
        heappush(self.turns, (attempt.offset_s + attempt.aim_s(), self._entered, attempt))

    def leave(self, attempt: Attempt) -> None:
        """It ended before its next turn."""
        self.turns = [turn for turn in self.turns if turn[2] is not attempt]
        heapify(self.turns)

    def pop_due(self) -> Attempt | None:
        """The next attempt whose line changes by now."""
        if self.turns and self.turns[0][0] <= self.work_s + PRECISION_S:
            return heappop(self.turns)[2]
        return None


class Attempt:
    """One run of a task on a node. `known_bytes` is what it has shown, or an earlier attempt of its task."""

    __slots__ = (
        "cores",
        "gone_s",
        "held_byte_s",
        "is_new",
        "is_rising",
        "key",
        "known_bytes",
        "lane",
        "level",
        "line",
        "need_bytes",
        "offset_s",
        "slope",
        "start_s",
        "started_s",
        "task",
    )

    def __init__(self, task: Task, key: int, need_bytes: float, now_s: float) -> None:
        self.task, self.key, self.started_s = task, key, now_s
        self.need_bytes = self.known_bytes = need_bytes
        self.is_new, self.is_rising, self.gone_s = True, False, 0.0
        self.held_byte_s = self.offset_s = 0.0
        self.line = 0
        self.set_line()

    lane: Lane
    cores: float

    def set_line(self) -> None:
        """Begin the present line of memory."""
        (self.start_s, self.level), (end_s, end_level) = self.task.points[self.line : self.line + 2]
        self.slope = (end_level - self.level) / (end_s - self.start_s)
        self.known_bytes = max(self.known_bytes, self.level)

    @property
    def line_end_s(self) -> float:
        """At what work the present line ends."""
        return self.task.points[self.line + 1][0]

    def aim_s(self) -> float:
        """At what work the present line ends, or first exceeds what is known; finds out whether it does already."""
        used, end = self.used_bytes, self.task.points[self.line + 1][1]
        # What it reaches within the clock's own precision it has reached, or the turn would come again and again.
        self.is_rising = self.slope > 0 and used >= self.known_bytes - 1 - self.slope * 2 * PRECISION_S
        if self.slope > 0 and not self.is_rising and end > self.known_bytes:
            return self.done_s + (self.known_bytes - used) / self.slope
        return self.line_end_s

    @property
    def done_s(self) -> float:
        """Work done."""
        return self.lane.work_s - self.offset_s

    @property
    def used_bytes(self) -> float:
        """Memory in use now."""
        return self.level + self.slope * (self.lane.work_s - self.offset_s - self.start_s)

    @property
    def memory_byte_s(self) -> float:
        """Memory held so far, times how long."""
        spent_s = self.done_s - self.start_s
        return self.held_byte_s + spent_s * (self.level + self.slope * spent_s / 2)

    def end_line(self) -> bool:
        """Go on to the next line; False when there is none."""
        (start_s, low), (end_s, high) = self.task.points[self.line : self.line + 2]
        self.held_byte_s += (end_s - start_s) * (low + high) / 2
        self.known_bytes = max(self.known_bytes, high)
        self.line += 1
        if self.line == len(self.task.points) - 1:
            return False
        self.set_line()
        return True
