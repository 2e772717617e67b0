"""Every process of an attempt ends with it: by timeout, by kill, or because its first process has ended."""

from __future__ import annotations

import os
import signal
import sys
from pathlib import Path

import pytest

from distcomp.model import Cause, JobContext
from tests.runner.conftest import MakeDriver
from tests.runner.driving import Driver, is_running, number_in

IGNORES_TERM = "trap '' TERM; touch ready; while :; do sleep 0.01; done"

# A daemon as in the textbook: fork, a session of its own, fork again.
DAEMON = """
import os, sys, time
if os.fork():
    if {parent_stays}:
        time.sleep(1000)
    os._exit(0)
os.setsid()
if os.fork():
    os._exit(0)
with open("pid.new", "w") as file:
    print(os.getpid(), file=file)
os.rename("pid.new", "pid")
time.sleep(1000)
"""


def test_a_daemon_does_not_outlive_its_task(driver: Driver) -> None:
    outcome = driver.run(f"{_daemon(driver)}; until [ -e pid ]; do sleep 0.01; done; echo left")

    assert (outcome.cause, driver.output(outcome)) == (Cause.FINISHED, b"left\n")
    assert not is_running(_pid(driver))


def test_a_daemon_is_killed_with_a_task_that_runs(driver: Driver) -> None:
    attempt = driver.start(_daemon(driver, parent_stays=True))
    driver.until(lambda: (driver.cwd / "pid").exists(), "the daemon runs")
    driver.runner.kill(attempt, Cause.EVICTED, "memory", grace=False)

    assert driver.outcome(attempt).cause is Cause.EVICTED
    assert not is_running(_pid(driver))


def test_a_daemon_that_hides_where_it_comes_from_is_killed(driver: Driver) -> None:
    """No mark in its environment, another session, another parent."""
    driver.run("env -i setsid --fork sh -c 'echo $$ >pid; exec sleep 1000'; until [ -s pid ]; do sleep 0.01; done")

    assert not is_running(_pid(driver))


def test_a_daemon_that_may_be_anothers_lives_until_that_one_ends(driver: Driver) -> None:
    other = driver.start("until [ -e go ]; do sleep 0.01; done")
    driver.run("env -i setsid --fork sh -c 'echo $$ >pid; exec sleep 1000'; until [ -s pid ]; do sleep 0.01; done")
    assert is_running(_pid(driver))

    (driver.cwd / "go").touch()
    driver.outcome(other)
    assert not is_running(_pid(driver))


def test_a_kernel_that_does_not_list_children_costs_time_only(driver: Driver) -> None:
    """Not all are built with /proc/PID/task/TID/children: then all of /proc is read."""
    driver.runner._strays.close()
    driver.runner._strays._children = None
    driver.run(f"{_daemon(driver)}; until [ -e pid ]; do sleep 0.01; done")

    assert not is_running(_pid(driver))


def test_a_background_process_does_not_outlive_its_task(driver: Driver) -> None:
    outcome = driver.run("sleep 1000 & echo $! >pid")

    assert outcome.cause is Cause.FINISHED
    assert not is_running(_pid(driver))


def test_what_a_leftover_printed_does_not_reach_the_next_attempt(driver: Driver) -> None:
    driver.run("(trap '' TERM; while :; do echo noise; done) & until [ -s /proc/$$/fd/1 ]; do :; done")

    assert driver.output(driver.run("echo mine")) == b"mine\n"


def test_the_cpu_time_of_orphans_counts(driver: Driver) -> None:
    burn = f"{sys.executable} -c 'import time; e = time.process_time() + 0.2\nwhile time.process_time() < e: pass'"
    (driver.cwd / "burn").write_text(f"{burn}\ntouch burnt\n")
    outcome = driver.run("(sh burn &); until [ -e burnt ]; do sleep 0.01; done")

    assert outcome.usage.cpu_s > 0.2


def test_a_timeout_terminates(driver: Driver) -> None:
    outcome = driver.run("trap 'echo tidied up; exit 5' TERM; while :; do sleep 0.01; done", timeout_s=0.3)

    assert (outcome.cause, outcome.exit_code) == (Cause.TIMEOUT, 5)
    assert outcome.reason == "timed out after 0.3 s (TERM)"
    assert outcome.stdout_tail == "tidied up\n"


def test_a_task_that_ignores_term_is_killed_after_the_grace(make_driver: MakeDriver) -> None:
    outcome = make_driver(kill_grace_s=0.2).run(IGNORES_TERM, timeout_s=0.3)

    assert (outcome.cause, outcome.signal) == (Cause.TIMEOUT, signal.SIGKILL)
    assert outcome.reason == "timed out after 0.3 s (TERM, then KILL after 0.2 s)"
    assert outcome.usage.wall_s < 30


def test_a_stopped_task_hears_term(driver: Driver) -> None:
    outcome = driver.run("kill -STOP $$", timeout_s=0.3)

    assert (outcome.cause, outcome.signal) == (Cause.TIMEOUT, signal.SIGTERM)


def test_term_reaches_those_who_left_the_group(driver: Driver) -> None:
    outcome = driver.run(
        f"{sys.executable} -c 'import os, time; os.setpgid(0, 0); time.sleep(1000)' & wait", timeout_s=0.5
    )

    assert outcome.reason == "timed out after 0.5 s (TERM)"


@pytest.mark.parametrize(("task_s", "job_s", "setting_s"), [(0.2, 1000, 1000), (None, 0.2, 1000), (None, None, 0.2)])
def test_the_nearest_timeout_counts(
    make_driver: MakeDriver, task_s: float | None, job_s: float | None, setting_s: float
) -> None:
    driver = make_driver(timeout_s=setting_s)
    context = JobContext(cwd=str(driver.cwd), timeout_s=job_s)
    attempt = driver.runner.start(driver.claim("sleep 1000", context, timeout_s=task_s))

    assert driver.outcome(attempt).reason == "timed out after 0.2 s (TERM)"


def test_a_timeout_of_zero_is_none(make_driver: MakeDriver) -> None:
    assert make_driver(timeout_s=0.05).run("sleep 0.3", timeout_s=0).cause is Cause.FINISHED


def test_a_kill_keeps_its_first_cause(driver: Driver) -> None:
    attempt = driver.start(IGNORES_TERM)
    driver.until(lambda: (driver.cwd / "ready").exists(), "the task ignores TERM")
    driver.runner.kill(attempt, Cause.CANCELLED, "cancelled by the user")
    driver.runner.kill(attempt, Cause.DRAINED, "worker stops", grace=False)
    outcome = driver.outcome(attempt)

    assert (outcome.cause, outcome.reason) == (Cause.CANCELLED, "cancelled by the user")
    assert outcome.signal == signal.SIGKILL


def test_an_attempt_that_has_ended_by_itself_keeps_its_end(driver: Driver) -> None:
    """Otherwise work that is done would be thrown away."""
    attempt = driver.start("until [ -e go ]; do sleep 0.01; done")
    (driver.cwd / "go").touch()
    os.waitid(os.P_PID, attempt.pid, os.WEXITED | os.WNOWAIT)
    driver.runner.kill(attempt, Cause.EVICTED, "memory", grace=False)

    assert driver.outcome(attempt).cause is Cause.FINISHED


def test_an_attempt_can_be_killed_before_it_has_a_process(driver: Driver) -> None:
    """It has been put to the thread that starts it, and a cancellation comes."""
    attempt = driver.runner.start(driver.claim("sleep 1000"))
    driver.runner.kill(attempt, Cause.CANCELLED, "cancelled by the user", grace=False)

    assert driver.outcome(attempt).cause is Cause.CANCELLED


def test_a_kill_of_an_attempt_that_is_over_kills_nobody(driver: Driver) -> None:
    attempt = driver.start("true")
    driver.outcome(attempt)
    driver.runner.kill(attempt, Cause.CANCELLED, "late")

    assert driver.run("true").cause is Cause.FINISHED


def test_a_tree_that_keeps_forking_is_killed(driver: Driver) -> None:
    """A moving target: each process daemonises the next, and ends."""
    (driver.cwd / "next").write_text("sleep 0.01; setsid --fork sh next; sh -c :")
    attempt = driver.start("sh next; touch ready; sleep 1000")
    driver.until(lambda: (driver.cwd / "ready").exists(), "it forks")
    driver.runner.kill(attempt, Cause.CANCELLED, "cancelled", grace=False)

    assert driver.outcome(attempt).cause is Cause.CANCELLED
    assert driver.run("true").cause is Cause.FINISHED
    assert not _in_directory(driver.cwd)


def _in_directory(folder: Path) -> list[str]:
    """Processes that run there."""
    found = []
    for link in Path("/proc").glob("[0-9]*/cwd"):
        try:
            if link.readlink() == folder and int(link.parent.name) != os.getpid():
                found.append((link.parent / "cmdline").read_text())
        except OSError:
            continue
    return found


def _daemon(driver: Driver, *, parent_stays: bool = False) -> str:
    (driver.cwd / "daemon.py").write_text(DAEMON.format(parent_stays=parent_stays))
    return f"{sys.executable} daemon.py"


def _pid(driver: Driver) -> int:
    pid = number_in(driver.cwd / "pid")
    assert pid is not None
    return pid
