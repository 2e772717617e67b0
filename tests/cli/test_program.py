"""The program as a whole: help, wrong usage, errors, pipes, completion."""

from __future__ import annotations

import json
import os
import re
import shlex
import subprocess
import sys

import pytest

from distcomp import __version__
from distcomp.cli.commands import HELP, MODULES
from tests.support.needs import needs_root
from tests.support.sandbox import DISTCOMP, Sandbox


def cpu_s(*arguments: str) -> float:
    """CPU seconds of a command, start of Python included: the least of three."""
    times = []
    for _ in range(3):
        process = subprocess.Popen([*DISTCOMP, *arguments], stdout=subprocess.DEVNULL)
        _, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
        times.append(usage.ru_utime + usage.ru_stime)
    return min(times)


def test_help_teaches_the_main_flow_in_ten_lines(sandbox: Sandbox) -> None:
    for arguments in (["--help"], ["-h"], ["help"], []):
        assert sandbox.distcomp(*arguments).stdout == HELP
    flow = HELP.partition("\n\n")[2].partition("\n\n")[0].splitlines()
    assert len(flow) <= 10
    for word in ("run", "submit", "status", "retry", "results"):
        assert any(f"distcomp {word}" in line for line in flow)


def test_help_is_cheap() -> None:
    assert cpu_s("--help") < 0.25


@pytest.mark.parametrize(
    "arguments", [["run", "--", "true"], ["worker", "--set", "nonsense=1"], ["tasks"], ["results"]]
)
def test_commands_start_without_what_they_do_not_need(kept: Sandbox, arguments: list[str]) -> None:
    """Values on the command line are read by us: typer's way of doing it costs as much as Python's start six times."""
    kept.distcomp("run", "--", "true", "first")
    command = [sys.executable, "-X", "importtime", "-m", "distcomp", *arguments]
    said = subprocess.run(command, cwd=kept.folder, capture_output=True, text=True).stderr
    imported = {line.rpartition("|")[2].strip() for line in said.splitlines()}
    assert "typer" in imported
    assert not imported & {"pydantic", "rich", "distcomp.nodes.hosts", "distcomp.simulate"}


def test_help_names_every_command_and_every_command_has_help(sandbox: Sandbox) -> None:
    for name in MODULES:
        assert re.search(rf"\b{name}\b", HELP.partition("Commands")[2])
        assert sandbox.distcomp(name, "--help").stdout.startswith("Usage: distcomp ")


def test_version(sandbox: Sandbox) -> None:
    assert sandbox.distcomp("--version").stdout == f"distcomp {__version__}\n"


@pytest.mark.parametrize(
    ("arguments", "suggestion"),
    [
        (["staus"], "status"),
        (["status", "--jsno"], "--json"),
        (["server", "strat"], "start"),
        (["ls"], "distcomp tasks"),
        (["--json", "status"], "distcomp status --json"),
        (["tasks", "--failed"], "distcomp tasks --state failed"),
        (["results", "failed"], "distcomp results --state failed"),
        (["retry", "--state", "failed"], "distcomp retry --failed"),
        (["run", "echo", "hi"], "distcomp run -- echo hi"),
        (["submit", "./prog", "1"], "distcomp submit -- ./prog 1"),
        (["run", "-P4", "tasks.txt"], "-j N"),
        (["run", "--jobs", "4", "tasks.txt"], "-j N"),
        (["-V"], "distcomp --version"),
    ],
)
def test_a_slip_of_the_pen_is_told_what_was_meant(sandbox: Sandbox, arguments: list[str], suggestion: str) -> None:
    done = sandbox.distcomp(*arguments, exit_code=2)
    assert suggestion in done.stderr
    assert "Traceback" not in done.stderr


def test_two_files_are_not_taken_for_a_command(sandbox: Sandbox) -> None:
    sandbox.write("a.txt", "shell:0:0:0:true a\n")
    sandbox.write("b.txt", "shell:0:0:0:true b\n")
    assert "cat a.txt b.txt | distcomp run -\n" in sandbox.distcomp("run", "a.txt", "b.txt", exit_code=2).stderr


@needs_root
def test_a_full_disk_under_the_store_is_said_with_what_to_do(kept: Sandbox) -> None:
    kept.distcomp("submit", "--", "true")
    kept.distcomp("server", "stop")
    store = kept.folder / ".distcomp" / "store"
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=4k", "tmpfs", str(store)], check=True)
    try:
        (store / "filler").write_bytes(b"x" * 4096)
        done = kept.distcomp("status", exit_code=2)
        assert "cannot be started: No space left on device." in done.stderr
        assert "free space" in done.stderr
    finally:
        subprocess.run(["umount", "-l", str(store)], check=True)


def test_a_mistake_makes_no_project(sandbox: Sandbox) -> None:
    """Else it would stand between what is typed in the right directory below and the project above."""
    for command in (
        ["run"], ["run", "nowhere.txt"], ["run", "nowhere.txt", "--hosts", "nowhere"], ["submit", "nowhere.txt"],
        ["nodes", "check"], ["nodes", "check", "--hosts", "nowhere"], ["nodes", "start", "--hosts", "nowhere"],
        ["nodes", "exec", "--timeout", "soon", "--", "ls"], ["sweep", "./sim {n}", "n=1..5"],
    ):  # fmt: skip
        assert sandbox.distcomp(*command, exit_code=2).stderr.startswith("distcomp: ")
        assert list(sandbox.folder.iterdir()) == [], command


def test_looking_where_there_is_no_project_says_so_and_makes_none(sandbox: Sandbox) -> None:
    for command in (["status"], ["tasks"], ["workers"], ["retry", "--failed"], ["results"], ["server", "status"]):
        done = sandbox.distcomp(*command, exit_code=2)
        assert done.stderr.startswith("distcomp: There is no .distcomp folder")
        assert done.stdout == ""
    assert list(sandbox.folder.iterdir()) == []


def test_an_error_says_what_happened_and_what_to_do_on_lines_of_their_own(kept: Sandbox) -> None:
    done = kept.distcomp("show", "abc", exit_code=4)
    assert done.stderr.splitlines() == ["distcomp: There is no task abc.", "  See 'distcomp tasks'."]


def test_a_store_that_is_not_there_is_exit_code_3(sandbox: Sandbox) -> None:
    sandbox.settings(store="redis://127.0.0.1:1/0")
    (sandbox.folder / ".distcomp").mkdir()
    done = sandbox.distcomp("submit", "--", "true", exit_code=3)
    assert done.stderr.startswith("distcomp: The store at redis://127.0.0.1:1/0 does not answer")


def test_settings_that_cannot_be_used_are_all_listed(sandbox: Sandbox) -> None:
    sandbox.settings(retries="many", max_taks=4)
    done = sandbox.distcomp("submit", "--", "true", exit_code=2)
    assert "distcomp.toml:1:11: retries: 'many' is not a whole number" in done.stderr
    assert "did you mean 'max_tasks'?" in done.stderr
    assert not (sandbox.folder / ".distcomp").exists()


def test_a_bug_is_one_line_and_a_report(sandbox: Sandbox) -> None:
    code = (
        "import distcomp.cli.main as m, distcomp.config as c, sys\n"
        "c.load = lambda *_: 1 / 0\n"
        "sys.exit(m.run(['config', 'show']))"
    )
    environment = sandbox.environment | {"TMPDIR": str(sandbox.folder)}
    done = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True)
    assert done.returncode == 70
    first, second = done.stderr.splitlines()
    assert first == "distcomp: this should not have happened: ZeroDivisionError: division by zero"
    [report] = sandbox.folder.glob("distcomp-crash-*.txt")
    assert str(report) in second
    assert "Traceback" in report.read_text()
    environment["DISTCOMP_DEBUG"] = "1"
    done = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True)
    assert "Traceback" in done.stderr


def test_a_reader_that_goes_away_is_no_error(kept: Sandbox) -> None:
    kept.distcomp("submit", "--plain", "-", stdin="".join(f"true {n}\n" for n in range(5000)))
    command = f"{' '.join(DISTCOMP)} tasks | head -1; echo ${{PIPESTATUS[0]}}"
    done = subprocess.run(["bash", "-c", command], cwd=kept.folder, capture_output=True, text=True)
    assert done.stderr == ""
    assert done.stdout.splitlines()[1:] == ["141"]


def test_a_full_disk_behind_stdout_is_said(kept: Sandbox) -> None:
    with open("/dev/full", "w") as full:
        done = subprocess.run([*DISTCOMP, "status"], cwd=kept.folder, stdout=full, stderr=subprocess.PIPE, text=True)
    assert (done.returncode, done.stderr) == (1, "distcomp: No space left on device.\n")


def test_another_directory(sandbox: Sandbox) -> None:
    (sandbox.folder / "below").mkdir()
    sandbox.distcomp("-C", "below", "submit", "--", "true")
    assert (sandbox.folder / "below" / ".distcomp").is_dir()
    assert not (sandbox.folder / ".distcomp").exists()
    sandbox.distcomp("-C", "nowhere", "status", exit_code=2)


def test_the_project_is_found_upwards(kept: Sandbox) -> None:
    (kept.folder / "a" / "b").mkdir(parents=True)
    kept.distcomp("-C", "a/b", "submit", "--", "true")
    [task] = kept.json("tasks")
    assert task["cwd"] == str(kept.folder / "a" / "b")


def test_a_project_whose_directory_is_renamed_keeps_its_tasks(sandbox: Sandbox) -> None:
    sandbox.distcomp("run", "--", "echo out")
    before = sandbox.json("tasks")
    sandbox.folder = sandbox.folder.rename(sandbox.folder.with_name("renamed"))
    assert sandbox.json("tasks") == before
    assert sandbox.distcomp("logs", before[0]["task_id"]).stdout == "out\n"
    name = next(setting["value"] for setting in sandbox.json("config", "show") if setting["name"] == "project")
    assert sandbox.json("status")["project"] == name


def test_no_colours_but_on_a_terminal(kept: Sandbox) -> None:
    kept.distcomp("submit", "--", "true")
    assert "\x1b" not in kept.distcomp("tasks").stdout
    on_terminal = ["script", "-qec", f"{' '.join(DISTCOMP)} tasks", "/dev/null"]
    environment = {**kept.environment, "TERM": "xterm"}
    environment.pop("NO_COLOR", None)

    def shown() -> str:
        return subprocess.run(on_terminal, cwd=kept.folder, env=environment, capture_output=True, text=True).stdout

    assert "\x1b[" in shown()
    environment["NO_COLOR"] = "1"
    assert "\x1b[" not in shown()


def complete(sandbox: Sandbox, *words: str) -> list[str]:
    """What bash would offer for the last word."""
    environment = sandbox.environment | {
        "_DISTCOMP_COMPLETE": "complete_bash",
        "COMP_WORDS": " ".join(("distcomp", *words)),
        "COMP_CWORD": str(len(words)),
    }
    done = subprocess.run(DISTCOMP, cwd=sandbox.folder, env=environment, capture_output=True, text=True)
    return done.stdout.split()


def test_the_shell_completes_commands_options_states_and_ids(kept: Sandbox) -> None:
    kept.distcomp("submit", "--", "true")
    [task] = kept.json("tasks")
    assert complete(kept, "res") == ["results"]
    assert complete(kept, "tasks", "--inc") == ["--include"]
    assert complete(kept, "tasks", "--state", "fi") == ["finished"]
    assert complete(kept, "show", task["task_id"][:3]) == [task["task_id"]]


def test_completion_is_installed_for_shells_that_there_is_one_for(sandbox: Sandbox) -> None:
    sandbox.environment["HOME"] = str(sandbox.folder)
    done = sandbox.distcomp("--install-completion", "tcsh", exit_code=2)
    assert done.stderr.startswith("distcomp: There is no completion for tcsh.\n  Nothing was changed.\n  Name one: ")
    assert list(sandbox.folder.iterdir()) == []
    assert "fish" in sandbox.distcomp("--install-completion", "fish").stdout
    script = sandbox.distcomp("--show-completion", "fish").stdout
    assert (sandbox.folder / ".config/fish/completions/distcomp.fish").read_text() == script
    sandbox.environment["HOME"] = "/proc/1"
    assert sandbox.distcomp("--install-completion", "bash", exit_code=1).stderr.startswith("distcomp: /proc/1/.bash")


def test_completing_ids_does_not_start_a_store(sandbox: Sandbox) -> None:
    sandbox.distcomp("submit", "--", "true")
    assert complete(sandbox, "show", "") == []
    assert sandbox.json("server", "status")["is_running"] is False


def test_everything_that_reads_has_json(kept: Sandbox) -> None:
    kept.distcomp("submit", "--", "true")
    [task] = kept.json("tasks")
    for command in (
        ["status"], ["workers"], ["show", task["task_id"]], ["explain", task["task_id"]], ["results"],
        ["config", "show"], ["server", "status"],
    ):  # fmt: skip
        json.loads(kept.distcomp(*command, "--json").stdout)


@pytest.mark.parametrize("closed", [">&-", "2>&-", "<&-", ">&- 2>&- <&-"])
def test_closed_standard_files_do_no_harm(kept: Sandbox, closed: str) -> None:
    script = f"{shlex.join(DISTCOMP)} run -- 'echo done > here; true # {closed}' {closed}"
    done = subprocess.run(["bash", "-c", script], cwd=kept.folder, env=kept.environment, capture_output=True)
    assert done.returncode == 0, done.stderr
    assert (kept.folder / "here").read_text() == "done\n"


def test_a_number_that_makes_no_sense_is_wrong_usage(kept: Sandbox) -> None:
    kept.distcomp("submit", "--", "true")
    assert "--limit is a number of tasks, and not -3" in kept.distcomp("tasks", "--limit", "-3", exit_code=2).stderr
