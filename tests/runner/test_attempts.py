"""How attempts run, what they see, and how their ends are told."""

from __future__ import annotations

import os
import select
import signal
import stat
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from distcomp.model import Cause, JobContext, TaskType
from distcomp.runner.attempt import NodeRefused
from distcomp.runner.limits import RunnerLimits
from tests.runner.conftest import MakeDriver
from tests.runner.driving import Driver, is_running
from tests.support.waiting import Patience


def test_a_command_that_ends_well_is_finished(driver: Driver) -> None:
    outcome = driver.run("true")

    assert (outcome.cause, outcome.exit_code, outcome.signal, outcome.reason) == (Cause.FINISHED, 0, None, "")
    assert (outcome.node, outcome.attempt, outcome.output) == ("test-node", 1, None)


def test_an_exit_code_is_told(driver: Driver) -> None:
    outcome = driver.run("echo to stdout; echo to stderr >&2; exit 3")

    assert (outcome.cause, outcome.exit_code, outcome.reason) == (Cause.EXIT, 3, "exit code 3")
    assert (outcome.stdout_tail, outcome.stderr_tail) == ("to stdout\n", "to stderr\n")


def test_a_program_that_aborts_fails_alone(driver: Driver) -> None:
    """Real programs crash; neither the worker nor another attempt notices."""
    other = driver.start("sleep 0.2")
    outcome = driver.run(f"{sys.executable} -c 'import os; os.abort()'")

    assert (outcome.cause, outcome.exit_code, outcome.signal) == (Cause.EXIT, None, signal.SIGABRT)
    assert outcome.reason == "killed by signal 6 (SIGABRT)"
    assert driver.outcome(other).cause is Cause.FINISHED


def test_a_signal_that_the_shell_saw_is_named(driver: Driver) -> None:
    outcome = driver.run("sh -c 'kill -SEGV $$'; exit $?")

    assert outcome.reason == "exit code 139 (128 + signal 11, SIGSEGV)"


@pytest.mark.parametrize("is_direct", [True, False])
def test_a_command_that_is_not_found_is_127(make_driver: MakeDriver, is_direct: bool) -> None:
    outcome = make_driver(is_direct=is_direct).run("no-such-program a b")

    assert outcome.exit_code == 127
    assert outcome.reason.startswith("not found: ")
    assert "no-such-program: command not found" in outcome.reason


@pytest.mark.parametrize("is_direct", [True, False])
def test_a_file_that_may_not_be_executed_is_126(make_driver: MakeDriver, is_direct: bool) -> None:
    driver = make_driver(is_direct=is_direct)
    (driver.cwd / "notes.txt").write_text("no program\n")
    outcome = driver.run("./notes.txt")

    assert outcome.exit_code == 126
    assert outcome.reason.startswith("cannot execute: ")
    assert "Permission denied" in outcome.reason


def test_a_file_of_another_machine_is_126(driver: Driver) -> None:
    _program(driver.cwd / "sim", b"\x7fELF\x02\x01\x01 of no machine")
    outcome = driver.run("./sim")

    assert outcome.exit_code == 126
    assert "cannot execute" in outcome.reason


def test_a_script_without_an_interpreter_line_is_read_by_the_shell(driver: Driver) -> None:
    _program(driver.cwd / "job", b"echo done by the shell: $1\n")
    outcome = driver.run("./job x")

    assert driver.output(outcome) == b"done by the shell: x\n"


def test_a_shell_that_is_missing_is_told(make_driver: MakeDriver) -> None:
    outcome = make_driver(shell="/no/such/shell").run("echo $HOME")

    assert (outcome.exit_code, outcome.reason) == (127, "not found: /no/such/shell")


def test_a_command_that_no_process_can_have_fails_for_good(driver: Driver) -> None:
    zero_byte = driver.run("echo \0")
    too_long = driver.run("echo " + "x" * 2**18)

    assert zero_byte.exit_code == too_long.exit_code == 126
    assert "null" in zero_byte.reason
    assert "too long" in too_long.reason


def test_a_directory_that_is_not_there_fails_the_attempt_at_once(driver: Driver) -> None:
    outcome = driver.run("true", cwd=str(driver.cwd / "gone"))

    assert (outcome.cause, outcome.exit_code) == (Cause.EXIT, 126)
    assert outcome.reason == f"the working directory is not there: {driver.cwd}/gone"


def test_why_it_cannot_start_is_text_whatever_the_directory_is_called(driver: Driver) -> None:
    assert driver.run("true", cwd="/caf\udce9").reason == "the working directory is not there: /caf\\xe9"


def test_a_directory_that_was_made_anew_is_the_new_one(driver: Driver) -> None:
    """The worker still stands in the old one, which has the same name."""
    folder = driver.cwd / "results"
    folder.mkdir()
    driver.run("true", cwd=str(folder))
    folder.rmdir()
    folder.mkdir()
    driver.run("touch here", cwd=str(folder))

    assert (folder / "here").exists()


def test_tasks_run_where_they_were_submitted_by_the_name_the_user_knows(driver: Driver) -> None:
    link = driver.cwd / "link"
    link.symlink_to("/usr")

    for cwd, expected in ((str(link), link), (f"{link}/./", Path("/usr"))):
        for command in ("printenv PWD", "printenv PWD; true"):
            assert driver.output(driver.run(command, cwd=cwd)) == f"{expected}\n".encode()


def test_a_task_knows_who_it_is(driver: Driver) -> None:
    attempt = driver.start("env")
    seen = _variables(driver.output(driver.outcome(attempt)))

    assert seen["DISTCOMP_TASK_ID"] == attempt.task_id
    assert (seen["DISTCOMP_ATTEMPT"], seen["DISTCOMP_JOB"]) == ("1", "7")
    assert seen["DISTCOMP_WORKER"] == driver.worker


def test_variables_come_from_worker_job_and_task_the_last_wins(
    make_driver: MakeDriver, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("FROM_WORKER", "FROM_JOB", "FROM_TASK"):
        monkeypatch.setenv(name, "worker")
    driver = make_driver()
    context = JobContext(cwd=str(driver.cwd), env={"FROM_JOB": "job", "FROM_TASK": "job"})
    attempt = driver.runner.start(driver.claim("env", context, env={"FROM_TASK": "task é ✓"}))
    seen = _variables(driver.output(driver.outcome(attempt)))

    assert [seen[name] for name in ("FROM_WORKER", "FROM_JOB", "FROM_TASK")] == ["worker", "job", "task é ✓"]


def test_no_variable_of_a_task_hides_who_it_is(driver: Driver) -> None:
    """By it, its processes are found and killed."""
    outcome = driver.run("printenv DISTCOMP_WORKER", env={"DISTCOMP_WORKER": "another"})

    assert driver.output(outcome) == f"{driver.worker}\n".encode()


def test_a_variable_that_cannot_be_fails_the_attempt(driver: Driver) -> None:
    outcome = driver.run("true", env={"A=B": "c"})

    assert (outcome.cause, outcome.exit_code) == (Cause.EXIT, 126)


def test_unicode_reaches_the_task_and_comes_back(driver: Driver) -> None:
    (driver.cwd / "naïve ☃").write_text("content")
    outcome = driver.run("cat 'naïve ☃'; printf '%s' 'ß\t✓'")

    assert driver.output(outcome).decode() == "contentß\t✓"


@pytest.mark.parametrize("command", ["cat", "cat; true"])
def test_stdin_is_empty(driver: Driver, command: str) -> None:
    assert driver.run(command).cause is Cause.FINISHED


def test_an_attempt_has_a_session_and_a_group_of_its_own(driver: Driver) -> None:
    attempt = driver.start("ps -o pid=,pgid=,sid= -p $$")
    pid, group, session = map(int, driver.output(driver.outcome(attempt)).split())

    assert pid == group == session == attempt.pid


def test_a_task_gets_no_descriptor_of_the_worker(driver: Driver) -> None:
    assert driver.output(driver.run("ls /proc/self/fd")).split() == [b"0", b"1", b"2", b"3"]


def test_signals_are_as_in_a_fresh_process(driver: Driver) -> None:
    """Python ignores SIGPIPE; a task that inherits this does not end when nobody reads it any more."""
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        status = driver.output(driver.run("grep -E 'Sig(Blk|Ign)' /proc/self/status"))
    finally:
        signal.signal(signal.SIGHUP, before)

    # 32 and 33 are the C library's own; it makes posix_spawn ignore them.
    own = 1 << 31 | 1 << 32
    assert [int(line.split()[1], 16) & ~own for line in status.splitlines()] == [0, 0]


def test_python_tasks_run_under_the_interpreter_of_the_submitter(driver: Driver) -> None:
    (driver.cwd / "job.py").write_text("import sys; print(sys.argv[1:], sys.executable)")
    context = JobContext(cwd=str(driver.cwd), interpreter=sys.executable)
    attempt = driver.runner.start(driver.claim("job.py a 'b c'", context, type=TaskType.PYTHON))

    assert driver.output(driver.outcome(attempt)).decode() == f"['a', 'b c'] {sys.executable}\n"


def test_the_result_of_a_python_function_becomes_columns(driver: Driver) -> None:
    (driver.cwd / "lab.py").write_text("def half(x): return {'half': x / 2}")
    outcome = driver.run("lab:half 5", type=TaskType.PYTHON)

    assert outcome.columns == {"half": 2.5}


def test_a_python_command_that_is_none_fails_for_good(driver: Driver) -> None:
    outcome = driver.run("print(1)", type=TaskType.PYTHON)

    assert outcome.exit_code == 126
    assert "not a python command" in outcome.reason


def test_usage_is_measured(driver: Driver) -> None:
    outcome = driver.run(f"{sys.executable} -c 'for i in range(3_000_000): pass'; sleep 0.3")

    assert outcome.usage.cpu_s > 0.02
    assert 0.3 <= outcome.usage.wall_s < 30
    assert outcome.usage.peak_bytes > 2**20
    assert 300 <= outcome.ended_at_ms - outcome.started_at_ms < 30_000


def test_what_a_task_reads_and_writes_on_disk_is_counted(driver: Driver) -> None:
    outcome = driver.run("dd if=/dev/zero of=big bs=1M count=4 conv=fsync")

    assert 4 * 2**20 <= outcome.usage.disk_written_bytes < 2**26


def test_attempts_run_at_the_same_time(driver: Driver) -> None:
    """Each waits for a file that the other one makes."""
    one = driver.runner.start(driver.claim("touch one; until [ -e two ]; do sleep 0.01; done"))
    two = driver.runner.start(driver.claim("touch two; until [ -e one ]; do sleep 0.01; done"))

    assert [attempt.slot for attempt in driver.runner.running()] == [one.slot, two.slot]
    assert driver.outcome(one).cause is driver.outcome(two).cause is Cause.FINISHED
    assert list(driver.runner.running()) == []


def test_a_node_without_descriptors_refuses_rather_than_fails_the_task(driver: Driver) -> None:
    import resource

    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (3, hard))
    try:
        with pytest.raises(NodeRefused):
            driver.start("true")
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))

    assert driver.run("true").cause is Cause.FINISHED


def test_attempts_that_cannot_start_keep_no_files(driver: Driver) -> None:
    for _ in range(5):
        assert driver.run("true", cwd="/not/there").exit_code == 126

    assert len(list((driver.folder / "running").iterdir())) == 2


class SlowFence:
    """Keeps the start of an attempt from being known until its process has ended."""

    event = -1

    def add_thread(self, thread_id: int) -> None: ...

    def take_in(self, pid: int) -> None:
        os.waitid(os.P_PID, pid, os.WEXITED | os.WNOWAIT)
        select.select([], [], [], 0.1)

    def used_bytes(self) -> int:
        return 0

    def set_limit(self, limit_bytes: int) -> None: ...

    def is_stalled(self) -> bool:
        return False

    def note_event(self) -> None: ...

    def close(self) -> None: ...


def test_an_end_that_is_seen_before_its_start_is_heard_of_is_not_missed(tmp_path: Path) -> None:
    """The child's end has woken the loop already: nothing else would."""
    driver = Driver(tmp_path, RunnerLimits(), fence=SlowFence())
    attempt = driver.runner.start(driver.claim("true"))
    patience = Patience(30)
    while not (ended := driver.runner.collect()):
        assert not patience.is_over(), "nothing has woken the loop"
        driver.wakeup.wait(10)
        assert driver.wakeup.was_woken
    driver.close()

    assert [one.attempt for one in ended] == [attempt]


def test_a_dead_child_that_is_not_ours_hides_no_end(make_driver: MakeDriver) -> None:
    """Its own thread may let it wait for long. The kernel names the children of older threads first."""
    with ThreadPoolExecutor(1) as older:
        not_ours = older.submit(subprocess.Popen, ["true"]).result()
        driver = make_driver()
        os.waitid(os.P_PID, not_ours.pid, os.WEXITED | os.WNOWAIT)
        attempt = driver.start("sleep 0.1")
        driver.until(lambda: attempt in driver.ended, "its end is seen", patience_s=10)
        assert older.submit(not_ours.wait).result() == 0


def test_what_other_threads_start_is_theirs_to_wait_for(driver: Driver) -> None:
    codes: list[int] = []

    def start_processes() -> None:
        codes.extend(subprocess.run(["/bin/sh", "-c", "exit 7"], check=False).returncode for _ in range(50))

    thread = threading.Thread(target=start_processes)
    thread.start()
    driver.until(lambda: driver.run("true") and not thread.is_alive(), "the thread has ended")

    assert codes == [7] * 50


def test_what_the_worker_leaves_running_for_itself_is_left_alone(driver: Driver) -> None:
    """As the store's server, which a worker that misses it brings back: it is an orphan of ours, too."""
    attempt = driver.start("sleep 0.3")
    started = subprocess.run(
        ["/bin/sh", "-c", "sleep 1000 >/dev/null 2>&1 & echo $!"],
        capture_output=True,
        check=True,
        text=True,
        start_new_session=True,
    )
    own = int(started.stdout)
    try:
        driver.outcome(attempt)
        driver.run("true")
        assert is_running(own)
    finally:
        os.kill(own, signal.SIGKILL)
    driver.until(lambda: driver.run("true") and not Path(f"/proc/{own}").exists(), "the orphan is reaped")


def test_the_process_is_as_before_when_the_runner_is_closed(tmp_path: Path) -> None:
    cwd, environ = Path.cwd(), dict(os.environ)
    driver = Driver(tmp_path, RunnerLimits())
    driver.run("true")
    running = driver.start("sleep 1000")
    driver.close()

    assert (Path.cwd(), dict(os.environ)) == (cwd, environ)
    assert not is_running(running.pid)


def _program(path: Path, content: bytes) -> None:
    path.write_bytes(content)
    path.chmod(path.stat().st_mode | stat.S_IXUSR)


def _variables(output: bytes) -> dict[str, str]:
    return dict(line.split("=", 1) for line in output.decode().splitlines() if "=" in line)
