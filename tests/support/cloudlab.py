"""Renders a CloudLab profile offline, as a program: python -m tests.support.cloudlab profile.py --n 4"""

from __future__ import annotations

import contextlib
import importlib.util
import io
import re
import runpy
import sys
import types
from pathlib import Path


class _Text(io.StringIO):
    def write(self, text: str | bytes) -> int:
        return super().write(text.decode() if isinstance(text, bytes) else text)


def render(profile: str, *arguments: str) -> str:
    """The RSpec that the profile asks the portal for, or the errors that it reports."""
    _load_portal()
    printed = _Text()
    sys.argv = [profile, *arguments]
    with contextlib.redirect_stdout(printed), contextlib.suppress(SystemExit):
        runpy.run_path(profile, run_name="__main__")
    return printed.getvalue()


def _load_portal() -> None:
    """geni.portal has some lines in the syntax of Python 2, which are mended in memory."""
    import geni

    spec = importlib.util.find_spec("geni.portal")
    assert spec is not None
    assert spec.origin is not None
    source = re.sub(r"^(\s*)print (?!\()(.+)$", r"\1print(\2)", Path(spec.origin).read_text(), flags=re.M)
    module: types.ModuleType = importlib.util.module_from_spec(spec)
    sys.modules["geni.portal"] = module
    geni.portal = module
    exec(compile(source, spec.origin, "exec"), module.__dict__)


if __name__ == "__main__":
    print(render(*sys.argv[1:]))
