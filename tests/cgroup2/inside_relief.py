"""Run by test_cgroup2.py in a kernel with cgroups of version 2, as root: attempts in the fence, and who has to go."""

from __future__ import annotations

import shlex
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from distcomp.clock import SystemClock
from distcomp.memory import NodeMemoryReader
from distcomp.model import Cause
from distcomp.packing import NodeLimits
from distcomp.runner.attempt import RunningAttempt
from distcomp.runner.fence import Fence, build_fence
from distcomp.runner.limits import RunnerLimits
from distcomp.worker.guard import Guard
from distcomp.worker.looks import Looks
from distcomp.worker.relief import Relief
from tests.runner.driving import Driver

MIB = 1 << 20
LIMITS = NodeLimits(cores=1, max_attempts=0, keep_free_bytes=40 * MIB)
GROWING = """
import time
hog = []
for _ in range({mib} // 4):
    hog.append(bytearray(b'x') * (4 << 20))
    time.sleep(0.02)
"""


@pytest.fixture
def fence() -> Iterator[Fence]:
    fence = build_fence("relief", 600 * MIB, time.time())
    assert fence is not None
    yield fence
    fence.close()
    assert not Path("/sys/fs/cgroup/distcomp-relief").exists()


@pytest.fixture
def driver(tmp_path: Path, fence: Fence) -> Iterator[Driver]:
    driver = Driver(tmp_path, RunnerLimits(), fence=fence)
    yield driver
    driver.close()


class Watcher:
    """What the worker's loop does at each look, and nothing else of it."""

    def __init__(self, driver: Driver, fence: Fence) -> None:
        self._driver, self._reader, clock = driver, NodeMemoryReader(), SystemClock()
        self._looks, self._relief = Looks(clock), Relief(driver.runner, clock)
        self._guard = Guard(self._reader.read, driver.wakeup, fence)

    def look(self, *attempts: RunningAttempt) -> None:
        running = [attempt for attempt in attempts if attempt not in self._driver.ended]
        memory = self._reader.read()
        self._looks.note(memory, running, LIMITS, None)
        use = self._looks.use(memory, 0.5, 1.0, None)
        self._guard.note_look(use, LIMITS, time.monotonic(), is_busy=bool(running))
        use = self._looks.use(memory, 0.5, 1.0, None, is_stalled=self._guard.is_stalled)
        self._relief.act(use, self._looks.loads(running), LIMITS, running)


def growing(mib: int) -> str:
    return f"exec {sys.executable} -S -E -c {shlex.quote(GROWING.format(mib=mib))}"


def kernel_kills() -> int:
    rows = dict(line.split() for line in Path("/proc/vmstat").read_text().splitlines())
    return int(rows["oom_kill"])


def test_attempts_are_taken_into_the_fence(driver: Driver) -> None:
    outcome = driver.run("sleep 0.1; cat /proc/self/cgroup")
    assert driver.output(outcome).decode().strip() == "0::/distcomp-relief"


def test_of_two_that_outgrow_the_node_the_younger_goes_and_the_kernel_kills_nobody(
    driver: Driver, fence: Fence
) -> None:
    before, watcher = kernel_kills(), Watcher(driver, fence)
    old, new = driver.start(growing(350)), driver.start(growing(350))

    def over() -> bool:
        watcher.look(old, new)
        return old in driver.ended and new in driver.ended

    driver.until(over, "both are over")
    assert (driver.ended[old].cause, driver.ended[new].cause) == (Cause.FINISHED, Cause.EVICTED)
    assert kernel_kills() == before


def test_one_that_outgrows_the_node_alone_does_not_wait_for_ever(driver: Driver, fence: Fence) -> None:
    before, watcher = kernel_kills(), Watcher(driver, fence)
    alone = driver.start(growing(2000))

    def over() -> bool:
        watcher.look(alone)
        return alone in driver.ended

    driver.until(over, "it is over")
    outcome = driver.ended[alone]
    assert outcome.cause is Cause.OOM
    assert "it ran alone and outgrew the node" in outcome.reason
    assert kernel_kills() == before
