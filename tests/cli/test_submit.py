"""`distcomp submit`: what is new is added, what is known is counted, what is wrong stops it all."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.sandbox import DISTCOMP, Sandbox


def commands(sandbox: Sandbox) -> list[str]:
    return [task["command"] for task in sandbox.json("tasks")]


def test_a_file_of_tasks_is_added_once(kept: Sandbox) -> None:
    kept.write("tasks.txt", "# two tasks\nshell:4:2:0.5:echo a:b\n\nshell:0:512M:0:echo ä\r\n")
    assert kept.distcomp("submit", "tasks.txt").stdout == "2 tasks: 2 new (job 1)\n"
    first, second = kept.json("tasks")
    assert (first["command"], first["priority"], first["memory_bytes"], first["cores"]) == ("echo a:b", 4, 2 << 30, 0.5)
    assert (second["command"], second["memory_bytes"], second["state"]) == ("echo ä", 512 << 20, "todo")
    assert kept.distcomp("submit", "tasks.txt").stdout == "2 tasks: 0 new, 2 known (2 todo)\n"
    assert len(commands(kept)) == 2


def test_a_line_with_a_fault_stops_it_all_and_every_fault_is_listed(sandbox: Sandbox) -> None:
    sandbox.write("tasks.txt", "shell:0:0:0:echo a\nshell:x:0:-1:echo b\nshel:0:0:0:echo c\n")
    done = sandbox.distcomp("submit", "tasks.txt", exit_code=2)
    assert [line.strip().partition(": ")[0] for line in done.stderr.splitlines()[1:3]] == [
        "tasks.txt:2:11", "tasks.txt:3:1",
    ]  # fmt: skip
    assert done.stderr.startswith("distcomp: tasks.txt:2:7: priority")
    assert "Nothing was added." in done.stderr
    assert not (sandbox.folder / ".distcomp").exists(), "not even a project"


def test_skip_bad_adds_the_others_and_says_what_was_left_out(kept: Sandbox) -> None:
    kept.write("tasks.txt", "shell:0:0:0:echo a\nnonsense\n")
    done = kept.distcomp("submit", "tasks.txt", "--skip-bad")
    assert "1 line left out" in done.stdout
    assert "tasks.txt:2:1" in done.stdout
    report = json.loads(kept.distcomp("submit", "tasks.txt", "--skip-bad", "--json").stdout)
    assert (report["tasks"], report["new"], report["known"], report["faulty"]) == (1, 0, {"todo": 1}, 1)


def test_of_a_thousand_faults_the_first_fifty_are_listed(sandbox: Sandbox) -> None:
    sandbox.write("tasks.txt", "nonsense\n" * 1000)
    done = sandbox.distcomp("submit", "tasks.txt", exit_code=2)
    assert done.stderr.count("tasks.txt:") == 51
    assert "... and 950 more faults" in done.stderr


def test_equal_lines_are_one_task_and_reported(kept: Sandbox) -> None:
    kept.write("tasks.txt", "shell:0:0:0:echo a\nshell:0:0:0:echo b\nshell:9:1:0:echo a\n")
    done = kept.distcomp("submit", "tasks.txt")
    assert "3 tasks: 2 new" in done.stdout
    assert "1 equal to an earlier one and left out (number = that of its equal: 3 = 1)" in done.stdout
    assert commands(kept) == ["echo a", "echo b"]


def test_equal_lines_can_be_kept_and_are_known_the_next_time(kept: Sandbox) -> None:
    kept.write("tasks.txt", "shell:0:0:0:echo a\n" * 3)
    for new, known in ((3, {}), (0, {"todo": 3})):
        report = json.loads(kept.distcomp("submit", "tasks.txt", "--allow-duplicates", "--json").stdout)
        assert (report["new"], report["known"], report["equal"]) == (new, known, 0)
    assert commands(kept) == ["echo a"] * 3


def test_stdin_is_a_task_file(kept: Sandbox) -> None:
    kept.distcomp("submit", "-", stdin="".join(f"shell:0:0:0:echo {n}\n" for n in range(3000)))
    assert kept.json("status")["counts"]["todo"] == 3000


def test_stdin_that_is_a_file_is_read_from_where_it_is(kept: Sandbox) -> None:
    """A shell's `read` takes the first line, and leaves the others to the next program."""
    script = 'read first; exec "$@"'
    with kept.write("tasks.txt", "not a task\nshell:0:0:0:true\n").open() as file:
        command = ["sh", "-c", script, "sh", *DISTCOMP, "submit", "-"]
        done = subprocess.run(command, cwd=kept.folder, stdin=file, capture_output=True, text=True)
    assert done.stdout == "1 task: 1 new (job 1)\n"


def test_stdin_with_a_fault_is_called_stdin(sandbox: Sandbox) -> None:
    assert "stdin:1:1:" in sandbox.distcomp("submit", "-", stdin="nonsense\n", exit_code=2).stderr


def test_the_words_after_dashes_are_one_command_however_odd(kept: Sandbox) -> None:
    kept.distcomp("submit", "--memory", "2G", "--", "printf", "%s|", "a b", "$HOME", "it's", "--json")
    [task] = kept.json("tasks")
    done = subprocess.run(["bash", "-c", task["command"]], capture_output=True, text=True)
    assert done.stdout == "a b|$HOME|it's|--json|"
    assert task["memory_bytes"] == 2 << 30


def test_one_word_after_dashes_is_a_line_for_the_shell(kept: Sandbox) -> None:
    kept.distcomp("submit", "--", "echo a | tr a b >> $HOME/file")
    assert commands(kept) == ["echo a | tr a b >> $HOME/file"]


def test_plain_lines_are_commands_and_flags_say_the_rest(kept: Sandbox) -> None:
    flags = ["--priority", "5", "--memory", "0.5", "--cores", "2", "--tag", "a", "--tag", "b", "--kind", "k"]
    kept.distcomp("submit", "-", "--plain", *flags, "--timeout", "1h30m", "--retries", "0", stdin="echo 1:2:3:4\n")
    [task] = kept.json("tasks")
    assert {name: task[name] for name in ("command", "priority", "memory_bytes", "cores", "tags", "kind")} == {
        "command": "echo 1:2:3:4", "priority": 5, "memory_bytes": 1 << 29, "cores": 2, "tags": ["a", "b"], "kind": "k",
    }  # fmt: skip
    assert (task["timeout_s"], task["retries"]) == (5400, 0)


def test_json_lines_are_known_by_their_look(kept: Sandbox) -> None:
    line = {"command": "echo a", "memory": "1G", "env": {"X": "1"}, "cwd": "below", "params": {"n": 1}}
    kept.distcomp("submit", "-", stdin=json.dumps(line) + "\n")
    [task] = kept.json("tasks")
    assert (task["env"], task["cwd"], task["params"]) == ({"X": "1"}, str(kept.folder / "below"), {"n": 1})


def test_variables_and_directory_of_the_tasks(kept: Sandbox) -> None:
    kept.environment["FROM_HERE"] = "here"
    (kept.folder / "below").mkdir()
    kept.distcomp("submit", "--env", "FROM_HERE", "--env", "SET=a=b", "--cwd", "below", "--", "true")
    [task] = kept.json("tasks")
    assert task["env"] == {"FROM_HERE": "here", "SET": "a=b"}
    assert task["cwd"] == str(kept.folder / "below")


def test_python_tasks_run_with_the_python_that_submitted_them_or_another(kept: Sandbox) -> None:
    kept.distcomp("submit", "--type", "python", "--", "os:getcwd")
    other = Path(sys.executable).name
    kept.distcomp("submit", "--type", "python", "--python", other, "--", "os:getpid")
    assert [task["type"] for task in kept.json("tasks")] == ["python", "python"]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "Expected a task file, - for stdin, or -- and a command."),
        (["missing.txt"], "missing.txt: cannot be read: No such file or directory"),
        (["./sim --seed 1"], "If it is a command and no file: put -- before it."),
        (["."], ".: cannot be read: Is a directory"),
        (["a.txt", "--", "true"], "Expected either a task file, or -- and a command."),
        (["--"], "Expected either a task file, or -- and a command."),
        (["--timeout", "soon", "--", "true"], "--timeout: 'soon' is not a duration"),
        (["--env", "SURELY_NOT_SET", "--", "true"], "it is not set here"),
        (["--cwd", "nowhere", "--", "true"], "--cwd: nowhere is not a directory"),
        (["--format", "xml", "-"], "--format: 'xml' is not one of line, plain, jsonl"),
        (["--memory", "1G", "-"], "--memory: the lines of this format say it themselves"),
        (["--retries", "x", "--", "true"], "'x' is not a whole number"),
        (["--type", "python", "--", "not", "python"], "task:1:1"),
    ],
)
def test_wrong_input_is_exit_code_2_and_adds_nothing(sandbox: Sandbox, arguments: list[str], message: str) -> None:
    done = sandbox.distcomp("submit", *arguments, stdin="shell:0:0:0:true\n", exit_code=2)
    assert message in done.stderr
    assert "Traceback" not in done.stderr
    assert not (sandbox.folder / ".distcomp").exists()


def test_every_faulty_flag_is_named_at_once(sandbox: Sandbox) -> None:
    done = sandbox.distcomp("submit", "--timeout", "x", "--cores", "y", "--priority", "z", "--", "true", exit_code=2)
    assert [flag in done.stderr for flag in ("--timeout", "--cores", "--priority")] == [True] * 3


def test_a_file_without_tasks_adds_nothing_and_is_no_error(kept: Sandbox) -> None:
    assert "nothing was added" in kept.distcomp("submit", "-", stdin="# nothing\n").stdout
    assert kept.json("tasks") == []


def test_rerun_puts_known_tasks_back(kept: Sandbox) -> None:
    kept.distcomp("submit", "--", "true")
    kept.distcomp("cancel", "--all")
    again = kept.distcomp("submit", "--", "true").stdout
    assert "1 known (1 cancelled)" in again
    assert "--rerun" in again
    assert "1 task of these will run again" in kept.distcomp("submit", "--rerun", "--", "true").stdout
    assert kept.json("status")["counts"]["todo"] == 1
