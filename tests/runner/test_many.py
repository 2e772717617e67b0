"""Thousands of attempts one after the other, hundreds at once: nothing is left over, nobody is mixed up."""

from __future__ import annotations

import os
from collections import deque
from pathlib import Path

from distcomp.model import Cause
from tests.runner.conftest import MakeDriver
from tests.runner.driving import Driver


def test_a_thousand_attempts_leave_no_descriptor_no_file_and_no_process(make_driver: MakeDriver) -> None:
    driver = make_driver(compress_above_bytes=100)
    # Of each kind a few: what is opened once and kept, as the files of each slot, is not a leak.
    kinds = ["true", "echo out", "seq 100", "exit 3", "sleep 1000 & echo left", "/no/such/program", "kill -9 $$"]
    _run_all(driver, kinds * 2, at_once=4)
    others = _own_descriptors() - _slot_files(driver), _own_children()
    _run_all(driver, kinds * 143, at_once=4)

    assert (_own_descriptors() - _slot_files(driver), _own_children()) == others
    assert _slot_files(driver) <= 2 * 4


def test_two_hundred_attempts_at_once(driver: Driver) -> None:
    """All wait until the last has started, then each prints what it is."""
    attempts = [driver.start(f"until [ -e go ]; do sleep 0.2; done; echo {number}") for number in range(200)]
    assert len({attempt.pid for attempt in attempts}) == len({attempt.slot for attempt in attempts}) == 200
    assert len(driver.runner.running()) == 200

    (driver.cwd / "go").touch()
    for number, attempt in enumerate(attempts):
        outcome = driver.outcome(attempt)
        assert (outcome.cause, driver.output(outcome)) == (Cause.FINISHED, b"%d\n" % number)
    assert driver.runner.unsettled() == 0


def _run_all(driver: Driver, commands: list[str], at_once: int) -> None:
    waiting = deque(commands)
    while waiting or driver.runner.unsettled():
        while waiting and len(driver.runner.running()) < at_once:
            driver.start(waiting.popleft())
        driver.turn()


def _own_descriptors() -> int:
    return len(list(Path("/proc/self/fd").iterdir()))


def _own_children() -> list[str]:
    return Path(f"/proc/self/task/{os.getpid()}/children").read_text().split()


def _slot_files(driver: Driver) -> int:
    return len(list((driver.folder / "running").iterdir()))
