"""Memory of attempts: the whole tree's, near enough to what the processes really hold."""

from __future__ import annotations

import resource
import sys

import pytest

from distcomp.model import Cause, Moment, NodeMemory
from distcomp.runner.course import MOST
from tests.runner.conftest import MakeDriver
from tests.runner.driving import Driver

MIB, GIB = 2**20, 2**30
HOLD = "import sys, time; held = bytearray(b'x') * ({mib} * 2**20); print(flush=True); time.sleep({hold_s})"


def test_the_peak_of_a_tree_is_the_sum_of_its_processes(make_driver: MakeDriver) -> None:
    """Three processes of 60 MiB each at the same time, one of them with a session of its own."""
    driver = make_driver(look_interval_s=0.2)
    _hold(driver, 60, 2)
    outcome = driver.run("python3=$PYTHON; $PYTHON hold & setsid $PYTHON hold & $PYTHON hold; wait", env=_python())

    own = driver.run(f"{sys.executable} -c 'import time; time.sleep(1)'").usage.peak_bytes
    assert outcome.cause is Cause.FINISHED
    assert outcome.usage.peak_bytes == pytest.approx(3 * (60 * MIB + own), rel=0.2)


def test_a_short_peak_of_one_process_is_not_missed(driver: Driver) -> None:
    """It comes and goes between two looks; the kernel has counted it."""
    # More than this process ever had: the kernel counts from before exec, when the task shares the worker's memory.
    size_bytes = 200 * MIB + resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    outcome = driver.run(f"{sys.executable} -c 'bytearray(b\"x\") * {size_bytes}'")

    assert outcome.usage.peak_bytes == pytest.approx(size_bytes, rel=0.2)


def test_a_small_task_is_not_as_large_as_the_worker(make_driver: MakeDriver) -> None:
    """The kernel counts from before exec, when the task still shared the worker's memory."""
    driver = make_driver(look_interval_s=0.1)
    ballast = bytearray(b"x") * (200 * MIB)
    outcome = driver.run("sleep 0.5")

    assert len(ballast) > 100 * outcome.usage.peak_bytes > 0


def test_of_a_task_that_no_look_saw_the_workers_own_memory_is_not_taken_for_its_peak(driver: Driver) -> None:
    """The worker grows after it has begun, and tasks that are over at once cause no look."""
    own_bytes = 1024 * resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    ballast = bytearray(b"x") * (own_bytes + 50 * MIB)
    assert ballast
    assert driver.run("true").usage.peak_bytes == 0


def test_what_attempts_use_now_is_known_while_they_run(make_driver: MakeDriver) -> None:
    driver = make_driver(look_interval_s=0.1)
    _hold(driver, 50, 1000)
    large = driver.start("$PYTHON hold & wait", env=_python())
    small = driver.start("sleep 1000")

    driver.until(lambda: large.measured.used_bytes > 50 * MIB, "the child has its memory")
    driver.until(lambda: small.measured.used_bytes > 0, "the small one is measured")
    assert small.measured.used_bytes < 10 * MIB


def test_of_an_attempt_that_lasts_the_course_of_its_memory_is_kept_and_the_node_around_it(
    make_driver: MakeDriver,
) -> None:
    driver = make_driver(look_interval_s=0.1)
    driver.runner.node_memory = NodeMemory(8 * GIB, 5 * GIB)
    other = driver.start("sleep 1000")
    short = driver.run("true")
    grows = "import time; time.sleep(0.7); held = bytes([1]) * (100 * 2**20); time.sleep(0.7)"
    outcome = driver.run(f"{sys.executable} -c '{grows}'")
    assert other not in driver.ended

    assert (short.course, short.at_start, short.at_end) == ((), None, None)
    assert outcome.at_start == outcome.at_end == Moment(1, 5 * GIB, 8 * GIB)
    assert 8 <= len(outcome.course) <= MOST
    middle = len(outcome.course) // 2
    assert max(outcome.course[: middle - 1]) < 30
    assert min(outcome.course[middle + 1 :]) > 90


def _hold(driver: Driver, mib: int, hold_s: float) -> None:
    (driver.cwd / "hold").write_text(HOLD.format(mib=mib, hold_s=hold_s))


def _python() -> dict[str, str]:
    return {"PYTHON": sys.executable}
