"""What all nodes of a project are told: where their folder is, how they reach the store, which settings hold."""

from __future__ import annotations

import hashlib
import json
import socket
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import parse_qsl, urlsplit, urlunsplit

from distcomp.errors import BadSetting
from distcomp.settings import SETTINGS, Settings
from distcomp.statefolder import StateFolder

if TYPE_CHECKING:
    from distcomp.nodes.sending import Cargo

# What concerns this machine alone.
_NOT_FOR_NODES = {"store", "fsync", "listen", "listen_tls", "project", "interpreter"}
_NOT_FOR_NODES |= {"ssh", "connections", "node_folder", "node_python"}
ABANDON_AFTER = "1h"
DIRECTORY = "directory"
TLS_FILES = ("ca", "cert", "key")
_LOCAL = {"localhost", "127.0.0.1", "::1"}


@dataclass(frozen=True, slots=True)
class Wishes:
    """What the user asks of nodes for one command.

    Args:
        cwd: directory of the tasks, here.
        cargo: files that are sent there first; None: the directory is there already, as on a shared file system.
        setup: a script that is run once on each node before work; empty: none.
        need_files: paths without which a node is left out.
        need_commands: commands that must succeed, and say the same on all nodes.
        until_s: when workers are to have left, in seconds since the epoch; 0: when they are told to.
    """

    cwd: str
    cargo: Cargo | None = None
    setup: bytes = b""
    need_files: tuple[str, ...] = ()
    need_commands: tuple[str, ...] = ()
    until_s: float = 0


@dataclass(frozen=True, slots=True)
class Plan:
    """Made by `make_plan`.

    Args:
        key: the project's name on nodes, unlike that of any other project of the user.
        folder: of distcomp on nodes.
        python: program there; empty: one is looked for.
        settings: text of the nodes' distcomp.toml, with places to fill in.
        password: of the store.
        files: what else is needed to reach the store, by name in the project's folder on a node.
        target: where the nodes' socket leads to, here; empty if they reach the store by themselves.
        wishes: of the user.
    """

    key: str
    folder: str
    python: str
    settings: str
    password: str = field(repr=False)
    files: Mapping[str, str] = field(repr=False)
    target: str
    wishes: Wishes

    @property
    def needed_paths(self) -> dict[str, str]:
        """What must be on a node before anything is sent there, by what it is called."""
        own = {} if self.wishes.cargo else {DIRECTORY: self.wishes.cwd}
        return own | {path: path for path in self.wishes.need_files}

    def ask(self, node: str, **more: object) -> dict[str, object]:
        """A question about this project on a node."""
        return {"folder": self.folder, "project": self.key, "node": node, **more}


def make_plan(
    folder: StateFolder,
    settings: Settings,
    sources: Mapping[str, str],
    url: str,
    own_socket: str,
    password: str,
    wishes: Wishes,
) -> Plan:
    """The plan of a project.

    Args:
        folder: the project's.
        settings: its settings.
        sources: where each is from; those that are set here hold on nodes too.
        url: of the store, for nodes that reach it by themselves.
        own_socket: of the project's own store, for nodes that come through ssh; empty if they do not.
        password: the store's, if it is not in its URL.
        wishes: of the user.

    Raises: BadSetting: a file that the URL names cannot be read.
    """
    target = own_socket or _local_target(url)
    files: dict[str, str] = {}
    store = "unix://@SOCKETS@/store" if target else _with_files_of_the_node(url, files)
    if password:
        store += f"{'&' if '?' in store else '?'}password_file=@PROJECT@/password"
    own = {"cwd_map": f"{wishes.cargo.root}=@PROJECT@/work"} if wishes.cargo else {}
    given = {"abandon_after": ABANDON_AFTER, **_given(settings, sources)}
    values = {"store": store, "project": settings.project, **given, **own}
    return Plan(
        key=_key(settings.project, settings.store or f"{socket.gethostname()}:{folder.path.resolve()}"),
        folder=settings.node_folder,
        python=settings.node_python,
        settings="".join(f"{name} = {json.dumps(value)}\n" for name, value in values.items()),
        password=password,
        files=files,
        target=target,
        wishes=wishes,
    )


def _given(settings: Settings, sources: Mapping[str, str]) -> dict[str, str]:
    """What the user has set here and holds on nodes too."""
    return {
        setting.name: setting.kind.format(getattr(settings, setting.field))
        for setting in SETTINGS
        if sources[setting.name] != "default" and setting.name not in _NOT_FOR_NODES
    }


def _key(project: str, store: str) -> str:
    return f"{project}-{hashlib.blake2b(store.encode(), digest_size=4).hexdigest()}"


def _with_files_of_the_node(url: str, files: dict[str, str]) -> str:
    """The URL for nodes. What it names are files of this machine: what is in them goes into `files`, by name there."""
    parts = urlsplit(url)
    options = []
    for name, value in parse_qsl(parts.query, keep_blank_values=True):
        if name in TLS_FILES:
            files[f"store.{name}"] = _text_of(name, value)
            value = f"@PROJECT@/store.{name}"
        # The password goes there by other means.
        if name != "password_file":
            options.append(f"{name}={value}")
    return urlunsplit(parts._replace(query="&".join(options)))


def _text_of(option: str, file: str) -> str:
    try:
        return Path(file).expanduser().read_text(encoding="ascii")
    except (OSError, ValueError) as error:
        raise BadSetting(f"The file {file!r}, which is the store's {option!r}, cannot be read: {error}.") from error


def _local_target(store: str) -> str:
    """What ssh leads to, if the store of this URL is one that only this machine can reach."""
    parts = urlsplit(store)
    if parts.scheme == "unix":
        return parts.path
    host = parts.netloc.rpartition("@")[2]
    if parts.scheme == "redis" and urlsplit(f"//{host}").hostname in _LOCAL:
        return host if ":" in host else f"{host}:6379"
    return ""
