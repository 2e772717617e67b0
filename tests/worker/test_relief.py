"""When memory is short: who goes back dies, the others wait until what it had is free. Real processes."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest

from distcomp.clock import Clock, SystemClock
from distcomp.model import Cause, NodeMemory
from distcomp.packing import Load, NodeLimits, NodeUse, Victim
from distcomp.runner.attempt import RunningAttempt
from distcomp.runner.limits import RunnerLimits
from distcomp.runner.trees import read_process
from distcomp.worker.relief import LONGEST_PAUSE_S, Relief
from tests.runner.driving import Driver
from tests.support.waiting import wait_until

MIB = 2**20
LIMITS = NodeLimits(cores=2, max_attempts=0, keep_free_bytes=100 * MIB, victim=Victim.NEWEST)


class Later(SystemClock):
    """A clock that is ahead."""

    ahead_s = 0.0

    def monotonic_s(self) -> float:
        return super().monotonic_s() + self.ahead_s


@pytest.fixture
def driver(tmp_path: Path) -> Iterator[Driver]:
    driver = Driver(tmp_path, RunnerLimits())
    yield driver
    driver.close()


def act(relief: Relief, running: Sequence[RunningAttempt], available_mib: int) -> None:
    use = NodeUse(NodeMemory(4096 * MIB, available_mib * MIB), growth_bytes=0, busy_cores=1, typical_cores=1)
    loads = [
        Load(attempt.number, 200 * MIB, 200 * MIB, 0, is_new=False, is_dying=attempt.is_dying) for attempt in running
    ]
    relief.act(use, loads, LIMITS, running)


def state_of(attempt: RunningAttempt) -> bytes:
    row = read_process(attempt.pid)
    assert row is not None
    return row.state


def relief_with(driver: Driver, clock: Clock | None = None) -> Relief:
    return Relief(driver.runner, clock or SystemClock())


def test_the_others_stand_still_until_who_goes_back_is_gone(driver: Driver) -> None:
    old, new = driver.start("exec sleep 1000"), driver.start("exec sleep 1000")
    relief = relief_with(driver)
    act(relief, [old, new], available_mib=50)
    wait_until(lambda: state_of(old) == b"T", "the old one is stopped")
    assert driver.outcome(new).cause is Cause.EVICTED
    assert relief.is_over, "a look is due"
    act(relief, [old], available_mib=250)
    wait_until(lambda: state_of(old) == b"S", "it goes on")
    assert not relief.is_over


def test_nobody_stands_still_while_there_is_room(driver: Driver) -> None:
    old, new = driver.start("exec sleep 1000"), driver.start("exec sleep 1000")
    act(relief_with(driver), [old, new], available_mib=150)
    assert not driver.runner.is_paused
    assert not driver.runner.is_killing


def test_who_is_alone_is_neither_killed_nor_stopped(driver: Driver) -> None:
    alone = driver.start("exec sleep 1000")
    act(relief_with(driver), [alone], available_mib=5)
    assert not driver.runner.is_paused
    assert not driver.runner.is_killing


def test_nobody_waits_for_long_for_one_that_cannot_die(driver: Driver) -> None:
    """As when it waits for a disk that does not answer. Here it is dead, and nobody has taken note of it yet."""
    clock = Later()
    old, new = driver.start("exec sleep 1000"), driver.start("exec sleep 1000")
    relief = relief_with(driver, clock)
    act(relief, [old, new], available_mib=50)
    assert driver.runner.is_killing
    assert driver.runner.is_paused
    clock.ahead_s = LONGEST_PAUSE_S
    act(relief, [old, new], available_mib=50)
    assert driver.runner.is_killing
    assert not driver.runner.is_paused
