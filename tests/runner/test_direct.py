"""A command that is run without a shell does what it does under the shell."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from distcomp.clock import SystemClock
from distcomp.model import Claim, JobContext, TaskSpec
from distcomp.runner.direct import DirectExec
from distcomp.runner.launch import Launcher
from distcomp.runner.limits import RunnerLimits
from distcomp.runner.spawn import Descriptors

SHELLS = [path for name in ("bash", "dash", "sh") if (path := shutil.which(name))]

# Tells all that a program can see of how it was started. The shell that reads it does not change /proc.
PROBE = "#!/bin/sh\ncat /proc/$$/cmdline; echo; tr '\\0' '\\n' </proc/$$/environ | sort; pwd; echo told >&2; exit 6\n"

PLAIN = [
    "probe",
    "probe a b",
    "  probe\ta  ",
    "./probe x=1 --flag=2 /a/b,c:d @e %f +g -",
    "true",
    "false",
    "probe a # 'comment' $x",
    "true #",
    "sub/probe",
    "../work/probe",
]
NOT_PLAIN = [
    "probe 'a'",
    "probe $HOME",
    "probe *",
    "probe ~",
    "probe a;",
    "probe a\nprobe b",
    "probe a | cat",
    "probe > out",
    "x=1 probe",
    "probe {a,b}",
    "probe a\\b",
    "probe [a]",
    "probe a?",
    "probe !",
    "probe & wait",
    "(probe)",
    "echo a",
    "cd /",
    "exec probe",
    "! probe",
    "true --help",
    "if",
    ". probe",
    "test a",
    "nothere",
    "./sub",
    "sub",
    "./text",
    "",
    "# probe",
    "probe #\nprobe",
    "%1",
    "~/probe",
    "probe é",
    "probe a#b",
]

_words = st.sampled_from(
    ["probe", "./probe", "sub/probe", "true", "false", "echo", "./text", "nothere", "a", "b0", "x=1"]
)
_harmless = st.sampled_from([" ", " ", "\t", " # ", "%", "@", "+", ":", ",", "-", "=", ".", "/", "_"])
_marks = st.sampled_from([*"#'\"$\\~*?=!&|;()<>\n\r`^é\x0b\xa0", "[a]", "{a,b}", "$(a)"])
_commands = st.lists(_words | _harmless, min_size=1, max_size=9).map("".join) | st.lists(
    _words | _harmless | _marks, min_size=1, max_size=9
).map("".join)


class Seen(NamedTuple):
    """All that a command did, as far as its caller can tell."""

    exit_code: int
    stdout: bytes
    stderr: bytes
    files: list[str]


@pytest.mark.parametrize("shell", SHELLS)
@pytest.mark.parametrize("command", PLAIN)
def test_plain_commands_need_no_shell(tmp_path: Path, shell: str, command: str) -> None:
    env = _prepare(tmp_path)
    os.chdir(tmp_path / "work")

    assert DirectExec(env, shell).program(command, 0) is not None


@pytest.mark.parametrize("command", NOT_PLAIN)
def test_commands_that_mean_something_to_a_shell_go_to_it(tmp_path: Path, command: str) -> None:
    env = _prepare(tmp_path)
    os.chdir(tmp_path / "work")

    assert DirectExec(env, "/bin/bash").program(command, 0) is None


@pytest.mark.parametrize("shell", SHELLS)
@pytest.mark.parametrize("command", [*PLAIN, *NOT_PLAIN])
def test_with_and_without_a_shell_the_same_happens(shell: str, command: str) -> None:
    assert _run(command, shell, is_direct=True) == _run(command, shell, is_direct=False)


@given(_commands)
@example("probe a#b")
@example("true#")
def test_whatever_is_run_without_a_shell_does_the_same_under_it(command: str) -> None:
    if _needs_no_shell(command):
        assert _run(command, "/bin/bash", is_direct=True) == _run(command, "/bin/bash", is_direct=False)


VARIABLES = """
    ENV IFS OPTIND OPTERR OPTARG PS0 PS1 PS2 PS3 PS4 _ OLDPWD SHLVL SHELLOPTS POSIXLY_CORRECT EXECIGNORE LINES COLUMNS
    UID EUID PPID GROUPS DIRSTACK FUNCNAME PIPESTATUS LINENO HISTCMD HISTSIZE HISTFILE COMP_WORDBREAKS COMP_LINE BASH
    BASHPID BASH_ENV BASH_ARGV0 BASH_COMPAT BASH_VERSION BASHOPTS BASH_FUNC_probe%% BASH_FUNC_f%% PWD HOME TERM
    HOSTTYPE MACHTYPE OSTYPE HOSTNAME TMOUT CDPATH GLOBIGNORE FIGNORE FUNCNEST TIMEFORMAT MAILCHECK IGNOREEOF INPUTRC
    PROMPT_COMMAND REPLY MAPFILE COPROC a.b 1x é ORDINARY LANG auto_resume histchars
"""
_variables = st.sampled_from(VARIABLES.split())
_values = st.sampled_from(["", "5", "z z", "() {  echo function\n}", "/usr", "a:b"])


@given(st.dictionaries(_variables, _values, max_size=3), st.sampled_from(SHELLS))
def test_whatever_the_environment_the_same_happens(variables: dict[str, str], shell: str) -> None:
    with_shell = _run("probe a", shell, is_direct=False, env=variables)

    assert _run("probe a", shell, is_direct=True, env=variables) == with_shell


@pytest.mark.parametrize("path", ["", ":/usr/bin", "bin:/usr/bin", "~/bin:/usr/bin"])
def test_a_path_that_depends_on_more_than_itself_is_the_shells_to_read(path: str) -> None:
    assert DirectExec({"PATH": path}, "/bin/bash").program("true", 0) is None


@pytest.mark.parametrize("shell", ["/bin/zsh", "/usr/bin/fish", "/bin/rbash", "/no/such/bash"])
def test_other_shells_are_asked(shell: str) -> None:
    assert DirectExec({"PATH": "/usr/bin:/bin"}, shell).program("true", 0) is None


def test_a_program_that_is_put_in_front_is_seen_a_second_later(tmp_path: Path) -> None:
    env = _prepare(tmp_path)
    direct = DirectExec({"PATH": f"{tmp_path}/first:{env['PATH']}"}, "/bin/bash")
    before = direct.program("probe", 0)
    (tmp_path / "first").mkdir()
    shutil.copy(tmp_path / "bin" / "probe", tmp_path / "first" / "probe")

    assert before == (f"{tmp_path}/bin/probe", ["probe"])
    assert direct.program("probe", 0.9) == before
    assert direct.program("probe", 1.1) == (f"{tmp_path}/first/probe", ["probe"])


def test_a_program_that_is_gone_is_the_shells_to_miss(tmp_path: Path) -> None:
    """It was found a moment ago, so it is not looked for again."""
    (tmp_path / "bin").mkdir()
    program = tmp_path / "bin" / "sim"
    shutil.copy("/bin/true", program)
    launcher = Launcher("w", {"PATH": f"{tmp_path}/bin:/usr/bin:/bin"})
    assert _spawn(launcher, "sim", tmp_path).exit_code == 0
    program.unlink()

    assert _spawn(launcher, "sim", tmp_path).exit_code == 127


def _needs_no_shell(command: str) -> bool:
    before = Path.cwd()
    with tempfile.TemporaryDirectory() as folder:
        env = _prepare(Path(folder))
        os.chdir(Path(folder, "work"))
        try:
            return DirectExec(env, "/bin/bash").program(command, 0) is not None
        finally:
            os.chdir(before)


def _run(command: str, shell: str, *, is_direct: bool, env: Mapping[str, str] | None = None) -> Seen:
    # The same name each time, as the command may print it.
    folder = Path(tempfile.gettempdir(), f"distcomp-test-{os.getpid()}")
    folder.mkdir()
    try:
        launcher = Launcher("w", _prepare(folder))
        return _spawn(launcher, command, folder / "work", env, RunnerLimits(shell=shell, is_direct=is_direct))
    finally:
        shutil.rmtree(folder)


def _spawn(
    launcher: Launcher,
    command: str,
    cwd: Path,
    env: Mapping[str, str] | None = None,
    limits: RunnerLimits = RunnerLimits(),  # noqa: B008
) -> Seen:
    before = Path.cwd()
    claim = Claim("t", 1, 1, 1, TaskSpec(command, env=env), JobContext(str(cwd)))
    with tempfile.TemporaryFile() as out, tempfile.TemporaryFile() as err:
        files = Descriptors((0, out.fileno(), err.fileno()))
        pid = launcher.launch(claim, files, limits, SystemClock().monotonic_s())
        exit_code = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
        os.chdir(before)
        out.seek(0)
        err.seek(0)
        return Seen(exit_code, out.read(), err.read(), sorted(path.name for path in cwd.iterdir()))


def _prepare(folder: Path) -> dict[str, str]:
    """A search path with the probe, and a directory with the probe and what is in the way; the environment."""
    work = folder / "work"
    for place in (folder / "bin", work, work / "sub"):
        place.mkdir(parents=True)
        (place / "probe").write_text(PROBE)
        (place / "probe").chmod(0o755)
    (folder / "bin" / "sub").mkdir()
    (work / "text").write_text("not a program")
    return {"PATH": f"{folder}/bin:/usr/bin:/bin", "HOME": str(folder)}
