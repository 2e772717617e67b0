"""Runs one Python function in a process of its own: python callee.py package.module:function [argument ...].

An argument is a JSON literal or else text; name=value is a keyword argument. A returned dict is printed as the last
line of stdout, as a JSON object; another value as {"result": value}; None prints nothing.

Runs by its path under the user's interpreter, which need not have distcomp: standard library only, Python 3.8 or newer.
"""

from __future__ import annotations

import importlib
import json
import math
import os
import sys
from collections.abc import Callable
from typing import Any, NoReturn


def main(argv: list[str]) -> None:
    """Call the function that argv[0] names with the arguments after it, and print what it returns."""
    # Found as in `python -m`: from the working directory, not from the folder of this file.
    if not getattr(sys.flags, "safe_path", False):
        sys.path[0] = os.getcwd()  # noqa: PTH109  pathlib is not loaded, and takes a while
    sys.argv = argv
    function = _find(argv[0])
    positional, named = _arguments(argv[1:])
    _print_result(function(*positional, **named))


def _find(target: str) -> Callable[..., Any]:
    module_name, _, path = target.partition(":")
    try:
        found = importlib.import_module(module_name)
    except ModuleNotFoundError as error:
        # A module that the user's module misses is the user's, and needs the traceback.
        if error.name != module_name and not module_name.startswith(f"{error.name}."):
            raise
        _refuse(f"no module named {error.name!r} in {os.getcwd()} or the path of {sys.executable}")  # noqa: PTH109
    for name in path.split("."):
        if not hasattr(found, name):
            _refuse(f"module {module_name!r} has no {path!r}")
        found = getattr(found, name)
    if not callable(found):
        _refuse(f"{target} is not a function")
    function: Callable[..., Any] = found
    return function


def _refuse(why: str) -> NoReturn:
    sys.exit(f"distcomp: {why}")


def _arguments(texts: list[str]) -> tuple[list[Any], dict[str, Any]]:
    positional, named = [], {}
    for text in texts:
        name, equals, value = text.partition("=")
        if equals and name.isidentifier():
            named[name] = _literal(value)
        else:
            positional.append(_literal(text))
    return positional, named


def _literal(text: str) -> Any:
    try:
        return json.loads(text, parse_constant=_not_a_literal)
    except (ValueError, RecursionError):
        return text


def _not_a_literal(name: str) -> NoReturn:
    raise ValueError(name)  # NaN and Infinity are not JSON, though Python reads them


def _print_result(result: Any) -> None:
    if result is None:
        return
    try:
        line = json.dumps(_finite(result if isinstance(result, dict) else {"result": result}), default=_plain)
    except (TypeError, ValueError, RecursionError) as error:
        sys.stdout.flush()
        print(f"distcomp: the result is not kept, as it is not JSON: {error}", file=sys.stderr, flush=True)
        return
    sys.stdout.flush()
    sys.stdout.write(("" if _is_empty(sys.stdout) else "\n") + line + "\n")
    sys.stdout.flush()


def _plain(value: Any) -> Any:
    """What numpy's numbers and arrays, and those like them, are in JSON."""
    if hasattr(value, "tolist"):
        return _finite(value.tolist())
    raise TypeError(f"it holds a {type(value).__name__}")


def _finite(value: Any) -> Any:
    """The same with null for NaN and infinity: JSON has no word for them, and one must not cost the other columns."""
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, dict):
        return {key: _finite(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_finite(item) for item in value]
    return value


def _is_empty(stream: Any) -> bool:
    """Whether nothing was written yet. If unsure, no: the result needs a line of its own."""
    try:
        return os.lseek(stream.fileno(), 0, os.SEEK_CUR) == 0
    except (OSError, ValueError, AttributeError):
        return False


if __name__ == "__main__":
    main(sys.argv[1:])
