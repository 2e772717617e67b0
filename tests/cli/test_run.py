"""`distcomp run`: one command from tasks to results."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess

import pytest

from tests.support.sandbox import DISTCOMP, Sandbox
from tests.support.waiting import wait_until


def test_a_file_of_tasks_runs_and_the_summary_says_what_came_of_it(sandbox: Sandbox) -> None:
    sandbox.write("tasks.txt", "".join(f"shell:0:0:0:echo {n} > {n}.out\n" for n in range(20)))
    done = sandbox.distcomp("run", "tasks.txt")
    assert done.stderr.startswith("20 tasks: 20 new (job 1)\n")
    assert done.stdout.startswith("20 finished; ")
    assert "distcomp results" in done.stdout
    assert {path.stem for path in sandbox.folder.glob("*.out")} == {str(n) for n in range(20)}
    assert sandbox.processes() == {}, "neither worker nor store is left"


def test_run_again_runs_only_what_is_missing(sandbox: Sandbox) -> None:
    sandbox.write("tasks.txt", "shell:0:0:0:echo ran >> a\nshell:0:0:0:echo ran >> b\n")
    sandbox.distcomp("run", "tasks.txt")
    sandbox.write("tasks.txt", "shell:0:0:0:echo ran >> a\nshell:0:0:0:echo ran >> b\nshell:0:0:0:echo ran >> c\n")
    done = sandbox.distcomp("run", "tasks.txt")
    assert "3 tasks: 1 new (job 2), 2 known (2 finished)" in done.stderr
    assert [sandbox.lines(name) for name in "abc"] == [["ran"], ["ran"], ["ran"]]
    assert "0 new, 3 known" in sandbox.distcomp("run", "tasks.txt").stderr


def test_failures_are_grouped_by_reason_and_tried_again_next_time(sandbox: Sandbox) -> None:
    lines = ["shell:0:0:0:test -e mended\n", *(f"shell:0:0:0:exit 3; {n}\n" for n in range(4)), "shell:0:0:0:true\n"]
    sandbox.write("tasks.txt", "".join(lines))
    done = sandbox.distcomp("run", "tasks.txt", "--retries", "0", exit_code=1)
    assert done.stdout.startswith("1 finished, 5 failed; ")
    assert "4 failed: exit code 3   distcomp logs --err " in done.stdout
    assert "1 failed: exit code 1" in done.stdout
    sandbox.write("mended", "")
    done = sandbox.distcomp("run", "tasks.txt", exit_code=1)
    assert "5 tasks of these will run again" in done.stderr
    assert done.stdout.startswith("2 finished, 4 failed; ")


def test_a_failed_task_is_retried_as_often_as_is_granted(sandbox: Sandbox) -> None:
    sandbox.settings(retry_backoff="10ms")
    sandbox.distcomp("run", "--retries", "2", "--", "sh", "-c", "echo try >> tries; exit 1", exit_code=1)
    assert len(sandbox.lines("tries")) == 3


def test_the_summary_as_json(sandbox: Sandbox) -> None:
    sandbox.write("tasks.txt", "shell:0:0:0:true\nshell:0:0:0:exit 3\n")
    summary = json.loads(sandbox.distcomp("run", "tasks.txt", "--retries", "0", "--json", exit_code=1).stdout)
    assert (summary["outcome"], summary["exit_code"]) == ("failed", 1)
    assert summary["submitted"]["new"] == 2
    assert (summary["counts"]["finished"], summary["counts"]["failed"]) == (1, 1)
    [group] = summary["failures"]
    assert (group["cause"], group["reason"], group["tasks"]) == ("exit", "exit code 3", 1)


@pytest.mark.parametrize(
    ("line", "outcome", "exit_code"),
    [
        ("shell:0:0:0:true", "finished", 0),
        ("shell:0:0:0:false", "failed", 1),
        ("shell:0:4000T:0:true", "stuck", 1),
    ],
)
def test_the_outcome_for_scripts_goes_with_the_exit_code(
    sandbox: Sandbox, line: str, outcome: str, exit_code: int
) -> None:
    sandbox.write("tasks.txt", line)
    done = sandbox.distcomp("run", "tasks.txt", "--retries", "0", "--json", exit_code=exit_code)
    summary = json.loads(done.stdout)
    assert (summary["outcome"], summary["exit_code"]) == (outcome, exit_code)


def test_failures_are_grouped_by_their_last_words_too(kept: Sandbox) -> None:
    lines = [
        f"echo traceback >&2; echo 'no {what}' >&2; exit 1 # {n}\n" for n, what in enumerate(["disk", "net", "net"])
    ]
    kept.write("tasks.txt", "".join(lines))
    done = kept.distcomp("run", "--plain", "tasks.txt", "--retries", "0", exit_code=1)
    groups = re.findall(r"(\d+) failed: exit code 1 .*\n +(.*)", done.stdout)
    assert groups == [("2", "no net"), ("1", "no disk")]
    assert re.findall(r"(\d+) failed: exit code 1 .*\n +(.*)", kept.distcomp("status").stdout) == groups


def test_a_line_that_is_taken_out_of_the_file_does_not_count_any_more(kept: Sandbox) -> None:
    kept.write("tasks.txt", "true 1\nfalse 2\ntrue 3\n")
    kept.distcomp("run", "--plain", "tasks.txt", "--retries", "0", exit_code=1)
    kept.write("tasks.txt", "true 1\n")
    assert kept.distcomp("run", "--plain", "tasks.txt").stdout.startswith("1 finished; ")
    kept.distcomp("submit", "--plain", "-", stdin="true 4\ntrue 5\n")
    kept.write("tasks.txt", "true 4\n")
    done = kept.distcomp("run", "--plain", "tasks.txt")
    assert "1 task of the same job not in it waits or runs too: see distcomp tasks --state todo --job 3" in done.stderr
    assert "to take one out: distcomp cancel TASK" in done.stderr


def test_options_that_come_too_late_are_said(kept: Sandbox) -> None:
    kept.distcomp("run", "--timeout", "60", "--", "true")
    again = kept.distcomp("run", "--timeout", "60", "--", "true")
    assert again.stderr == "1 task: 0 new, 1 known (1 finished)\n", "it has these options"
    again = kept.distcomp("run", "--timeout", "5", "--", "true")
    assert "  1 of these keeps the priority, needs, timeout, retries and kind that it had; " in again.stderr
    assert "keeps the priority" in kept.distcomp("run", "--priority", "5", "--", "true").stderr


def test_without_a_file_it_runs_what_is_in_the_queue(sandbox: Sandbox) -> None:
    sandbox.distcomp("submit", "--", "true")
    sandbox.distcomp("submit", "--", "true", "2")
    assert sandbox.distcomp("run").stdout.startswith("2 finished; ")
    assert sandbox.distcomp("run").stdout.startswith("2 finished; "), "nothing is left, which is no error"


def test_flags_of_a_submission_without_one_are_not_taken_in_silence(sandbox: Sandbox) -> None:
    done = sandbox.distcomp("run", "--retries", "0", "--type", "shell", exit_code=2)
    assert done.stderr.startswith("distcomp: --retries, --type: for what is submitted, and that is nothing.")
    assert "or for what is in the queue: --set retries=VALUE.\n" in done.stderr


def test_a_command_after_dashes_and_stdin(sandbox: Sandbox) -> None:
    sandbox.distcomp("run", "--", "touch", "a file")
    assert (sandbox.folder / "a file").exists()
    sandbox.distcomp("run", "-", "--plain", stdin="touch another\n")
    assert (sandbox.folder / "another").exists()


def test_no_more_tasks_at_once_than_it_is_told(sandbox: Sandbox) -> None:
    lines = [f"shell:0:0:0:flock -n lock sleep 0.05 || echo {n} >> twice\n" for n in range(8)]
    sandbox.write("tasks.txt", "".join(lines))
    sandbox.distcomp("run", "tasks.txt", "-j", "1")
    assert sandbox.lines("twice") == []


def test_wrong_input_starts_nothing(sandbox: Sandbox) -> None:
    sandbox.write("tasks.txt", "nonsense\n")
    assert "tasks.txt:1:1" in sandbox.distcomp("run", "tasks.txt", exit_code=2).stderr
    assert "did you mean 'max_tasks'" in sandbox.distcomp("run", "--set", "max_task=1", exit_code=2).stderr
    assert "is not NAME=VALUE" in sandbox.distcomp("run", "--set", "max_tasks", exit_code=2).stderr
    assert not (sandbox.folder / ".distcomp").exists()


def test_what_no_node_can_run_ends_the_run_and_is_said(sandbox: Sandbox) -> None:
    sandbox.write("tasks.txt", "shell:0:0:0:true\nshell:0:4000T:0:true large\nshell:0:0:999:true wide\n")
    done = sandbox.distcomp("run", "tasks.txt", exit_code=1)
    assert done.stdout.startswith("1 finished, 2 left; ")
    assert re.search(r"1 task needs 3\.8\d PiB: no node has so much", done.stdout)
    assert re.search(r"1 task needs \d+ cores: no node has so much", done.stdout)
    assert sandbox.json("status")["counts"]["todo"] == 2


def test_a_task_that_declares_what_the_node_has_runs_there(sandbox: Sandbox) -> None:
    """In whatever steps the queue keeps needs: 1100 MiB are between two of them, and so are 1.9 cores."""
    node = ("--set", "memory=1100M", "--set", "cores=1.9")
    sandbox.write("tasks.txt", "".join(f"shell:0:{m}M:1.9:true {m}\n" for m in range(1090, 1111)))
    assert sandbox.distcomp("run", "tasks.txt", *node).stdout.startswith("21 finished; "), "1 % more does no harm"
    done = sandbox.distcomp("run", *node, "--memory", "1200M", "--", "true", exit_code=1)
    assert "1 task needs 1.16 GiB: no node has so much (at most 1.07 GiB)" in done.stdout


def test_progress_is_a_line_that_is_drawn_anew_on_a_terminal(sandbox: Sandbox) -> None:
    sandbox.write("tasks.txt", "".join(f"shell:0:0:0:sleep 0.7; : {n}\n" for n in range(3)))
    command = f"{' '.join(DISTCOMP)} run tasks.txt -j 3"
    environment = {**sandbox.environment, "TERM": "xterm", "COLUMNS": "150"}
    done = subprocess.run(
        ["script", "-qec", command, "/dev/null"], cwd=sandbox.folder, env=environment, capture_output=True
    )
    shown = done.stdout.decode()
    assert "0/3  3 running" in shown
    assert "\r\x1b[K" in shown
    assert "\n" not in shown[shown.index("0/3") : shown.rindex("3 running")]


def test_why_nothing_starts_is_said(sandbox: Sandbox) -> None:
    """More free disk is wanted than there is; then it is not."""
    sandbox.settings(min_free_disk="8P")
    run = sandbox.start("run", "--", "true")
    assert run.stdout is not None
    told = next(line for line in run.stdout if "starts nothing" in line)
    assert re.search(r"starts nothing for now: disk full: .* free, .* wanted \(min_free_disk\)", told)
    sandbox.settings(min_free_disk=0)
    assert run.wait(timeout=60) == 0


def test_a_worker_that_cannot_start_is_not_started_for_ever(sandbox: Sandbox) -> None:
    """What it said last is shown, and where the rest of it is."""
    sandbox.distcomp("submit", "--", "true")
    nodes = sandbox.folder / ".distcomp" / "nodes"
    nodes.rmdir()
    nodes.mkdir()
    node = subprocess.run(["hostname", "-s"], capture_output=True, text=True, check=True).stdout.strip()
    (nodes / node).mkdir()
    (nodes / node / "spool").write_text("not a folder")
    done = sandbox.distcomp("run", exit_code=1)
    assert "The worker ends again and again" in done.stderr
    assert "worker.log" in done.stderr
    assert sandbox.json("status")["counts"]["todo"] == 1


def test_a_worker_that_somebody_stops_ends_the_run(sandbox: Sandbox) -> None:
    sandbox.write("tasks.txt", "shell:0:0:0:sleep 0.5\nshell:0:0:0:sleep 600\n")
    run = sandbox.start("run", "tasks.txt", "-j", "1")
    wait_until(lambda: sandbox.processes("sleep 0.5"), "the first task runs")
    os.kill(sandbox.worker_pid(), signal.SIGTERM)
    output, _ = run.communicate(timeout=60)
    assert run.returncode == 1
    assert "stopped, by somebody else" in output
    assert sandbox.json("status")["counts"]["todo"] == 1


def test_when_the_terminal_goes_away_everything_ends_and_the_task_waits_for_the_next_run(sandbox: Sandbox) -> None:
    run = sandbox.start("run", "--", "sleep", "600")
    wait_until(lambda: sandbox.counts() == {"running": 1}, "it runs")
    run.send_signal(signal.SIGHUP)
    run.communicate(timeout=60)
    assert run.returncode == 128 + signal.SIGHUP
    assert sandbox.processes() == {}
    assert sandbox.json("status")["counts"]["todo"] == 1


@pytest.mark.parametrize("signal_number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_interrupted_before_it_began_to_run_leaves_nothing(sandbox: Sandbox, signal_number: int) -> None:
    """Stdin never ends, so it waits there."""
    process = subprocess.Popen(
        [*DISTCOMP, "run", "-"], cwd=sandbox.folder, stdin=subprocess.PIPE, stderr=subprocess.PIPE
    )
    assert process.stdin is not None
    process.stdin.write(b"shell:0:0:0:true\n")
    process.stdin.flush()
    wait_until(lambda: _reads_stdin(process.pid), "it reads")
    process.send_signal(signal_number)
    _, errors = process.communicate(timeout=60)
    assert process.returncode == 128 + signal_number
    assert b"Traceback" not in errors
    assert list(sandbox.folder.iterdir()) == []


def test_its_worker_waits_from_the_first_moment_and_touches_nothing_before_there_are_tasks(sandbox: Sandbox) -> None:
    run = _run_from_pipe(sandbox)
    wait_until(lambda: sandbox.processes("--on-call"), "the worker's process is there")
    assert run.poll() is None
    assert list(sandbox.folder.iterdir()) == []
    _, errors = run.communicate(b"nonsense\n", timeout=60)
    assert run.returncode == 2, errors
    assert sandbox.processes() == {}
    assert list(sandbox.folder.iterdir()) == []


def test_a_waiting_worker_that_is_killed_is_replaced(sandbox: Sandbox) -> None:
    run = _run_from_pipe(sandbox)
    wait_until(lambda: sandbox.processes("--on-call"), "the worker's process is there")
    for pid in sandbox.processes("--on-call"):
        os.kill(pid, signal.SIGKILL)
    output, errors = run.communicate(b"shell:0:0:0:true\n", timeout=60)
    assert run.returncode == 0, errors
    assert output.startswith(b"1 finished; ")


def test_a_waiting_worker_ends_with_the_command_that_was_killed(sandbox: Sandbox) -> None:
    run = _run_from_pipe(sandbox)
    wait_until(lambda: sandbox.processes("--on-call"), "the worker's process is there")
    run.kill()
    run.communicate(timeout=60)
    wait_until(lambda: not sandbox.processes(), "nothing is left")
    assert list(sandbox.folder.iterdir()) == []


def _run_from_pipe(sandbox: Sandbox) -> subprocess.Popen[bytes]:
    """It reads its tasks from us, so it has none yet."""
    return subprocess.Popen(
        [*DISTCOMP, "run", "-"], cwd=sandbox.folder, env=sandbox.environment,
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
    )  # fmt: skip


def _reads_stdin(pid: int) -> bool:
    """Asleep in read() on a pipe."""
    with open(f"/proc/{pid}/wchan") as wchan:
        return "pipe_read" in wchan.read()
