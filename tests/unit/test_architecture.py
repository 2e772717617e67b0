"""Habits of the source that no linter knows."""

from __future__ import annotations

import ast
import re
import statistics
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).parents[2]
SOURCES = sorted([*ROOT.glob("src/**/*.py"), *ROOT.glob("benchmarks/*.py"), *ROOT.glob("tools/*.py")])
TESTS = sorted(ROOT.glob("tests/**/*.py"))
SCRIPTS = sorted(ROOT.glob("src/distcomp/store/lua/*.lua"))

_LONGEST_FILE, _LONGEST_TEST_FILE = 400, 600
_LONGEST_FUNCTION, _USUAL_FUNCTION = 40, 10
# Whatever can run code or make objects of any type from what it reads.
_UNSAFE_MODULES = {"pickle", "cPickle", "cloudpickle", "dill", "marshal", "shelve"}
_UNSAFE_CALLS = {"eval", "exec", "compile"}
_CLOCKS = {"time", "monotonic", "perf_counter", "time_ns", "monotonic_ns", "perf_counter_ns", "now", "utcnow", "today"}


def trees(files: list[Path]) -> Iterator[tuple[str, ast.Module]]:
    for file in files:
        yield str(file.relative_to(ROOT)), ast.parse(file.read_text(encoding="utf-8"))


def test_nothing_that_was_stored_or_sent_can_run_code() -> None:
    """Tasks and results are msgpack and JSON into typed structs: never pickled, never evaluated."""
    for name, tree in trees([file for file in SOURCES if "src" in file.parts]):
        for node in ast.walk(tree):
            if isinstance(node, ast.Import | ast.ImportFrom):
                modules = {alias.name for alias in node.names} | {getattr(node, "module", None)}
                assert not modules & _UNSAFE_MODULES, f"{name}:{node.lineno}"
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Name):
                assert node.func.id not in _UNSAFE_CALLS, f"{name}:{node.lineno}"
    for script in SCRIPTS:
        assert not re.search(r"\b(loadstring|load|dofile|setfenv)\s*\(", script.read_text(encoding="utf-8")), (
            script.name
        )


def test_only_one_module_asks_for_the_time() -> None:
    for name, tree in trees([file for file in SOURCES if "src" in file.parts]):
        # What runs on nodes is sent alone, without the rest of distcomp.
        if name.endswith("/clock.py") or "/nodes/aboard/" in name:
            continue
        for node in ast.walk(tree):
            if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name):
                is_clock = node.value.id in ("time", "datetime", "date") and node.attr in _CLOCKS
                assert not is_clock, f"{name}:{node.lineno}"
            if isinstance(node, ast.ImportFrom) and node.module == "time":
                assert not {alias.name for alias in node.names} & _CLOCKS, f"{name}:{node.lineno}"


def test_no_test_waits_a_fixed_time() -> None:
    """Waiting for a condition is in tests/support, where the pause is between two looks."""
    for name, tree in trees([file for file in TESTS if "support" not in file.parts]):
        for node in ast.walk(tree):
            assert not (isinstance(node, ast.Attribute) and node.attr == "sleep"), f"{name}:{node.lineno}"


def test_files_stay_small() -> None:
    lines = {file: len(file.read_text(encoding="utf-8").splitlines()) for file in [*SOURCES, *SCRIPTS, *TESTS]}
    most = {file: _LONGEST_TEST_FILE if file in TESTS else _LONGEST_FILE for file in lines}
    assert [str(file) for file in lines if lines[file] > most[file]] == []


def test_functions_stay_small() -> None:
    lengths = {
        f"{name}:{node.lineno} {node.name}": 1 + (node.end_lineno or node.lineno) - node.lineno
        for name, tree in trees(SOURCES)
        for node in ast.walk(tree)
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
    }
    assert {function: lines for function, lines in lengths.items() if lines > _LONGEST_FUNCTION} == {}
    assert statistics.median(lengths.values()) <= _USUAL_FUNCTION
