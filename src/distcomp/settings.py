"""What can be set: names, defaults, units and meanings of all settings, and how each is read and shown.

`SETTINGS` is the one list; reading (config.py), `distcomp config show` and the documentation follow it.
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

import msgspec

from distcomp.globs import check_glob
from distcomp.units import format_bytes, format_duration, parse_duration, parse_fraction, parse_size

STORE_SCHEMES = ("redis", "rediss", "unix", "sentinel", "sentinels")

RETRY_BACKOFF_CAP_S = 60.0
"""`retry_backoff` doubles with each failure up to this."""


class Applies(StrEnum):
    """When a changed setting takes effect."""

    NOW = "at once"
    SUBMISSION = "when tasks are submitted"
    WORKER = "when a worker starts"
    STORE = "when the store starts"
    NODES = "when a command goes to nodes"


class Settings(msgspec.Struct, frozen=True, kw_only=True):
    """All settings, checked and in base units. `SETTINGS` has the names, defaults and meanings."""

    store: str
    fsync: str
    listen: tuple[str, int] | tuple[()]
    listen_tls: str
    project: str
    shell: str
    interpreter: str
    timeout_s: float
    kill_grace_s: float
    retries: int
    retry_backoff_s: float
    poison_after: int
    quarantine_after: int
    max_tasks: int
    cores: float
    memory_bytes: int
    keep_free_fraction: float
    keep_free_floor_bytes: int
    victim: str
    output_limit_bytes: int
    compress_above_bytes: int
    keep_output: str
    min_free_disk_bytes: int
    lease_s: float
    abandon_after_s: float
    log_level: str
    cwd_map: tuple[str, str] | tuple[()]
    collect: tuple[str, ...]
    ssh: str
    sbatch: str
    connections: int
    node_folder: str
    node_python: str


@dataclass(frozen=True, slots=True)
class Kind:
    """How a setting's text is read, with ValueError for the user, and shown."""

    parse: Callable[[str], object]
    format: Callable[[Any], str] = str


@dataclass(frozen=True, slots=True)
class Setting:
    """One setting: its name for people, its field in `Settings`, and what it means."""

    name: str
    field: str
    kind: Kind
    default: str
    meaning: str
    applies: Applies = Applies.NOW


def redact(url: str) -> str:
    """A store's URL without its password, for messages and logs. Hides too much rather than too little."""
    url = re.sub(r"://([^:@/]*):.*@", r"://\1:***@", url)
    return re.sub(r"([?&]password=)[^&]*", r"\1***", url)


def _parse_store(text: str) -> str:
    if text and text.partition("://")[0] not in STORE_SCHEMES:
        schemes = ", ".join(f"{scheme}://" for scheme in STORE_SCHEMES)
        raise ValueError(f"{redact(text)!r} is not a store: it begins with one of {schemes}, or is empty")
    return text


def _parse_project(text: str) -> str:
    if not re.fullmatch(r"[A-Za-z0-9_.-]{0,64}", text):
        raise ValueError(f"{text!r} is not a project's name: up to 64 letters, digits, '_', '.', '-'")
    return text


def _choice(*words: str) -> Kind:
    def parse(text: str) -> str:
        if text not in words:
            raise ValueError(f"{text!r} is not one of {', '.join(words)}")
        return text

    return Kind(parse)


def _count(least: int, most: int = 1_000_000) -> Kind:
    def parse(text: str) -> int:
        if not re.fullmatch(r"[0-9]{1,9}", text) or not least <= int(text) <= most:
            raise ValueError(f"{text!r} is not a whole number from {least} to {most}")
        return int(text)

    return Kind(parse)


def _parse_cores(text: str) -> float:
    if not re.fullmatch(r"[0-9]{1,6}(\.[0-9]{1,6})?", text):
        raise ValueError(f"{text!r} is not a number of cores")
    return float(text)


def _duration(least_s: float = 0, most_s: float = float("inf")) -> Kind:
    def parse(text: str) -> float:
        duration_s = parse_duration(text)
        if not least_s <= duration_s <= most_s:
            raise ValueError(f"{text!r} is not from {format_duration(least_s)} to {format_duration(most_s)}")
        return duration_s

    return Kind(parse, format_duration)


def _size(least_bytes: int = 0, *, zero_is_allowed: bool = True) -> Kind:
    def parse(text: str) -> int:
        size_bytes = parse_size(text)
        if size_bytes < least_bytes and not (size_bytes == 0 and zero_is_allowed):
            # Most likely a bare number that was meant in a larger unit.
            raise ValueError(f"{text!r} is less than {format_bytes(least_bytes)}; units: K M G T P")
        return size_bytes

    return Kind(parse, format_bytes)


def _parse_cwd_map(text: str) -> tuple[str, str] | tuple[()]:
    if not text:
        return ()
    start, equals, place = text.partition("=")
    if not (equals and start.startswith("/") and place.startswith("/")):
        raise ValueError(f"{text!r} is not /FROM=/TO")
    return start.rstrip("/"), place.rstrip("/")


def _parse_globs(text: str) -> tuple[str, ...]:
    return tuple(check_glob(word) for word in shlex.split(text))


def _parse_listen(text: str) -> tuple[str, int] | tuple[()]:
    if not text:
        return ()
    address, _, port = text.rpartition(":") if re.search(r"\]:|^[^:]*:\d+$", text) else (text, "", str(_PORT))
    if not re.fullmatch(r"[A-Za-z0-9.:-]+", address.strip("[]")) or not port.isdecimal() or int(port) > 65535:
        raise ValueError(f"{text!r} is no address of this machine, such as 10.0.0.5 or 10.0.0.5:6379")
    return address.strip("[]"), int(port)


def _format_listen(listen: tuple[str, int] | tuple[()]) -> str:
    if not listen:
        return ""
    address, port = listen
    return f"[{address}]:{port}" if ":" in address else f"{address}:{port}"


_PORT = 6379
_LISTEN = Kind(_parse_listen, _format_listen)
_GLOBS = Kind(_parse_globs, shlex.join)
_CWD_MAP = Kind(_parse_cwd_map, "=".join)
_TEXT = Kind(str)
_STORE = Kind(_parse_store, redact)
_FRACTION = Kind(parse_fraction, lambda fraction: f"{fraction * 100:.4g}%")
_MIB = 2**20

SETTINGS = (
    Setting("store", "store", _STORE, "", "URL of the store; empty: one of its own, in .distcomp", Applies.WORKER),
    Setting(
        "fsync",
        "fsync",
        _choice("everysec", "always"),
        "everysec",
        "when the own store writes to disk: everysec loses at most the last second if the machine dies",
        Applies.STORE,
    ),
    Setting(
        "listen",
        "listen",
        _LISTEN,
        "",
        "address of this machine on which the own store is open to nodes; empty: on none, they come through ssh",
        Applies.STORE,
    ),
    Setting(
        "listen_tls",
        "listen_tls",
        _choice("no", "yes"),
        "no",
        "whether nodes reach that address encrypted; needs a server with TLS, which the one that comes along has not",
        Applies.STORE,
    ),
    Setting(
        "project",
        "project",
        Kind(_parse_project),
        "",
        "name that keeps projects on one store apart; empty: what the folder was called at first",
        Applies.WORKER,
    ),
    Setting("shell", "shell", _TEXT, "", "runs shell tasks; empty: /bin/bash, or sh where there is none"),
    Setting(
        "interpreter",
        "interpreter",
        _TEXT,
        "",
        "runs python tasks; empty: the Python that submits them",
        Applies.SUBMISSION,
    ),
    Setting("timeout", "timeout_s", _duration(), "0", "longest time for an attempt whose task names none; 0: no limit"),
    Setting("kill_grace", "kill_grace_s", _duration(0, 3600), "5s", "time between TERM and KILL"),
    Setting("retries", "retries", _count(0), "2", "how often a task that failed is tried again"),
    Setting(
        "retry_backoff",
        "retry_backoff_s",
        _duration(0, 86_400),
        "1s",
        f"wait before the first retry; doubles each time, up to {format_duration(RETRY_BACKOFF_CAP_S)}",
    ),
    Setting(
        "poison_after",
        "poison_after",
        _count(1),
        "3",
        "a task that was running on so many nodes as they died fails",
        Applies.WORKER,
    ),
    Setting(
        "quarantine_after",
        "quarantine_after",
        _count(0),
        "10",
        "a node where so many attempts failed in a row, while others did better, is given nothing; 0: never",
    ),
    Setting(
        "max_tasks",
        "max_tasks",
        _count(0),
        "0",
        "most attempts at once on a node; 0: as many as memory and cores hold, at most 4 per core",
    ),
    Setting("cores", "cores", Kind(_parse_cores, "{:g}".format), "0", "cores of a node to use; 0: all"),
    Setting("memory", "memory_bytes", _size(_MIB), "0", "memory of a node to use; 0: what it has"),
    Setting("keep_free", "keep_free_fraction", _FRACTION, "3%", "share of a node's memory to keep free"),
    Setting(
        "keep_free_floor", "keep_free_floor_bytes", _size(_MIB), "1G", "memory to keep free where keep_free is less"
    ),
    Setting(
        "victim",
        "victim",
        _choice("newest", "cheapest"),
        "cheapest",
        "which attempt goes back when memory is short; cheapest: of the younger half, least work lost per byte",
    ),
    Setting(
        "output_limit",
        "output_limit_bytes",
        _size(4096, zero_is_allowed=False),
        "16M",
        "most that is kept of an attempt's stdout, and of its stderr; the middle is cut",
    ),
    Setting("compress_above", "compress_above_bytes", _size(), "64K", "output larger than this is compressed"),
    Setting("keep_output", "keep_output", _choice("all", "failed", "none"), "all", "which attempts' output is kept"),
    Setting(
        "min_free_disk", "min_free_disk_bytes", _size(_MIB), "64M", "no attempt starts with less free disk for output"
    ),
    Setting(
        "lease",
        "lease_s",
        _duration(2, 3600),
        "10s",
        "a worker silent for so long counts as dead, and its tasks run again",
        Applies.WORKER,
    ),
    Setting(
        "abandon_after",
        "abandon_after_s",
        _duration(),
        "0",
        "an idle worker whose store has not answered for so long leaves; 0: never. On nodes over ssh 1h if not set",
    ),
    Setting(
        "log_level",
        "log_level",
        _choice("debug", "info", "warning", "error"),
        "info",
        "least grave line that is logged",
        Applies.WORKER,
    ),
    Setting(
        "cwd_map",
        "cwd_map",
        _CWD_MAP,
        "",
        "/FROM=/TO: tasks of directory /FROM run in /TO on this node, where that is another one",
    ),
    Setting(
        "collect",
        "collect",
        _GLOBS,
        "",
        "patterns of result files of every task, with blanks between; where files are sent to nodes they come back",
    ),
    Setting("ssh", "ssh", _TEXT, "ssh", "the ssh program that nodes are reached with, and its options", Applies.NODES),
    Setting(
        "sbatch", "sbatch", _TEXT, "sbatch", "the sbatch program and its options, for workers in Slurm", Applies.NODES
    ),
    Setting(
        "connections",
        "connections",
        _count(1, 1000),
        "32",
        "most nodes reached at once, apart from the ways to the store and waiting for a drain",
        Applies.NODES,
    ),
    Setting(
        "node_folder",
        "node_folder",
        _TEXT,
        "~/.local/share/distcomp",
        "where nodes keep distcomp and what it needs",
        Applies.NODES,
    ),
    Setting(
        "node_python",
        "node_python",
        _TEXT,
        "",
        "Python on nodes, 3.11 or newer; empty: one is looked for",
        Applies.NODES,
    ),
)

BY_NAME = {setting.name: setting for setting in SETTINGS}

_defaults: dict[str, Any] = {setting.field: setting.kind.parse(setting.default) for setting in SETTINGS}
DEFAULTS = Settings(**_defaults)
"""Settings of a user who set nothing. The project's name is still empty."""
