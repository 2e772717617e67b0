"""Ordinary errors, however odd: a line that says what is wrong, no traceback, and no report of a crash."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.sandbox import DISTCOMP, Sandbox

LONG = "x" * 300


@pytest.fixture
def odd(sandbox: Sandbox) -> Iterator[Sandbox]:
    """Its reports of crashes would be in `reports`."""
    reports = sandbox.folder.parent / "reports"
    reports.mkdir(exist_ok=True)
    sandbox.environment["TMPDIR"] = str(reports)
    yield sandbox
    assert list(reports.iterdir()) == []


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"\x00\x01\xff\n" * 100, "tasks.txt:1:1: a NUL byte"),
        (b"shell:0:0:0:echo a\0b\n", "tasks.txt:1:19: a NUL byte"),
        (b"shell:0:0:0:echo " + b"x" * 3_000_000, "tasks.txt:1: the line is longer than 2 MiB"),
        ("shell:0:0:0:true\n".encode("utf-16"), "the file is UTF-16"),
        (b'[{"command": "true"}]\n', "tasks.txt:1:1: expected type:priority:min_dram:min_cpu:command"),
        (None, "tasks.txt: cannot be read: Is a directory"),
    ],
    ids=["binary", "NUL", "long", "UTF-16", "array", "directory"],
)
def test_task_files(odd: Sandbox, content: bytes | None, said: str) -> None:
    path = odd.folder / "tasks.txt"
    path.mkdir() if content is None else path.write_bytes(content)
    done = odd.distcomp("run", "tasks.txt", exit_code=2)
    assert said in done.stderr
    assert not (odd.folder / ".distcomp").exists()


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["run", LONG], "cannot be read: File name too long"),
        (["submit", "--cwd", LONG, "--", "true"], "distcomp: File name too long: xxx"),
        (["sweep", "./p {a}", "a=1", "-o", LONG], "distcomp: File name too long: xxx"),
        (["run", "\udcff"], "cannot be read: No such file"),
        (["simulate", "--family", "mix", "--tasks", "0"], "--tasks"),
        (["run", "--slurm", "0", "--", "true"], "--slurm is a number of workers, and not 0"),
        (["--install-completion", "csh"], "There is no completion for csh"),
    ],
)
def test_arguments(odd: Sandbox, arguments: list[str], said: str) -> None:
    done = odd.distcomp(*arguments, exit_code=None)
    assert done.returncode in (1, 2)
    assert said in done.stderr
    assert len(done.stderr) < 600


def test_the_current_directory_is_gone(odd: Sandbox) -> None:
    script = f"mkdir gone; cd gone; rmdir ../gone; exec {' '.join(DISTCOMP)} status"
    done = subprocess.run(["sh", "-c", script], cwd=odd.folder, env=odd.environment, capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (2, "distcomp: The current directory was removed.\n")


def test_letters_that_the_terminal_does_not_have(odd: Sandbox) -> None:
    odd.distcomp("run", "--", "true é")
    odd.environment |= {"PYTHONIOENCODING": "ascii", "PYTHONUTF8": "0"}
    for command in ("tasks", "results", "status"):
        odd.distcomp(command)
    assert r"true \xe9" in odd.distcomp("tasks").stdout
    assert json.loads(odd.distcomp("tasks", "--json").stdout)[0]["command"] == "true é"
    assert odd.distcomp("tasks", "-n", "99999999999999999999").returncode == 0


def test_a_directory_and_variables_that_are_no_utf8(odd: Sandbox) -> None:
    """As names from before UTF-8 are. What a task gets is the same bytes."""
    folder = odd.folder / "caf\udce9"
    folder.mkdir()
    (folder / "tas\udce9.txt").write_bytes(b'printf %s "$A" "${PWD##*/}" | od -An -tx1\n./gone\xe9\n')
    flags = ("--plain", "--env", "A=\udce9", "--kind", "\udce9", "--set", "retries=0")
    assert "1 finished, 1 failed" in odd.distcomp("-C", "caf\udce9", "run", *flags, "tas\udce9.txt", exit_code=1).stdout
    [ended] = json.loads(odd.distcomp("-C", "caf\udce9", "tasks", "--state", "finished", "--json").stdout)
    assert odd.distcomp("-C", "caf\udce9", "logs", ended["task_id"]).stdout.split() == ["e9", "63", "61", "66", "e9"]
    odd.distcomp("-C", "caf\udce9", "show", ended["task_id"])
    missing = odd.folder / "b.jsonl"
    missing.write_bytes(b'{"command": "true", "cwd": "gone\xe9"}')
    assert "the working directory is not there" in odd.distcomp("run", "b.jsonl", exit_code=1).stdout


def test_what_a_task_is_or_gives_cannot_do_things_to_the_terminal(odd: Sandbox) -> None:
    odd.distcomp("run", "--tag", "a\x1b[2J", "--", 'echo \'{"a": "\\u001b[2J"}\'')
    [task] = odd.json("tasks")
    shown = odd.distcomp("show", task["task_id"]).stdout
    assert r"a\x1b[2J" in shown
    assert r"a=\x1b[2J" in shown
    assert "\x1b" not in shown


def test_an_error_cannot_do_things_to_the_terminal(odd: Sandbox) -> None:
    assert r"There is no setting 'a\x1b[2J'." in odd.distcomp("run", "--set", "a\x1b[2J=1", exit_code=2).stderr
    odd.distcomp("submit", "--", "true")
    for file in (odd.folder / ".distcomp" / "store" / "appendonlydir").iterdir():
        file.write_bytes(b"\x1b[2J" * 100)
    assert "\x1b" not in odd.distcomp("status", exit_code=3).stderr


def test_a_state_folder_that_was_tampered_with(odd: Sandbox) -> None:
    odd.distcomp("submit", "--", "true")
    nodes = odd.folder / ".distcomp" / "nodes"
    nodes.rmdir()
    nodes.touch()
    assert "distcomp: Not a directory: " in odd.distcomp("run", exit_code=1).stderr
    assert ".distcomp/nodes" in odd.distcomp("worker", exit_code=2).stderr


def test_ctrl_c_before_anything_has_begun_says_nothing(odd: Sandbox, tmp_path: Path) -> None:
    """Half of a short command's time goes by with imports."""
    code = (
        "import os, signal, sys\n"
        "class Interrupter:\n"
        "    def find_spec(self, name, *rest):\n"
        "        if name == 'typer': os.kill(os.getpid(), signal.SIGINT)\n"
        "sys.meta_path.insert(0, Interrupter())\n"
        "from distcomp.__main__ import main\n"
        "main()\n"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, env=odd.environment, capture_output=True)
    assert (done.returncode, done.stderr) == (-signal.SIGINT, b"")
