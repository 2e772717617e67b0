"""What a node must have before it gets work, and whether the nodes agree. Pure but for `Agreement`, which waits."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from distcomp.units import format_bytes, format_duration

if TYPE_CHECKING:
    from distcomp.nodes.hosts import Host
    from distcomp.nodes.installing import Facts

LEAST_DISK_BYTES = 200 << 20
"""For distcomp itself, and some room for what tasks print."""
LEAST_MEMORY_BYTES = 64 << 20
# Results carry times of the nodes; nothing else depends on their clocks.
CLOCK_NOTED_S = 2.0


@dataclass(frozen=True, slots=True)
class Check:
    """One thing that was looked at. `shown` is what was found; a check that is not passed says why."""

    name: str
    shown: str
    is_passed: bool = True
    why: str = ""


def checks(facts: Facts, needed: Mapping[str, str], *, clock_ahead_s: float = 0, own_program: str = "") -> list[Check]:
    """All checks of one node that can be reached.

    Args:
        facts: what it says of itself.
        needed: paths that must be there, by what they are called.
        clock_ahead_s: its clock less ours.
        own_program: name of the version of distcomp that would be sent; empty: not known yet.
    """
    disk, memory = facts.free_disk_bytes, facts.memory_bytes
    found = [
        Check("reach", "yes"),
        Check("python", ".".join(map(str, facts.version))),
        _at_least("disk", disk, LEAST_DISK_BYTES, f"free where {facts.folder} is"),
        _at_least("memory", memory, LEAST_MEMORY_BYTES, "of memory") if memory else Check("memory", "?"),
        Check("cores", str(facts.cores)),
        Check("clock", "same" if abs(clock_ahead_s) < CLOCK_NOTED_S else _difference(clock_ahead_s)),
    ]
    for name, path in needed.items():
        is_there = facts.paths.get(path, False)
        found.append(Check(name, "yes" if is_there else "no", is_there, f"{path} is not there"))
    if own_program:
        found.append(Check("distcomp", "there" if own_program in facts.programs else "to be sent"))
    return found


def _at_least(name: str, has_bytes: int, least_bytes: int, what: str) -> Check:
    why = f"it has only {format_bytes(has_bytes)} {what}, and {format_bytes(least_bytes)} are needed"
    return Check(name, format_bytes(has_bytes), has_bytes >= least_bytes, why)


def _difference(ahead_s: float) -> str:
    return f"{format_duration(round(abs(ahead_s)))} {'ahead' if ahead_s > 0 else 'behind'}"


def agreed(rows: Mapping[str, Sequence[Check]], commands: Sequence[str]) -> dict[str, list[Check]]:
    """The checks of all nodes, where one does not pass that says something else than on most nodes.

    Args:
        rows: by node.
        commands: checks of these names are compared.
    """
    usual = {
        command: Counter(c.shown for checks in rows.values() for c in checks if c.name == command and c.is_passed)
        for command in commands
    }

    def compared(check: Check) -> Check:
        if check.name not in usual or not check.is_passed:
            return check
        most = usual[check.name].most_common(1)[0][0]
        why = f"`{check.name}` says {check.shown!r} there, {most!r} elsewhere"
        return check if check.shown == most else Check(check.name, check.shown, False, why)

    return {name: [compared(check) for check in checks] for name, checks in rows.items()}


def unlike_most(outputs: Mapping[Host, tuple[int, str]], command: str) -> dict[Host, str]:
    """Who fails at a command, or says something else than most who do not; and why that is a trouble.

    Args:
        outputs: exit code and output by host.
        command: as the user wrote it.
    """
    troubles = {
        host: f"`{command}` fails there (exit code {code}): {_last_line(said)}"
        for host, (code, said) in outputs.items()
        if code
    }
    good = {host: said for host, (code, said) in outputs.items() if not code}
    if good:
        usual, _ = Counter(good.values()).most_common(1)[0]
        for host, said in good.items():
            if said != usual:
                troubles[host] = f"`{command}` says {_last_line(said)!r} there, {_last_line(usual)!r} elsewhere"
    return troubles


def _last_line(text: str) -> str:
    return (text.strip().splitlines() or [""])[-1][:200]


class Agreement:
    """Lets nodes that are got ready at the same time wait for one another, and tells who is unlike the others.

    Args:
        hosts: all that will `report` or `withdraw`.
        commands: whose outputs are compared.
    """

    def __init__(self, hosts: Iterable[Host], commands: Sequence[str]) -> None:
        self.commands = tuple(commands)
        self._waited_for = set(hosts)
        self._withdrawn: set[Host] = set()
        self._outputs: dict[Host, list[tuple[int, str]]] = {}
        self._changed = threading.Condition()

    def withdraw(self, host: Host) -> None:
        """This one will not come, or waits no longer."""
        with self._changed:
            self._waited_for.discard(host)
            self._withdrawn.add(host)
            self._changed.notify_all()

    def report(self, host: Host, outputs: Sequence[tuple[int, str]]) -> str:
        """What is wrong with this host, once all have come; nothing if it is like most."""
        with self._changed:
            self._outputs[host] = list(outputs)
            self._waited_for.discard(host)
            self._changed.notify_all()
            self._changed.wait_for(lambda: not self._waited_for or host in self._withdrawn)
            every = dict(self._outputs)
        for at, command in enumerate(self.commands):
            by_host = {other: outputs[at] for other, outputs in every.items()}
            if trouble := unlike_most(by_host, command).get(host):
                return trouble
        return ""
