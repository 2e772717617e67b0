"""`status`, `workers`, `tasks`, `show`, `explain`, `logs`."""

from __future__ import annotations

import re
import shlex
import signal
import subprocess
from collections.abc import Iterator

import pytest

from tests.support.sandbox import DISTCOMP, Sandbox
from tests.support.waiting import wait_until

TASKS = """\
{"command": "echo out; echo err >&2; printf '\\\\377\\\\000'", "tags": ["t", "u"], "kind": "print"}
{"command": "echo why >&2; exit 3", "tags": ["t"], "params": {"n": 1}}
{"command": "true alone"}
"""


@pytest.fixture(scope="module")
def ran(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Sandbox]:
    """A project whose tasks have run: one printed, one failed, and one waits for more memory than there is."""
    sandbox = Sandbox(tmp_path_factory.mktemp("ran"))
    sandbox.distcomp("server", "start")
    sandbox.write("tasks.jsonl", TASKS)
    sandbox.distcomp("run", "tasks.jsonl", "--retries", "1", "--set", "retry_backoff=10ms", exit_code=1)
    sandbox.distcomp("submit", "--memory", "4000T", "--", "true", "too", "large")
    yield sandbox
    sandbox.distcomp("server", "stop", "--now")
    sandbox.close()


def only(sandbox: Sandbox, *arguments: str) -> str:
    """Id of the one task that the arguments find."""
    [task] = sandbox.json("tasks", *arguments)
    return str(task["task_id"])


def test_status(ran: Sandbox) -> None:
    status = ran.json("status")
    assert status["counts"] == {"todo": 1, "running": 0, "finished": 2, "failed": 1, "cancelled": 0}
    assert status["attempts"] == {"finished": 2, "exit": 2}
    assert status["workers"]["workers"] == 0
    text = ran.distcomp("status").stdout
    assert "4: 2 finished, 1 failed, 1 todo" in text
    assert "exit: 2 attempts" in text


def test_status_of_a_project_without_tasks(kept: Sandbox) -> None:
    assert "none yet" in kept.distcomp("status").stdout


@pytest.mark.parametrize(
    ("arguments", "found"),
    [
        ([], ["echo out", "echo why", "true alone", "true too"]),
        (["--state", "failed"], ["echo why"]),
        (["--state", "todo,failed"], ["echo why", "true too"]),
        (["--state", "todo", "--state", "failed"], ["echo why", "true too"]),
        (["--include", "echo"], ["echo out", "echo why"]),
        (["--include", "echo", "--exclude", "exit"], ["echo out"]),
        (["--tag", "t", "--tag", "u"], ["echo out"]),
        (["--kind", "print"], ["echo out"]),
        (["--job", "2"], ["true too"]),
        (["--limit", "2"], ["echo out", "echo why"]),
        (["--state", "cancelled"], []),
    ],
)
def test_tasks_and_their_filters(ran: Sandbox, arguments: list[str], found: list[str]) -> None:
    tasks = ran.json("tasks", *arguments)
    assert [" ".join(task["command"].split()[:2]).rstrip(";") for task in tasks] == found
    lines = ran.distcomp("tasks", *arguments).stdout.splitlines()
    assert lines[1:] == [] or len(lines) == 1 + len(found)


def test_tasks_say_why_they_failed(ran: Sandbox) -> None:
    [_, line] = ran.distcomp("tasks", "--state", "failed").stdout.splitlines()
    assert "exit code 3" in line


def test_no_such_state(ran: Sandbox) -> None:
    assert "'gone' is not one of todo" in ran.distcomp("tasks", "--state", "gone", exit_code=2).stderr


def test_show_by_the_beginning_of_the_id(ran: Sandbox) -> None:
    failed = only(ran, "--state", "failed")
    shown = ran.json("show", failed[:8])
    assert (shown["task_id"], shown["state"], shown["params"]) == (failed, "failed", {"n": 1})
    assert shown["outcome"]["exit_code"] == 3
    text = ran.distcomp("show", failed).stdout
    for word in ("exit code 3", "end of stderr:", "  why", "parameters  n=1", "directory"):
        assert word in text


def test_show_what_is_not_there(ran: Sandbox) -> None:
    assert "There is no task" in ran.distcomp("show", "0000000000000000", exit_code=4).stderr
    assert "is not a task id" in ran.distcomp("show", "task", exit_code=4).stderr


def test_explain_every_attempt(ran: Sandbox) -> None:
    failed = only(ran, "--state", "failed")
    explained = ran.json("explain", failed)
    assert [attempt["attempt"] for attempt in explained["attempts"]] == [1, 2]
    assert (explained["failures"], explained["retries"]) == (2, 1)
    text = ran.distcomp("explain", failed).stdout
    assert "It failed: exit code 3. It failed 2 times; 1 retry is granted." in text
    assert text.count("exit code 3") == 3


def test_what_keeps_a_waiting_task_from_each_worker(sandbox: Sandbox) -> None:
    sandbox.distcomp("submit", "--memory", "4000T", "--", "true")
    worker = sandbox.start("worker")
    wait_until(lambda: sandbox.json("workers"), "the worker is there")
    [view] = sandbox.json("workers")
    assert (view["state"], view["running"]) == ("working", 0)
    assert view["worker"] in sandbox.distcomp("workers").stdout
    [task] = sandbox.json("tasks")
    [hindrance] = sandbox.json("explain", task["task_id"])["hindrances"]
    assert hindrance["worker"] == view["worker"]
    assert "it needs 3.91 PiB, the node has" in hindrance["why"]
    assert re.search(r"1 task needs 3\.[89]\d PiB: no node has so much", sandbox.distcomp("status").stdout)
    worker.send_signal(signal.SIGTERM)
    worker.communicate(timeout=60)
    assert "no worker" in sandbox.distcomp("workers").stdout


def test_what_needs_more_than_all_nodes_so_far_is_told_so_when_no_worker_is_there(ran: Sandbox) -> None:
    """To start a worker, as is said else, would help nothing."""
    why = ran.json("explain", only(ran, "--state", "todo"))["why"]
    assert re.match(r"It waits for a larger node: it needs 3\.91 PiB, and the largest node .* has [\d.]+ [GT]iB\.", why)


def test_logs_are_bytes(ran: Sandbox) -> None:
    printed = only(ran, "--kind", "print")
    for flags, expected in (([], b"out\n\xff\0"), (["--err"], b"err\n")):
        done = subprocess.run([*DISTCOMP, "logs", printed, *flags], cwd=ran.folder, capture_output=True)
        assert (done.returncode, done.stdout, done.stderr) == (0, expected, b"")


def test_logs_of_each_attempt(ran: Sandbox) -> None:
    failed = only(ran, "--state", "failed")
    for attempt in ("1", "2"):
        assert ran.distcomp("logs", failed, "--err", "--attempt", attempt).stdout == "why\n"
    assert "there are: 1, 2" in ran.distcomp("logs", failed, "--attempt", "3", exit_code=4).stderr


def test_logs_of_what_has_not_run(ran: Sandbox) -> None:
    assert "has not run yet" in ran.distcomp("logs", only(ran, "--state", "todo"), exit_code=4).stderr


def test_logs_of_what_printed_nothing_are_empty(ran: Sandbox) -> None:
    assert ran.distcomp("logs", only(ran, "--include", "alone")).stdout == ""


@pytest.mark.parametrize(
    ("task", "flags", "said"),
    [
        ("echo why", [], "nothing was printed to stdout; to stderr there was: distcomp logs --err "),
        ("echo why", ["--attempt", "1"], "distcomp logs --err --attempt 1 "),
        ("alone", [], "nothing was printed, neither to stdout nor to stderr"),
        ("alone", ["--err"], "nothing was printed, neither to stderr nor to stdout"),
    ],
)
def test_who_looks_at_an_empty_output_is_told_where_to_look(
    ran: Sandbox, task: str, flags: list[str], said: str
) -> None:
    """On a terminal, and not in what is printed."""
    command = shlex.join([*DISTCOMP, "logs", *flags, only(ran, "--include", task)])
    on_terminal = subprocess.run(
        ["script", "-qec", f"{command} >{ran.folder}/out", "/dev/null"],
        cwd=ran.folder,
        env={**ran.environment, "TERM": "xterm"},
        capture_output=True,
        text=True,
    )
    assert said in on_terminal.stdout
    assert (ran.folder / "out").read_text() == ""
    assert subprocess.run(command, shell=True, cwd=ran.folder, capture_output=True).stderr == b""


def test_logs_follow_a_running_attempt_to_its_end(sandbox: Sandbox) -> None:
    """Begun before the task runs, it waits; then every line comes when it is printed, and each once."""
    sandbox.write("tasks.txt", "shell:0:0:0:echo first; until test -e go; do sleep 0.05; done; echo last\n")
    sandbox.distcomp("submit", "tasks.txt")
    [task] = sandbox.json("tasks")
    command = [*DISTCOMP, "logs", "--follow", task["task_id"]]
    with subprocess.Popen(command, cwd=sandbox.folder, stdout=subprocess.PIPE) as logs:
        assert logs.stdout is not None
        run = sandbox.start("run")
        assert logs.stdout.readline() == b"first\n"
        assert sandbox.distcomp("logs", task["task_id"]).stdout == "first\n"
        sandbox.write("go", "")
        assert logs.stdout.read() == b"last\n"
    assert logs.returncode == 0
    run.communicate(timeout=60)


def test_logs_follow_a_large_output(sandbox: Sandbox) -> None:
    """More than is kept uncompressed, so that the file goes away at the attempt's end."""
    sandbox.write("tasks.txt", "shell:0:0:0:until test -e go; do sleep 0.05; done; seq 200000; sleep 0.3; echo last\n")
    sandbox.distcomp("submit", "tasks.txt")
    [task] = sandbox.json("tasks")
    logs = subprocess.Popen(
        [*DISTCOMP, "logs", "--follow", task["task_id"]], cwd=sandbox.folder, stdout=subprocess.PIPE
    )
    run = sandbox.start("run")
    sandbox.write("go", "")
    output, _ = logs.communicate(timeout=60)
    assert output.split() == [*(str(n).encode() for n in range(1, 200_001)), b"last"]
    run.communicate(timeout=60)
