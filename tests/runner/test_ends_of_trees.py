"""Every process of an attempt ends with it: by timeout, by kill, or because its first process has ended."""

from __future__ import annotations

import ctypes
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from distcomp.model import Cause, JobContext
from distcomp.runner.trees import read_process, send
from tests.runner.conftest import MakeDriver
from tests.runner.driving import Driver, is_running, number_in
from tests.support.needs import needs_root
from tests.support.waiting import wait_until

NOBODY = 65534
_CAPABILITY_VERSION_3, _CAP_KILL = 0x20080522, 5
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


def test_a_daemon_with_its_tasks_mark_does_not_wait_for_other_tasks(driver: Driver) -> None:
    other = driver.start("sleep 1000")
    driver.run(f"{_daemon(driver)}; until [ -e pid ]; do sleep 0.01; done")

    assert not is_running(_pid(driver))
    assert driver.runner.running() == [other]


def test_a_daemon_with_the_mark_of_another_worker_lives_as_long_as_its_task(driver: Driver) -> None:
    """A task may run a worker of another project, whose attempts come to us when that one is killed."""
    attempt = driver.start(
        f"DISTCOMP_WORKER=another DISTCOMP_TASK_ID=its {_daemon(driver)}; until [ -e go ]; do sleep 0.01; done"
    )
    _find_orphan(driver)
    driver.runner.look()
    assert is_running(_pid(driver))

    (driver.cwd / "go").touch()
    driver.outcome(attempt)
    assert not is_running(_pid(driver))


def test_what_comes_late_from_an_attempt_that_is_over_is_killed(driver: Driver) -> None:
    """Its parent may have been in the midst of starting it when both were to be killed."""
    attempt = driver.start("sleep 1000")
    late = _orphan_of_an_attempt_that_is_over(driver)
    driver.until(lambda: not is_running(late), "it is killed")
    assert driver.runner.running() == [attempt]


def test_a_kill_reaches_a_daemon_at_once(driver: Driver) -> None:
    """Not only when the first process is seen to be dead: it holds memory that is needed."""
    attempt = driver.start(_daemon(driver, parent_stays=True))
    _find_orphan(driver)
    driver.runner.kill(attempt, Cause.EVICTED, "memory", grace=False)
    wait_until(lambda: not is_running(_pid(driver)), "the daemon is dead, with no turn of the loop")


@needs_root
def test_what_the_worker_may_not_kill_does_not_hold_up_its_task(driver: Driver) -> None:
    """As what `sudo` has started: it lives on, but the task is over."""
    of_nobody = f"setpriv --reuid={NOBODY} --clear-groups sh -c 'echo $$ >&3; exec sleep 1000'"
    attempt = driver.start(f"(exec 3>pid; setsid {of_nobody} &); until [ -e go ]; do sleep 0.01; done")
    _find_orphan(driver)
    (driver.cwd / "go").touch()
    with without_the_right_to_kill_others():
        assert driver.outcome(attempt).cause is Cause.FINISHED
    assert is_running(_pid(driver))
    os.kill(_pid(driver), signal.SIGKILL)
    driver.until(lambda: driver.run("true") and not Path(f"/proc/{_pid(driver)}").exists(), "it is reaped all the same")


@needs_root
def test_what_comes_late_and_is_not_the_workers_to_kill_is_let_be(driver: Driver) -> None:
    driver.start("sleep 1000")
    late = _orphan_of_an_attempt_that_is_over(driver, "setpriv", f"--reuid={NOBODY}", "--clear-groups")
    with without_the_right_to_kill_others():
        driver.runner.look()
    driver.runner.look()
    driver.run("true")
    assert is_running(late), "it is not tried again and again"
    os.kill(late, signal.SIGKILL)
    driver.until(lambda: driver.run("true") and not Path(f"/proc/{late}").exists(), "it is reaped all the same")


def test_a_number_that_another_process_has_by_now_is_not_signalled() -> None:
    process = subprocess.Popen(["sleep", "1000"])
    row = read_process(process.pid)
    assert row is not None
    try:
        assert send(process.pid, row.start_ticks - 1, signal.SIGKILL)
        assert send(process.pid, row.start_ticks, signal.SIGTERM)
        assert process.wait() == -signal.SIGTERM
    finally:
        process.kill()
        process.wait()


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


def test_of_kills_before_it_has_a_process_the_first_cause_and_the_hardest_way_count(driver: Driver) -> None:
    attempt = driver.runner.start(driver.claim("sleep 1000"))
    driver.runner.kill(attempt, Cause.CANCELLED, "cancelled by the user")
    driver.runner.kill(attempt, Cause.DRAINED, "worker stops", grace=False)
    driver.runner.kill(attempt, Cause.TIMEOUT, "late")
    outcome = driver.outcome(attempt)

    assert (outcome.cause, outcome.signal) == (Cause.CANCELLED, signal.SIGKILL)


def test_being_told_again_to_end_gives_no_more_time(make_driver: MakeDriver) -> None:
    driver = make_driver(kill_grace_s=0.4)
    attempt = driver.start("trap 'echo told' TERM; touch ready; while :; do sleep 0.01; done")
    driver.until(lambda: (driver.cwd / "ready").exists(), "its trap is set")

    def is_over() -> bool:
        driver.runner.kill(attempt, Cause.CANCELLED, "cancelled by the user")
        return attempt in driver.ended

    driver.until(is_over, "it is killed after the first grace", patience_s=20)
    assert driver.output(driver.ended[attempt]) == b"told\n"


def test_a_number_that_another_attempt_has_by_now_kills_nobody(driver: Driver) -> None:
    over = driver.start("true")
    driver.outcome(over)
    other = driver.start("until [ -e go ]; do sleep 0.01; done")
    over.pid = other.pid
    driver.runner.kill(over, Cause.CANCELLED, "late", grace=False)
    (driver.cwd / "go").touch()

    assert driver.outcome(other).cause is Cause.FINISHED


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


def _find_orphan(driver: Driver) -> None:
    """Wait until the process whose number is in `pid` has lost its parent, and let the runner find it."""

    def is_orphan() -> bool:
        pid = number_in(driver.cwd / "pid")
        row = read_process(pid) if pid else None
        return row is not None and row.parent == os.getpid()

    driver.until(is_orphan, "it is an orphan")
    driver.runner.look()


def _orphan_of_an_attempt_that_is_over(driver: Driver, *prefix: str) -> int:
    mark = {"DISTCOMP_WORKER": driver.worker, "DISTCOMP_TASK_ID": "0" * 16, "DISTCOMP_ATTEMPT": "1"}
    command = [*prefix, "/bin/sh", "-c", "sleep 1000 >/dev/null 2>&1 & echo $!"]
    return int(subprocess.run(command, capture_output=True, check=True, env=mark, text=True).stdout)


@contextmanager
def without_the_right_to_kill_others() -> Iterator[None]:
    """Take CAP_KILL from this thread for a while; it may do the rest of what root may."""
    libc, header = ctypes.CDLL(None, use_errno=True), (ctypes.c_uint32 * 2)(_CAPABILITY_VERSION_3, 0)
    whole, reduced = (ctypes.c_uint32 * 6)(), (ctypes.c_uint32 * 6)()
    assert libc.capget(header, whole) == 0
    reduced[:] = [whole[0] & ~(1 << _CAP_KILL), *whole[1:]]
    assert libc.capset(header, reduced) == 0
    try:
        yield
    finally:
        assert libc.capset(header, whole) == 0


def _pid(driver: Driver) -> int:
    pid = number_in(driver.cwd / "pid")
    assert pid is not None
    return pid
