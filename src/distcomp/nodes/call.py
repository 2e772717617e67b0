"""Asks questions on nodes: sends a script of `aboard` over ssh, with what it is to work on, and reads its answer.

All goes through stdin, so nothing has to be quoted for whatever shell the user has there, and no secret is on a
command line. The only thing to be there is a Python.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from functools import cache
from itertools import chain
from pathlib import Path
from typing import Any

from distcomp.nodes.aboard.serving import MARK
from distcomp.nodes.hosts import Host
from distcomp.nodes.ssh import HostTrouble, Ssh

OLDEST_PYTHON = (3, 11)
NO_PYTHON = 97
_FOLDER = Path(__file__).with_name("aboard")
_READ = "import sys;exec(sys.stdin.buffer.read(int(sys.stdin.buffer.readline())))"
# In words that every login shell passes on to sh as they are: no new line, no single quote, no exclamation mark.
_FIND = (
    "/bin/sh -c 'for p in {names}; do "
    'if $p -c "import sys;sys.exit(sys.version_info<({major},{minor}))" 2>/dev/null; then exec $p -I -c "{read}"; fi; '
    "done; exit {no_python}'"
)


def remote_command(python: str, ours: tuple[int, int]) -> str:
    """The command line that starts a Python there which runs what comes through stdin.

    Args:
        python: the one to use; empty: the first that is new enough, of our own version if there is one.
        ours: major and minor version of our own.
    """
    newest = range(15, OLDEST_PYTHON[1] - 1, -1)
    names = [python] if python else [f"python{ours[0]}.{ours[1]}", "python3", *(f"python3.{minor}" for minor in newest)]
    major, minor = OLDEST_PYTHON
    return _FIND.format(names=" ".join(names), major=major, minor=minor, read=_READ, no_python=NO_PYTHON)


@cache
def _source(name: str) -> tuple[str, str]:
    return f"<{name} of distcomp>", (_FOLDER / f"{name}.py").read_text(encoding="utf-8")


def program(*scripts: str) -> bytes:
    """What is sent first: its length in a line, then the scripts, one after the other in one namespace."""
    sources = [_source(name) for name in ("serving", *scripts)]
    code = f"for name, text in {sources!r}: exec(compile(text, name, 'exec'))\nserve(main)\n".encode()
    return b"%d\n%s" % (len(code), code)


def call(
    ssh: Ssh,
    host: Host,
    scripts: str | tuple[str, ...],
    ask: Mapping[str, Any],
    *,
    python: str = "",
    payload: bytes | Iterable[bytes] = b"",
    timeout_s: float | None = 60,
    holds: bool = False,
) -> dict[str, Any]:
    """Ask a node.

    Args:
        ssh: the way there.
        host: which.
        scripts: names in `aboard`; the last has the `main` that answers.
        ask: the question.
        python: program on the node; empty: one is looked for.
        payload: what the script reads from stdin after the question.
        timeout_s: for all of it; None: as long as the connection stands.
        holds: as in `Ssh.run`.

    Raises:
        HostTrouble: it cannot be reached, has no Python, or says that it cannot do it.
    """
    import sys

    names = (scripts,) if isinstance(scripts, str) else scripts
    question = program(*names) + json.dumps(ask).encode() + b"\n"
    stdin = question + payload if isinstance(payload, bytes) else chain([question], payload)
    answer = ssh.run(host, remote_command(python, sys.version_info[:2]), stdin, timeout_s, holds=holds)
    if answer.exit_code == NO_PYTHON:
        raise no_python(python)
    return read_answer(answer.stdout, answer.stderr, answer.exit_code)


def no_python(python: str) -> HostTrouble:
    """The trouble with a host on which no Python was found."""
    oldest = ".".join(map(str, OLDEST_PYTHON))
    return HostTrouble(
        f"{python} is no Python {oldest} or newer" if python else f"it has no Python {oldest} or newer in PATH",
        next_step="Install one there, anywhere, and name it in the setting `node_python`.",
    )


def read_answer(stdout: bytes, stderr: str, exit_code: int) -> dict[str, Any]:
    """The answer in what a script printed.

    Raises:
        HostTrouble: there is none, or it is that it could not be done.
    """
    _, mark, text = stdout.rpartition(MARK)
    if not mark:
        last = stderr.splitlines()[-1] if stderr else f"exit code {exit_code}"
        raise HostTrouble(f"it did not answer: {last}")
    return checked(json.loads(text))


def checked(answer: dict[str, Any]) -> dict[str, Any]:
    """The answer itself. HostTrouble: it is that it could not be done."""
    if "error" in answer:
        raise HostTrouble(answer["error"], next_step=answer.get("next_step", ""))
    return answer
