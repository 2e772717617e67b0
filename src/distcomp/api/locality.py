"""Which nodes have the files that a task's command names, on MooseFS: there a file's chunks lie on some of the nodes.

It is for people: where a task starts does not depend on it. It is asked of MooseFS's own `mfsfileinfo`, here.
"""

from __future__ import annotations

import os
import re
import shlex
import socket
import subprocess
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from pathlib import Path

from msgspec.structs import replace

from distcomp.api.records import Explanation, FilePlace
from distcomp.nodes.record import NodesRecord

MOST_FILES = 16
ASK_S = 10.0
_CHUNK = re.compile(r"\tchunk \d+:")
_COPY = re.compile(r"\t\tcopy \d+: \[?([0-9A-Fa-f.:]+?)\]?:\d+ .*status:VALID")


def with_files(explanation: Explanation, cluster: Path) -> Explanation:
    """The explanation with where the task's files lie. `cluster`: folder of what is known of the project's nodes."""
    task = explanation.task
    nodes = {*NodesRecord(cluster).hosts(), *(end.node for end in explanation.attempts)}
    nodes |= {hindrance.node for hindrance in explanation.hindrances}
    files = file_places(task.command, task.cwd, nodes)
    return replace(explanation, files=files) if files else explanation


def file_places(command: str, cwd: str, nodes: Iterable[str]) -> tuple[FilePlace, ...]:
    """Where the files lie, in the command's order; nothing where MooseFS is not mounted, or does not answer.

    Args:
        command: of the task.
        cwd: that it runs in.
        nodes: names of nodes; a server that is none of them is told by its address.
    """
    mounts = list(moosefs_mounts(Path("/proc/self/mounts").read_text()))
    if not mounts:
        return ()
    files = [path for path in named_files(command, cwd) if path.startswith(tuple(f"{mount}/" for mount in mounts))]
    said = _ask(files[:MOST_FILES])
    return tuple(parse_places(said, _addresses(nodes).get)) if said else ()


def moosefs_mounts(table: str) -> Iterator[str]:
    """Where MooseFS is mounted, from the text of /proc/self/mounts."""
    for line in table.splitlines():
        device, place, kind, *_ = line.split(" ")
        if kind in ("fuse.mfs", "mfs") or (kind == "fuse" and device.startswith(("mfs#", r"mfs\043"))):
            yield re.sub(r"\\(\d{3})", lambda code: chr(int(code[1], 8)), place)


def named_files(command: str, cwd: str) -> list[str]:
    """Files that exist and that words of a command name, as `--option=FILE` too, by their real paths, each once."""
    lexer = shlex.shlex(command, posix=True, punctuation_chars=True)
    lexer.commenters = ""
    words: list[str] = []
    with suppress(ValueError):  # a quote that is not closed: what came before it
        words.extend(lexer)
    candidates = [text for word in words for text in (word, word.partition("=")[2]) if text]
    paths = (os.path.realpath(os.path.join(cwd, text)) for text in candidates)  # noqa: PTH118
    return list(dict.fromkeys(path for path in paths if os.path.isfile(path)))  # noqa: PTH113


def parse_places(said: str, name_of: Callable[[str], str | None]) -> Iterator[FilePlace]:
    """The places in what mfsfileinfo said. `name_of`: the node with an address."""
    for block in re.split(r"(?m)^(?=\S.*:$)", said):
        head, _, rest = block.partition("\n")
        chunks = len(_CHUNK.findall(rest))
        held: dict[str, int] = {}
        for address in _COPY.findall(rest):
            name = name_of(address) or address
            held[name] = held.get(name, 0) + 1
        if chunks:
            yield FilePlace(head.removesuffix(":"), chunks, dict(sorted(held.items())))


def _ask(files: Sequence[str]) -> str:
    if not files:
        return ""
    try:
        done = subprocess.run(
            ["mfsfileinfo", *files], capture_output=True, text=True, errors="replace", timeout=ASK_S, check=False
        )
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return done.stdout


def _addresses(nodes: Iterable[str]) -> Mapping[str, str]:
    """The nodes by address, of those whose names are known here."""
    found: dict[str, str] = {}
    for node in sorted(set(nodes), reverse=True):
        with suppress(OSError, UnicodeError):
            for *_, address in socket.getaddrinfo(node, None, type=socket.SOCK_STREAM):
                found[str(address[0])] = node
    return found
