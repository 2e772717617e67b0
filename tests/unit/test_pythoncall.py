"""What a python task's command asks for, and what callee.py makes of a function: run as users' interpreters run it."""

from __future__ import annotations

import ast
import json
import shlex
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from distcomp import pythoncall
from distcomp.pythoncall import (
    CALLEE,
    BadPythonCommand,
    PythonFunction,
    PythonModule,
    PythonScript,
    argv,
    parse_python_command,
)


@pytest.mark.parametrize(
    ("command", "call"),
    [
        ("sim.py", PythonScript("sim.py")),
        ("sim.py -n 'a b' \"c\"d e\\ f", PythonScript("sim.py", ("-n", "a b", "cd", "e f"))),
        ("'my sims/sim' x", PythonScript("my sims/sim", ("x",))),
        ("tool.pyz x", PythonScript("tool.pyz", ("x",))),
        ("odd:name.py x", PythonScript("odd:name.py", ("x",))),
        ("-m pkg.sim -n 3", PythonModule("pkg.sim", ("-n", "3"))),
        ("pkg.sim:run 1 '[2, 3]' size=0.1", PythonFunction("pkg.sim:run", ("1", "[2, 3]", "size=0.1"))),
        ("sim:Model.fit", PythonFunction("sim:Model.fit")),
    ],
)
def test_a_command_is_a_script_a_module_or_a_function(command: str, call: pythoncall.PythonCall) -> None:
    assert parse_python_command(command) == call


@pytest.mark.parametrize(
    ("command", "column", "what"),
    [
        ("  ", 1, "the command is empty"),
        ("  sim 1", 3, "'sim' is not a script (name.py), -m module or package.module:function"),
        ("-c 'print(1)'", 1, "'-c' is not a script (name.py), -m module or package.module:function"),
        ("-u sim.py", 1, "'-u' is not a script (name.py), -m module or package.module:function"),
        ("-x.py", 1, "'-x.py' is not a script (name.py), -m module or package.module:function"),
        ("-m", 1, "-m needs the name of a module"),
        ("-m  a-b", 5, "'a-b' is not the name of a module"),
        ("sim.py a 'b c", 10, "the quote ' is not closed"),
        ('sim.py "a', 8, 'the quote " is not closed'),
        ("sim.py a\\", 9, "nothing follows the backslash"),
    ],
)
def test_a_command_of_another_form_is_refused_with_its_column(command: str, column: int, what: str) -> None:
    with pytest.raises(BadPythonCommand) as refused:
        parse_python_command(command)
    assert (refused.value.column, refused.value.what) == (column, what)


def test_each_form_has_its_argument_list() -> None:
    assert argv(PythonScript("sim.py", ("a b",)), "py") == ["py", "sim.py", "a b"]
    assert argv(PythonModule("pkg", ("a",)), "py") == ["py", "-m", "pkg", "a"]
    assert argv(PythonFunction("pkg:f", ("1",)), "py") == ["py", str(CALLEE), "pkg:f", "1"]


@given(st.text("ab \t\n'\"\\$é"))
def test_words_are_split_as_the_standard_library_splits_them(command: str) -> None:
    try:
        expected = shlex.split(command)
    except ValueError:
        with pytest.raises(BadPythonCommand):
            pythoncall.split_words(command)
    else:
        assert pythoncall.split_words(command) == expected


# callee.py, in a process of its own


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A working directory with a user's module in it."""
    (tmp_path / "user.py").write_text(
        """
import os, sys
from dataclasses import dataclass

class Array:                      # as numpy's arrays and numbers are
    def tolist(self): return [1, float("nan")]

class Model:
    @staticmethod
    def fit(): return {"fitted": True}

def echo(*positional, **named): return {"positional": positional, "named": named}
def number(): return 0.5
def nothing(): pass
def infinite(): return {"loss": float("inf"), "deep": [{"x": float("nan")}], "n": 1}
def array(): return {"values": Array()}
def unspeakable(): print("worked"); return {1, 2}
def fail(): raise KeyError("no such trace")
def leave(): sys.exit(7)
def unfinished_line(): print("progress 50 %", end=""); return 1
def path(): return {"first": sys.path[0], "argv": sys.argv, "name": __name__}
def spawn():
    import multiprocessing
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        return pool.map(abs, [-3])
constant = 3
"""
    )
    (tmp_path / "broken.py").write_text("import a_module_that_nobody_has\n")
    return tmp_path


def call(folder: Path, command: str) -> subprocess.CompletedProcess[str]:
    parsed = parse_python_command(command)
    return subprocess.run(argv(parsed, sys.executable), cwd=folder, capture_output=True, text=True, check=False)


def the_result(folder: Path, command: str) -> object:
    """What the last line of stdout says, as the worker reads it."""
    done = call(folder, command)
    assert (done.returncode, done.stderr) == (0, "")
    return json.loads(done.stdout.splitlines()[-1])


def test_arguments_are_json_literals_or_text_and_may_be_named(folder: Path) -> None:
    command = """user:echo 1 0.5 true null '[1, {"a": 2}]' '"007"' lru NaN a=b=c size=0.1 name=x 'x y=1' '"quoted=1"'"""
    assert the_result(folder, command) == {
        "positional": [1, 0.5, True, None, [1, {"a": 2}], "007", "lru", "NaN", "x y=1", "quoted=1"],
        "named": {"a": "b=c", "size": 0.1, "name": "x"},
    }


def test_a_dict_becomes_the_result_and_another_value_its_column(folder: Path) -> None:
    assert the_result(folder, "user:Model.fit") == {"fitted": True}
    assert the_result(folder, "user:number") == {"result": 0.5}


def test_nothing_returned_prints_nothing(folder: Path) -> None:
    done = call(folder, "user:nothing")
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


def test_numbers_that_json_has_no_word_for_become_null_and_leave_the_others(folder: Path) -> None:
    assert the_result(folder, "user:infinite") == {"loss": None, "deep": [{"x": None}], "n": 1}


def test_arrays_become_lists(folder: Path) -> None:
    assert the_result(folder, "user:array") == {"values": [1, None]}


def test_a_result_that_is_not_json_is_said_to_be_lost_and_is_no_failure(folder: Path) -> None:
    done = call(folder, "user:unspeakable")
    assert (done.returncode, done.stdout) == (0, "worked\n")
    assert done.stderr == "distcomp: the result is not kept, as it is not JSON: it holds a set\n"


def test_the_result_has_a_line_of_its_own(folder: Path) -> None:
    """Also after output that ends without a newline, into a pipe or a file."""
    assert the_result(folder, "user:unfinished_line") == {"result": 1}
    with (folder / "out").open("w+") as out:
        subprocess.run(argv(PythonFunction("user:number"), sys.executable), cwd=folder, stdout=out, check=True)
    assert (folder / "out").read_text() == '{"result": 0.5}\n'


def test_an_exception_is_a_traceback_and_exit_one(folder: Path) -> None:
    done = call(folder, "user:fail")
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.startswith("Traceback (most recent call last):")
    assert done.stderr.endswith("KeyError: 'no such trace'\n")


def test_a_function_may_choose_its_exit_code(folder: Path) -> None:
    assert call(folder, "user:leave").returncode == 7


@pytest.mark.parametrize(
    ("command", "why"),
    [
        ("nowhere.at_all:f", "no module named 'nowhere' in "),
        ("user:missing", "module 'user' has no 'missing'"),
        ("user:Model.missing", "module 'user' has no 'Model.missing'"),
        ("user:constant", "user:constant is not a function"),
    ],
)
def test_a_function_that_is_not_there_is_one_line_rather_than_a_traceback(folder: Path, command: str, why: str) -> None:
    done = call(folder, command)
    assert done.returncode == 1
    assert done.stderr.startswith(f"distcomp: {why}")
    assert done.stderr.count("\n") == 1


def test_a_module_that_the_users_module_misses_is_a_traceback(folder: Path) -> None:
    """It is a fault in the user's code, which a single line would hide."""
    assert "import a_module_that_nobody_has" in call(folder, "broken:f").stderr


def test_the_function_sees_its_directory_first_on_the_path_and_not_the_platforms(folder: Path) -> None:
    seen = the_result(folder, "user:path")
    assert seen == {"first": str(folder), "argv": ["user:path"], "name": "user"}


def test_a_function_may_start_processes(folder: Path) -> None:
    """The spawn method imports the main module again, which must not call the function again."""
    assert the_result(folder, "user:spawn") == {"result": [3]}


def test_the_callee_runs_on_python_3_8_with_the_standard_library_alone() -> None:
    """The user's interpreter may be older than ours, and need not have distcomp."""
    tree = ast.parse(CALLEE.read_text(), feature_version=(3, 8))
    modules = {
        name.split(".")[0]
        for node in ast.walk(tree)
        if isinstance(node, ast.Import | ast.ImportFrom)
        for name in ([node.module or ""] if isinstance(node, ast.ImportFrom) else [alias.name for alias in node.names])
    }
    assert modules <= sys.stdlib_module_names


def test_no_module_of_ours_has_the_name_of_one_in_the_standard_library() -> None:
    """Until callee.py has put it right, its own folder is where Python looks first."""
    assert not {path.stem for path in CALLEE.parent.iterdir()} & sys.stdlib_module_names
