"""Attempts are started by two threads, each with a working directory of its own, or by one."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from pathlib import Path
from types import SimpleNamespace
from typing import cast

from distcomp.runner.attempt import Live
from distcomp.runner.starter import Starter
from tests.runner.driving import Driver
from tests.support.waiting import Patience

STARTS = 100_000
"""So many that a thread which may be interrupted in the wrong place is, in most runs."""
REPOSITORY = Path(__file__).parents[2]

# As containers do it: unshare is not permitted. 40 bytes of a program for the kernel: load the system call's number,
# compare it, and answer EPERM or "go on".
FORBID_UNSHARE = """
import ctypes, platform, struct, sys
number = {"x86_64": 272, "aarch64": 97}[platform.machine()]
program = struct.pack("HBBI" * 4, 0x20, 0, 0, 0, 0x15, 0, 1, number, 0x06, 0, 0, 0x50001, 0x06, 0, 0, 0x7FFF0000)
class Program(ctypes.Structure):
    _fields_ = [("length", ctypes.c_ushort), ("filter", ctypes.c_char_p)]
libc = ctypes.CDLL(None)
assert libc.prctl(38, 1, 0, 0, 0) == 0
assert libc.prctl(22, 2, ctypes.byref(Program(4, program)), 0, 0) == 0
"""
START_MANY = """
from pathlib import Path
from distcomp.runner.limits import RunnerLimits
from tests.runner.driving import Driver
from tests.runner.test_starter import in_their_directories, starters
driver = Driver(Path(sys.argv[1]), RunnerLimits())
print(starters(), in_their_directories(driver))
driver.close()
"""


def in_their_directories(driver: Driver) -> int:
    """Start 200 attempts one after another in two directories; how many of them were where they belong."""
    for name in ("one", "two"):
        (driver.cwd / name).mkdir()
    attempts = [
        driver.runner.start(driver.claim("readlink /proc/self/cwd", cwd=("one", "two")[number % 2]))
        for number in range(200)
    ]
    printed = [driver.output(driver.outcome(attempt)).decode().strip() for attempt in attempts]
    return sum(place == str(driver.cwd / ("one", "two")[number % 2]) for number, place in enumerate(printed))


def starters() -> int:
    """How many threads start attempts here."""
    return sum(thread.name.startswith("starter") for thread in threading.enumerate())


def test_attempts_that_start_at_the_same_time_are_each_in_their_directory(driver: Driver) -> None:
    assert starters() == 2
    assert in_their_directories(driver) == 200


def test_the_worker_itself_stays_where_it_is(driver: Driver) -> None:
    before = Path.cwd()
    driver.run("true")

    assert Path.cwd() == before


def test_what_is_taken_at_once_does_not_end_a_thread() -> None:
    live = cast(Live, SimpleNamespace(order=None))  # All of it that matters here.
    starter = Starter(lambda _live: 1, lambda: None)
    taken, patience, interval_s = 0, Patience(30), sys.getswitchinterval()
    # Threads take turns wherever they can, and not each 5 ms only.
    sys.setswitchinterval(1e-6)
    try:
        for _ in range(STARTS):
            starter.put(live)
        while taken < STARTS and not patience.is_over():
            taken += len(starter.take())
    finally:
        sys.setswitchinterval(interval_s)
        starter.close()
    assert taken == STARTS


def test_where_threads_may_have_no_directory_of_their_own_there_is_one(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-c", FORBID_UNSHARE + START_MANY, str(tmp_path)],
        env={**os.environ, "PYTHONPATH": str(REPOSITORY)}, capture_output=True, text=True, check=True,
    )  # fmt: skip

    assert done.stdout.split() == ["1", "200"]
