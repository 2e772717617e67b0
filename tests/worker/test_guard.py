"""Between two looks: glances where memory may be out before the second, and none where it may not."""

from __future__ import annotations

import math
from collections.abc import Iterator

import pytest

from distcomp.model import NodeMemory
from distcomp.packing import NodeLimits, NodeUse
from distcomp.runner.wakeup import Wakeup
from distcomp.worker.guard import Guard, Sight

MIB = 2**20
TOTAL_BYTES = 4096 * MIB
LIMITS = NodeLimits(cores=2, max_attempts=0, keep_free_bytes=120 * MIB)


def use(available_mib: int) -> NodeUse:
    return NodeUse(NodeMemory(TOTAL_BYTES, available_mib * MIB), growth_bytes=0, busy_cores=1, typical_cores=1)


class Watched:
    """A guard, and what it is to see."""

    def __init__(self, wakeup: Wakeup) -> None:
        self.available_mib, self.glances = 0, 0
        self.guard = Guard(self._read, wakeup, fence=None)

    def _read(self) -> NodeMemory:
        self.glances += 1
        return NodeMemory(TOTAL_BYTES, self.available_mib * MIB)

    def look(self, available_mib: int, *, is_busy: bool = True) -> None:
        self.guard.note_look(use(available_mib), LIMITS, 0.0, is_busy=is_busy)

    def glance(self, available_mib: int, at_s: float) -> Sight:
        self.available_mib = available_mib
        return self.guard.glance(use(1000), at_s)


@pytest.fixture
def watched() -> Iterator[Watched]:
    with Wakeup() as wakeup:
        yield Watched(wakeup)


def test_far_from_the_line_nobody_glances(watched: Watched) -> None:
    watched.look(3000)
    assert watched.guard.glance_at_s == math.inf
    assert watched.glance(10, at_s=1000) is Sight.NOTHING
    assert watched.glances == 0


def test_an_idle_node_is_not_glanced_at(watched: Watched) -> None:
    watched.look(125, is_busy=False)
    assert watched.guard.glance_at_s == math.inf


def test_whether_the_end_is_close_is_known_of_an_idle_node_too(watched: Watched) -> None:
    """What starts next on it may be quicker than the next look."""
    assert watched.guard.is_close, "nobody has looked yet"
    watched.look(3000, is_busy=False)
    assert not watched.guard.is_close
    watched.look(125, is_busy=False)
    assert watched.guard.is_close


def test_close_to_it_a_shortage_is_seen_within_milliseconds(watched: Watched) -> None:
    watched.look(200)
    assert watched.guard.glance_at_s == LIMITS.tuning.glance_s
    assert watched.glance(119, at_s=0.001) is Sight.NOTHING, "it is not time yet"
    assert watched.glance(121, at_s=0.005) is Sight.NOTHING, "enough is free"
    assert watched.glance(119, at_s=0.010) is Sight.SHORT


def test_who_comes_close_meanwhile_is_a_reason_to_look(watched: Watched) -> None:
    watched.look(3000)
    watched.guard.glance_at_s = 0.0  # as after an event of the fence
    assert watched.glance(2000, at_s=0.001) is Sight.NOTHING
    assert watched.guard.glance_at_s == math.inf, "one glance for one event"
    watched.guard.glance_at_s = 0.0
    assert watched.glance(250, at_s=0.002) is Sight.CLOSE


def test_a_shortage_that_a_look_could_not_end_is_none_until_it_gets_worse(watched: Watched) -> None:
    """One that is alone and has nearly all may keep it for hours: not 200 looks a second."""
    watched.look(100)
    assert watched.glance(99, at_s=0.005) is Sight.NOTHING
    assert watched.glance(76, at_s=0.010) is Sight.NOTHING
    assert watched.glance(74, at_s=0.015) is Sight.SHORT
