"""The Lua scripts: one file per transition, loaded once, called by hash."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from distcomp.packing import starvation
from distcomp.store.keys import lua_constants

_FOLDER = Path(__file__).parent / "lua"


@dataclass(frozen=True, slots=True)
class Script:
    """One transition's source, prelude included, and the hash by which the server knows it."""

    name: str
    source: bytes
    sha: bytes


@cache
def script(name: str) -> Script:
    """The script of `lua/NAME.lua`."""
    prelude = (_FOLDER / "_prelude.lua").read_text()
    source = (lua_constants() + _starving() + prelude + (_FOLDER / f"{name}.lua").read_text()).encode()
    return Script(name, source, hashlib.sha1(source, usedforsecurity=False).hexdigest().encode())


def _starving() -> str:
    return f"local STARVING = {{ returns = {starvation.RETURNS}, spare = {starvation.SPARE} }}\n"


def script_names() -> list[str]:
    """All transitions, sorted."""
    return sorted(path.stem for path in _FOLDER.glob("[a-z]*.lua"))
