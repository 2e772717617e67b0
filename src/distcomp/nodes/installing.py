"""Gets a node ready: looks at it, and sends distcomp if this version of it is not there yet."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from threading import Lock

from distcomp.nodes.bundle import Bundle, own_suffix, pack_own
from distcomp.nodes.call import call
from distcomp.nodes.hosts import Host
from distcomp.nodes.plan import Plan
from distcomp.nodes.ssh import HostTrouble, Ssh

LOOK_S = 30.0
_NO_PLACE = r"Permission denied|Read-only|No space|[Qq]uota"
_ELSEWHERE = "Make room there, or name a folder elsewhere in the setting `node_folder`."
INSTALL_S = 600.0


@dataclass(frozen=True, slots=True)
class Facts:
    """What a node is and has, as it says. `programs`: versions of distcomp that are there."""

    python: str
    version: tuple[int, ...]
    suffix: str
    platform: str
    hostname: str
    machine: str
    now_s: float
    cores: int
    memory_bytes: int
    folder: str
    free_disk_bytes: int
    programs: frozenset[str]
    paths: dict[str, bool]


class Bundles:
    """Archives of distcomp, each made once, when a node needs it. Thread-safe."""

    def __init__(self, pack_ours: Callable[[], Bundle] = pack_own) -> None:
        self._pack_ours = pack_ours
        self._lock = Lock()
        self._own: Bundle | None = None

    def fitting(self, facts: Facts) -> Bundle:
        """The one that runs on a node.

        Raises:
            HostTrouble: there is none.
        """
        if facts.suffix != own_suffix():
            raise HostTrouble(f"its Python is another one ({facts.suffix}, here {own_suffix()})")
        with self._lock:
            if self._own is None:
                self._own = self._pack_ours()
            return self._own


def look(ssh: Ssh, host: Host, plan: Plan) -> Facts:
    """What a node is and has. HostTrouble: it cannot be asked."""
    ask = {"folder": plan.folder, "paths": list(plan.needed_paths.values())}
    answer = call(ssh, host, "facts", ask, python=plan.python, timeout_s=LOOK_S)
    answer["version"], answer["programs"] = tuple(answer["version"]), frozenset(answer["programs"])
    return Facts(**answer)


def install(ssh: Ssh, host: Host, facts: Facts, bundles: Bundles) -> str:
    """See that distcomp is on a node; the path of its program there.

    Raises:
        HostTrouble: it cannot be sent, or does not run there. Nothing half-made is left.
    """
    bundle = bundles.fitting(facts)
    if bundle.name not in facts.programs:
        ask = {
            "folder": facts.folder,
            "name": bundle.name,
            "sha256": bundle.sha256,
            "bytes": len(bundle.content),
        }
        try:
            call(ssh, host, "install", ask, python=facts.python, payload=bundle.content, timeout_s=INSTALL_S)
        except HostTrouble as trouble:
            if re.search(_NO_PLACE, trouble.what):
                trouble = HostTrouble(trouble.what, next_step=_ELSEWHERE)
            raise trouble from None
    return f"{facts.folder}/programs/{bundle.name}"
