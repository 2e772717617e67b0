"""Gets a node ready: looks at it, and sends distcomp if this version of it is not there yet."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from threading import Lock

from distcomp.nodes.bundle import Bundle, own_suffix, pack_own
from distcomp.nodes.call import call
from distcomp.nodes.foreign import Target, pack_foreign
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
    glibc: list[int]
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
    """Archives of distcomp, one for each kind of Python, each made once, when a node needs it. Thread-safe.

    Args:
        pack_ours: makes that for Pythons like ours.
        pack_other: makes that for another kind.
    """

    def __init__(
        self, pack_ours: Callable[[], Bundle] = pack_own, pack_other: Callable[[Target], Bundle] = pack_foreign
    ) -> None:
        self._pack_ours, self._pack_other = pack_ours, pack_other
        self._lock = Lock()
        self._made: dict[str, Bundle | HostTrouble] = {}

    def fitting(self, facts: Facts) -> Bundle:
        """The one that runs on a node.

        Raises:
            HostTrouble: it cannot be made.
        """
        with self._lock:
            if facts.suffix not in self._made:
                try:
                    self._made[facts.suffix] = self._make(facts)
                except HostTrouble as trouble:
                    self._made[facts.suffix] = trouble
            made = self._made[facts.suffix]
        if isinstance(made, HostTrouble):
            raise HostTrouble(made.what, next_step=made.next_step)
        return made

    def _make(self, facts: Facts) -> Bundle:
        if facts.suffix == own_suffix():
            return self._pack_ours()
        return self._pack_other(Target(facts.version, facts.platform.rpartition("-")[2], tuple(facts.glibc)))


def look(ssh: Ssh, host: Host, plan: Plan) -> Facts:
    """What a node is and has. HostTrouble: it cannot be asked."""
    ask = {"folder": plan.folder, "paths": list(plan.needed_paths.values())}
    answer = call(ssh, host, "facts", ask, python=plan.python, timeout_s=LOOK_S)
    answer["version"], answer["programs"] = tuple(answer["version"]), frozenset(answer["programs"])
    return Facts(**answer)


@dataclass(frozen=True, slots=True)
class Installed:
    """Distcomp on a node: where, whether it was sent just now, and what old versions were removed."""

    program: str
    is_new: bool = False
    removed: int = 0
    removed_bytes: int = 0


def install(ssh: Ssh, host: Host, facts: Facts, bundles: Bundles, *, tidy: bool = False) -> Installed:
    """See that distcomp is on a node. When it is sent, old versions that nobody uses go.

    Args:
        ssh: the way there.
        host: which.
        facts: what it said of itself.
        bundles: what is sent.
        tidy: remove old versions also where nothing has to be sent.

    Raises:
        HostTrouble: it cannot be sent, or does not run there. Nothing half-made is left.
    """
    bundle = bundles.fitting(facts)
    program = f"{facts.folder}/programs/{bundle.name}"
    ask: dict[str, object] = {"folder": facts.folder, "name": bundle.name}
    if bundle.name in facts.programs:
        if not tidy:
            return Installed(program)
        return Installed(program, is_new=False, **call(ssh, host, ("places", "tidy"), ask, python=facts.python))
    ask |= {"sha256": bundle.sha256, "bytes": len(bundle.content)}
    scripts = ("places", "tidy", "install")
    try:
        answer = call(ssh, host, scripts, ask, python=facts.python, payload=bundle.content, timeout_s=INSTALL_S)
    except HostTrouble as trouble:
        if re.search(_NO_PLACE, trouble.what):
            trouble = HostTrouble(trouble.what, next_step=_ELSEWHERE)
        raise trouble from None
    return Installed(program, is_new=True, **answer)
