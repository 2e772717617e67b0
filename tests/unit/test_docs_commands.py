"""Commands and options that the documentation names are those of the program."""

from __future__ import annotations

import functools
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from distcomp.cli.commands import MODULES, load

ROOT = Path(__file__).parents[2]
GROUPS = ("config", "server", "nodes")
PAGES = sorted([*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md"), *ROOT.glob("examples/*/*.md")])
# Its left columns have the options of other programs.
PAGES_WITH_OTHERS = {"from-the-original.md"}

_SPAN = re.compile(r"`+([^`\n]+)`+")
_COMMAND = re.compile(r"(?:^|[\s|(\"])(?<!from )distcomp ([a-z]\w*)([^|\n]*)")
_OPTION = re.compile(r"(?<!\S)(--?[a-z][a-z-]*)(?![\w.])")


@functools.cache
def options_of(command: str, subcommand: str = "") -> frozenset[str]:
    """What the command takes, such as --json; of a group, what its subcommand takes."""
    found: Any = load(command)
    if hasattr(found, "commands"):
        found = found.commands[subcommand]
    return frozenset(text for parameter in found.params for text in (*parameter.opts, *parameter.secondary_opts))


def code_in(page: Path) -> Iterator[str]:
    """What is marked as code: spans, and the lines of blocks, continued ones joined."""
    is_fenced = False
    for line in page.read_text(encoding="utf-8").replace("\\\n", " ").splitlines():
        if line.startswith("```"):
            is_fenced = not is_fenced
        elif is_fenced or line.startswith("    "):
            yield line.partition(" # ")[0]
        else:
            yield from _SPAN.findall(line)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_commands_and_their_options_exist(page: Path) -> None:
    for code in code_in(page):
        for command, rest in _COMMAND.findall(code):
            assert command in MODULES, code
            # Behind -- or in quotes it is another program's.
            ours = re.sub(r"'[^']*'", "", rest).split(" -- ")[0]
            subcommand = next(iter(re.findall(r"^ ([a-z]+)", ours)), "")
            if command in GROUPS and not subcommand:
                continue
            assert set(_OPTION.findall(ours)) <= options_of(command, subcommand), code


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_options_named_alone_belong_to_some_command(page: Path) -> None:
    if page.name in PAGES_WITH_OTHERS:
        return
    known = {"--help", "--version"}.union(*(options_of(name) for name in MODULES if name not in GROUPS))
    named = {
        match[1]
        for span in _SPAN.findall(page.read_text(encoding="utf-8"))
        if (match := _OPTION.match(span)) and match[1].startswith("--")
    }
    assert named <= known
