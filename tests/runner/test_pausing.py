"""Attempts stand still for a moment, and go on as if nothing had been."""

from __future__ import annotations

from distcomp.model import Cause
from distcomp.runner.attempt import RunningAttempt
from distcomp.runner.trees import read_process, read_processes
from tests.runner.driving import Driver, number_in
from tests.support.waiting import wait_until

FOREVER = "sleep 1000 & wait"


def states(attempt: RunningAttempt) -> set[bytes]:
    """Of all processes of the attempt's session."""
    return {row.state for row in read_processes().values() if row.session == attempt.pid}


def stands_still(attempt: RunningAttempt) -> bool:
    return states(attempt) == {b"T"}


def runs(attempt: RunningAttempt) -> bool:
    return b"T" not in states(attempt)


def end(driver: Driver, *attempts: RunningAttempt) -> None:
    for attempt in attempts:
        driver.runner.kill(attempt, Cause.CANCELLED, "the test is over", grace=False)
        driver.outcome(attempt)


def test_all_of_an_attempt_stands_still_until_it_may_go_on(driver: Driver) -> None:
    attempt = driver.start("(sleep 0.2; echo child); echo parent")
    driver.runner.pause()
    wait_until(lambda: stands_still(attempt), "both processes are stopped")
    assert driver.runner.is_paused
    driver.runner.go_on()
    assert not driver.runner.is_paused
    outcome = driver.outcome(attempt)
    assert outcome.cause is Cause.FINISHED
    assert driver.output(outcome) == b"child\nparent\n"


def test_who_starts_meanwhile_stops_with_the_next_call(driver: Driver) -> None:
    early = driver.start(FOREVER)
    driver.runner.pause()
    late = driver.start(FOREVER)
    driver.runner.pause()
    wait_until(lambda: stands_still(early) and stands_still(late), "both are stopped")
    driver.runner.go_on()
    wait_until(lambda: runs(early) and runs(late), "both go on")
    end(driver, early, late)


def test_who_is_killed_dies_while_the_others_stand_still(driver: Driver) -> None:
    stays, goes = driver.start(FOREVER), driver.start(FOREVER)
    driver.runner.pause()
    driver.runner.kill(goes, Cause.EVICTED, "memory was short", grace=False)
    assert driver.runner.is_killing
    assert driver.outcome(goes).cause is Cause.EVICTED
    assert not driver.runner.is_killing
    wait_until(lambda: stands_still(stays), "the other one is stopped")
    end(driver, stays)


def test_who_is_told_to_end_is_not_stopped(driver: Driver) -> None:
    """It has only its grace for it."""
    attempt = driver.start("trap 'echo bye; exit 0' TERM; echo $$ > pid; while :; do sleep 0.01; done")
    driver.until(lambda: number_in(driver.cwd / "pid"), "its trap is set")
    driver.runner.kill(attempt, Cause.CANCELLED, "cancelled")
    driver.runner.pause()
    assert driver.output(driver.outcome(attempt)) == b"bye\n"


def test_an_orphan_stands_still_with_its_attempt(driver: Driver) -> None:
    attempt = driver.start("(setsid sh -c 'echo $$ > orphan; exec sleep 1000' &); sleep 1000")
    pid_file = driver.cwd / "orphan"
    driver.until(lambda: number_in(pid_file), "the orphan runs")
    driver.until(lambda: number_in(pid_file) in driver.runner._strays.owners(), "it is known as an orphan")
    driver.runner.pause()
    pid = number_in(pid_file)
    assert pid is not None

    def state() -> bytes | None:
        row = read_process(pid)
        return row.state if row else None

    wait_until(lambda: state() == b"T", "the orphan is stopped")
    driver.runner.go_on()
    wait_until(lambda: state() == b"S", "it sleeps again")
    end(driver, attempt)
