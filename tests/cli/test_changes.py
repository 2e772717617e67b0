"""`retry`, `cancel`, `forget`."""

from __future__ import annotations

import json
import subprocess

import pytest

from tests.support.sandbox import DISTCOMP, Sandbox
from tests.support.waiting import wait_until


def with_tasks(sandbox: Sandbox, *commands: str) -> list[str]:
    """Submit tasks; their ids."""
    sandbox.distcomp("submit", "--plain", "-", stdin="".join(f"{command}\n" for command in commands))
    return [task["task_id"] for task in sandbox.json("tasks")]


def states(sandbox: Sandbox) -> list[str]:
    return [task["state"] for task in sandbox.json("tasks")]


def test_cancel_some_and_retry_them(kept: Sandbox) -> None:
    ids = with_tasks(kept, "a", "b", "c")
    assert kept.distcomp("cancel", ids[0], ids[1][:9]).stdout == "2 tasks cancelled\n"
    assert states(kept) == ["cancelled", "cancelled", "todo"]
    assert kept.distcomp("retry", ids[0]).stdout == "1 task will run again\n"
    assert kept.distcomp("retry", "--cancelled").stdout == "1 task will run again\n"
    assert states(kept) == ["todo"] * 3


def test_cancel_all_that_match(kept: Sandbox) -> None:
    with_tasks(kept, "./a 1", "./a 2", "./b 1")
    kept.distcomp("cancel", "--all", "--include", "./a")
    assert states(kept) == ["cancelled", "cancelled", "todo"]


def test_a_running_attempt_is_killed_when_its_task_is_cancelled(sandbox: Sandbox) -> None:
    run = sandbox.start("run", "--", "sleep", "600")
    wait_until(lambda: sandbox.counts() == {"running": 1}, "it runs")
    assert sandbox.distcomp("cancel", "--all").stdout == "1 task cancelled\n"
    output, _ = run.communicate(timeout=60)
    assert run.returncode == 1, output
    assert "1 cancelled" in output


def test_cancel_all_asks_on_a_terminal(kept: Sandbox) -> None:
    with_tasks(kept, "a", "b")
    command = ["script", "-qec", f"{' '.join(DISTCOMP)} cancel --all", "/dev/null"]
    for answer, code, expected in (("n", 1, ["todo", "todo"]), ("y", 0, ["cancelled", "cancelled"])):
        done = subprocess.run(command, cwd=kept.folder, input=f"{answer}\n", capture_output=True, text=True)
        assert "Cancel 2 tasks, 0 of them running?" in done.stdout
        assert (done.returncode, states(kept)) == (code, expected)


def test_to_forget_all_asks_on_a_terminal(sandbox: Sandbox) -> None:
    """Results are gone for good."""
    sandbox.distcomp("run", "--", "true")
    command = ["script", "-qec", f"{' '.join(DISTCOMP)} forget --finished", "/dev/null"]
    for answer, code, expected in (("n", 1, ["finished"]), ("y", 0, [])):
        done = subprocess.run(command, cwd=sandbox.folder, input=f"{answer}\n", capture_output=True, text=True)
        assert "Forget 1 task?" in done.stdout
        assert (done.returncode, states(sandbox)) == (code, expected)


def test_what_cannot_be_changed_is_counted_and_stays(kept: Sandbox) -> None:
    ids = with_tasks(kept, "a", "b")
    kept.distcomp("cancel", ids[0])
    assert kept.distcomp("cancel", *ids).stdout == "1 task cancelled\n  1 left as it is: cancelled\n"
    kept.distcomp("retry", ids[0])
    changes = json.loads(kept.distcomp("forget", *ids, "--json").stdout)
    assert changes == {"changed": 1, "refused": {"todo": 1}}


def test_forgotten_tasks_are_gone_and_new_when_submitted_again(sandbox: Sandbox) -> None:
    sandbox.write("tasks.txt", "shell:0:0:0:true\nshell:0:0:0:false\n")
    sandbox.distcomp("run", "tasks.txt", "--retries", "0", exit_code=1)
    assert sandbox.distcomp("forget", "--finished").stdout == "1 task forgotten\n"
    assert states(sandbox) == ["failed"]
    assert "1 new (job 2), 1 known (1 failed)" in sandbox.distcomp("submit", "tasks.txt").stdout
    assert sandbox.distcomp("retry", "--failed").stdout == "1 task will run again\n"


@pytest.mark.parametrize("command", ["retry", "cancel", "forget"])
def test_which_tasks_must_be_said(kept: Sandbox, command: str) -> None:
    ids = with_tasks(kept, "a", "b")
    flag = "--all" if command == "cancel" else "--failed"
    for arguments in ([], ["--include", "a"], [ids[0], flag]):
        done = kept.distcomp(command, *arguments, exit_code=2)
        assert "Nothing was changed." in done.stderr
    assert states(kept) == ["todo", "todo"]


def test_a_wrong_id_among_others_changes_nothing(kept: Sandbox) -> None:
    ids = with_tasks(kept, "a", "b")
    assert "There is no task" in kept.distcomp("cancel", *ids, "0" * 16, exit_code=4).stderr
    assert states(kept) == ["todo", "todo"]


def test_an_id_that_fits_several_is_refused(kept: Sandbox) -> None:
    ids = with_tasks(kept, *(f"t{n}" for n in range(40)))
    digits = [task_id[0] for task_id in ids]
    shared = max(set(digits), key=digits.count)
    assert "fits several tasks" in kept.distcomp("cancel", shared, exit_code=4).stderr
