"""`distcomp sweep`: a template times its parameters."""

from __future__ import annotations

import pytest

from tests.support.sandbox import Sandbox


def test_every_combination_becomes_a_task_that_knows_its_parameters(kept: Sandbox) -> None:
    for name in ("a b.txt", "c.txt"):
        kept.write(name, "")
    done = kept.distcomp("sweep", "wc {file} -m {n} -o {file.stem}", "file=glob:*.txt", "n=range:1..2")
    assert done.stdout == "4 tasks: 4 new (job 1)\n"
    tasks = kept.json("tasks")
    assert tasks[0]["command"] == "wc 'a b.txt' -m 1 -o 'a b'"
    assert [task["params"] for task in tasks] == [
        {"file": file, "n": n} for file in ("a b.txt", "c.txt") for n in (1, 2)
    ]
    assert (
        "4 known" in kept.distcomp("sweep", "wc {file} -m {n} -o {file.stem}", "file=glob:*.txt", "n=range:1..2").stdout
    )


@pytest.mark.parametrize("flag", ["--plain", "--skip-bad", "--format=jsonl"])
def test_flags_of_task_files_are_not_taken_in_silence(sandbox: Sandbox, flag: str) -> None:
    done = sandbox.distcomp("sweep", "./p {n}", "n=1,2", flag, exit_code=2)
    assert "No such option" in done.stderr


def test_conditions_and_zips(kept: Sandbox) -> None:
    kept.distcomp("sweep", "./p {a} {b} {c}", "a=1,2,3", "b=x,y,z", "c=0,1", "--zip", "a,b", "--where", "a + c < 4")
    assert [task["command"] for task in kept.json("tasks")] == [
        "./p 1 x 0", "./p 1 x 1", "./p 2 y 0", "./p 2 y 1", "./p 3 z 0",
    ]  # fmt: skip


def test_dry_run_shows_and_adds_nothing(sandbox: Sandbox) -> None:
    done = sandbox.distcomp("sweep", "./p {n}", "n=range:1..1000", "--dry-run")
    assert done.stdout.splitlines()[:2] == ["./p 1", "./p 2"]
    assert done.stdout.splitlines()[-1] == "... 1,000 tasks in all"
    assert len(sandbox.json("sweep", "./p {n}", "n=range:1..1000", "--dry-run")) == 1000
    assert list(sandbox.folder.iterdir()) == []


def test_a_sweep_can_be_written_to_a_task_file(kept: Sandbox) -> None:
    done = kept.distcomp("sweep", "./p {n}", "n=1,2", "-o", "tasks.jsonl", "--memory", "1G", "--tag", "t")
    assert "2 tasks in tasks.jsonl: distcomp run tasks.jsonl" in done.stderr
    assert kept.json("tasks") == []
    kept.distcomp("submit", "tasks.jsonl")
    [task, _] = kept.json("tasks")
    assert (task["params"], task["memory_bytes"], task["tags"]) == ({"n": 1}, 1 << 30, ["t"])
    printed = kept.distcomp("sweep", "./p {n}", "n=1,2", "-o", "-").stdout
    assert printed.count("\n") == 2


def test_the_file_and_the_sweep_itself_are_the_same_tasks(kept: Sandbox) -> None:
    kept.distcomp("sweep", "./p {n}", "n=1,2")
    kept.distcomp("sweep", "./p {n}", "n=1,2", "-o", "tasks.jsonl")
    assert "0 new, 2 known" in kept.distcomp("submit", "tasks.jsonl").stdout


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["./p {a}", "b=1"], "template"),
        (["./p {a}", "a=range:x"], "parameter a"),
        (["./p {a}", "a=1", "--where", "a <"], "where"),
        (["./p {a}", "a=glob:*.none"], "no file matches"),
        (["./p {a} {b}", "a=1", "b=1,2", "--zip", "a,b"], "not equally many values"),
        (["./p {a}"], "Missing argument"),
    ],
)
def test_wrong_input_adds_nothing(sandbox: Sandbox, arguments: list[str], message: str) -> None:
    assert message in sandbox.distcomp("sweep", *arguments, exit_code=2).stderr
    assert list(sandbox.folder.iterdir()) == []
