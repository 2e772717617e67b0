"""The documentation names what exists: tests, files, settings, commands and their options, exit codes."""

from __future__ import annotations

import ast
import functools
import re
import runpy
import signal
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest

from distcomp import errors
from distcomp.cli.main import CRASHED, INTERRUPTED, PIPE_CLOSED
from distcomp.settings import BY_NAME

ROOT = Path(__file__).parents[2]
PAGES = sorted([*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md"), *ROOT.glob("examples/*/*.md")])

on_each_page = pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))

_TEST = re.compile(r"`(tests/[\w/]+\.py)::(\w+)`")
_FILE = re.compile(r"`((?:src|tests|docs|tools|examples|benchmarks|\.ci)/[^`*<>{} ]+?)(?:::\w+)?`")
_LINK = re.compile(r"\]\(([^)#:]+)(?:#[^)]*)?\)")
_SETTING = re.compile(r"[Ss]ettings? `(\w+)`|^`?(\w+) = [\"\d].*$", re.MULTILINE)
_OF_A_MACHINE = re.compile(r"(?<![\w.])/(?:work|root|home|tmp|mnt|Users)\b")


@functools.cache
def names_in(file: Path) -> frozenset[str]:
    nodes = ast.walk(ast.parse(file.read_text(encoding="utf-8")))
    return frozenset(node.name for node in nodes if isinstance(node, ast.FunctionDef))


@on_each_page
def test_tests_that_are_named_exist(page: Path) -> None:
    for file, name in _TEST.findall(page.read_text(encoding="utf-8")):
        assert name in names_in(ROOT / file), f"{file}::{name}"


@on_each_page
def test_files_that_are_named_exist(page: Path) -> None:
    text = page.read_text(encoding="utf-8")
    missing = [name for name in _FILE.findall(text) if not (ROOT / name).exists()]
    missing += [link for link in _LINK.findall(text) if not (page.parent / link).exists()]
    assert not missing


@on_each_page
def test_settings_that_are_named_exist(page: Path) -> None:
    named = {name for pair in _SETTING.findall(page.read_text(encoding="utf-8")) for name in pair if name}
    assert named <= BY_NAME.keys()


@on_each_page
def test_no_page_names_a_place_of_one_machine(page: Path) -> None:
    assert not _OF_A_MACHINE.findall(page.read_text(encoding="utf-8"))


def test_each_guard_in_the_architecture_is_a_test() -> None:
    """Every row of the tables of invariants names at least one."""
    section = (ROOT / "ARCHITECTURE.md").read_text(encoding="utf-8").partition("## Invariants")[2].partition("\n## ")[0]
    rows = [
        line for line in section.splitlines() if line.startswith("|") and not line.endswith(("guarded by |", "--|"))
    ]
    assert len(rows) > 10
    assert [row for row in rows if not _TEST.search(row) and "`lint-imports`" not in row] == []


def test_the_map_names_all_modules() -> None:
    named = set(_FILE.findall((ROOT / "ARCHITECTURE.md").read_text(encoding="utf-8")))
    parts = {part for part in (ROOT / "src" / "distcomp").iterdir() if not part.name.startswith("_")}
    modules = {f"src/distcomp/{part.name}{'/' * part.is_dir()}" for part in parts if part.suffix in ("", ".py")}
    assert modules - named == set()


def test_the_layers_in_the_architecture_are_those_that_are_checked() -> None:
    checked = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["tool"]["importlinter"]["contracts"]
    layers = [layer.replace("distcomp.", "") for layer in checked[0]["layers"]]
    assert "".join(f"    {layer}\n" for layer in layers) in (ROOT / "ARCHITECTURE.md").read_text(encoding="utf-8")


def test_the_page_of_settings_is_current() -> None:
    page = runpy.run_path(str(ROOT / "tools" / "settings_page.py"))["page"]()
    assert (ROOT / "docs" / "settings.md").read_text(encoding="utf-8") == page, "run: make format"


def test_each_exit_code_is_explained() -> None:
    page = (ROOT / "docs" / "exit-codes.md").read_text(encoding="utf-8")
    explained = {int(code) for code in re.findall(r"^\| (\d+) \|", page, re.MULTILINE)}
    by_signal = {128 + number for number in (signal.SIGHUP, signal.SIGINT, signal.SIGTERM)}
    assert explained == {0, CRASHED, INTERRUPTED, PIPE_CLOSED} | by_signal | {error.exit_code for error in _errors()}


def _errors() -> Iterator[type[errors.DistcompError]]:
    for value in vars(errors).values():
        if isinstance(value, type) and issubclass(value, errors.DistcompError):
            yield value
