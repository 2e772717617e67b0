"""`distcomp worker`: in the foreground, until it is stopped."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
from pathlib import Path

from tests.support.sandbox import DISTCOMP, Sandbox
from tests.support.servers import running_server
from tests.support.waiting import wait_until


def test_it_runs_what_comes_and_leaves_when_told(sandbox: Sandbox) -> None:
    worker = sandbox.start("worker")
    sandbox.worker_pid()
    wait_until(lambda: (sandbox.folder / ".distcomp").is_dir(), "it makes a project")
    sandbox.distcomp("submit", "--", "touch", "done")
    wait_until(lambda: (sandbox.folder / "done").exists(), "the task has run")
    wait_until(lambda: sandbox.counts() == {"finished": 1}, "its result is in the store")
    worker.send_signal(signal.SIGTERM)
    output, _ = worker.communicate(timeout=60)
    assert worker.returncode == 0, output
    assert "started on" in output


def test_the_watch_goes_before_what_it_watches_where_that_is_allowed(sandbox: Sandbox) -> None:
    """Attempts that keep all processors busy do not keep it waiting, and are not so favoured themselves."""
    trial = "import os; os.sched_setscheduler(0, os.SCHED_RR, os.sched_param(1))"
    is_allowed = subprocess.run([sys.executable, "-c", trial], capture_output=True, check=False).returncode == 0
    worker = sandbox.start("worker")
    task = "import os, time; print(os.sched_getscheduler(0), file=open('seen', 'w'), flush=True); time.sleep(1000)"
    sandbox.write("task.py", task)
    sandbox.distcomp("submit", "--", sys.executable, "task.py")
    wait_until(lambda: sandbox.lines("seen"), "the task has looked how it is scheduled")
    assert sandbox.lines("seen") == [str(os.SCHED_OTHER)]
    policy = os.sched_getscheduler(sandbox.worker_pid()) & ~os.SCHED_RESET_ON_FORK
    assert policy == (os.SCHED_RR if is_allowed else os.SCHED_OTHER)
    worker.send_signal(signal.SIGHUP)
    worker.communicate(timeout=60)


def test_only_its_main_thread_hears_of_the_end_of_a_child(kept: Sandbox) -> None:
    """Another one may be within a start that takes long, and until that is over nobody would hear of it."""
    worker = kept.start("worker")
    kept.distcomp("submit", "--", "sh", "-c", "head -c 1000000 /dev/zero")
    wait_until(lambda: kept.counts() == {"finished": 1}, "it works")
    deaf = {}
    for thread in Path(f"/proc/{kept.worker_pid()}/task").iterdir():
        blocked = int(re.findall(r"SigBlk:\t(\w+)", (thread / "status").read_text())[0], 16)
        deaf[int(thread.name)] = bool(blocked & 1 << signal.SIGCHLD - 1)
    assert len(deaf) > 4, "starters, courier, doorbell"
    assert deaf.pop(kept.worker_pid()) is False
    assert all(deaf.values())
    worker.send_signal(signal.SIGTERM)
    worker.communicate(timeout=60)


def test_told_once_it_finishes_what_runs(sandbox: Sandbox) -> None:
    sandbox.write("tasks.txt", "shell:0:0:0:sleep 1; touch done\nshell:0:0:0:true\n")
    sandbox.distcomp("submit", "tasks.txt")
    worker = sandbox.start("worker", "-j", "1")
    wait_until(lambda: sandbox.processes("sleep 1"), "the task runs")
    worker.send_signal(signal.SIGINT)
    worker.communicate(timeout=60)
    assert (sandbox.folder / "done").exists()
    counts = sandbox.json("status")["counts"]
    assert (counts["finished"], counts["todo"]) == (1, 1)


def test_a_second_worker_on_the_node_is_refused(sandbox: Sandbox) -> None:
    first = sandbox.start("worker")
    wait_until(lambda: any(sandbox.folder.glob(".distcomp/nodes/*/running")), "the first one holds the node")
    done = sandbox.distcomp("worker", exit_code=5)
    assert "A worker of this project already runs" in done.stderr
    first.send_signal(signal.SIGTERM)
    first.communicate(timeout=60)


def test_it_ends_with_whoever_holds_its_leash(sandbox: Sandbox) -> None:
    sandbox.distcomp("submit", "--", "sleep", "600")
    leash, end = os.pipe()
    worker = subprocess.Popen(
        [*DISTCOMP, "worker", "--leash", str(leash)], cwd=sandbox.folder, pass_fds=(leash,), stderr=subprocess.PIPE
    )
    os.close(leash)
    wait_until(lambda: sandbox.processes("sleep 600"), "the task runs")
    os.close(end)
    worker.communicate(timeout=60)
    assert worker.returncode == 0
    assert sandbox.json("status")["counts"]["todo"] == 1
    assert not sandbox.processes("sleep 600")


def test_it_works_for_a_project_on_a_store_elsewhere(sandbox: Sandbox) -> None:
    with running_server("valkey9") as socket:
        elsewhere = sandbox.folder / "elsewhere"
        elsewhere.mkdir()
        sandbox.settings(store=f"unix://{socket}", project="shared")
        sandbox.distcomp("submit", "--", "touch", "done")
        worker = subprocess.Popen(
            [*DISTCOMP, "worker", "--store", f"unix://{socket}", "--project", "shared"],
            cwd=elsewhere, stderr=subprocess.PIPE,
        )  # fmt: skip
        wait_until(lambda: (sandbox.folder / "done").exists(), "the task has run, in the folder it was submitted from")
        worker.send_signal(signal.SIGTERM)
        worker.communicate(timeout=60)
        assert worker.returncode == 0
        assert sandbox.json("status")["counts"]["finished"] == 1


def test_settings_for_one_worker(sandbox: Sandbox) -> None:
    assert (
        "max_tasks: 'x' is not a whole number" in sandbox.distcomp("worker", "--set", "max_tasks=x", exit_code=2).stderr
    )


def test_what_a_worker_runs_can_be_seen_long_before_its_next_heartbeat(kept: Sandbox) -> None:
    """Which is due after a quarter of a lease."""
    kept.settings(lease="80s")
    kept.start("worker", "-j", "3")
    wait_until(lambda: kept.json("workers"), "it is there")
    kept.distcomp("submit", "--plain", "-", stdin="".join(f"sleep 600; : {n}\n" for n in range(3)))
    wait_until(lambda: kept.json("status")["workers"]["running"] == 3, "it says that it runs three", timeout_s=15)
    kept.distcomp("cancel", "--all")
    wait_until(lambda: kept.json("status")["workers"]["running"] == 0, "it says that it runs none", timeout_s=15)
    os.kill(kept.worker_pid(), signal.SIGTERM)
