"""Gets one node ready for its worker: looked at, checked, with distcomp and the user's files on it."""

from __future__ import annotations

import hashlib
import math
import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from distcomp.clock import Clock, SystemClock
from distcomp.nodes.call import call
from distcomp.nodes.checking import Agreement, Check, checks
from distcomp.nodes.hosts import Host
from distcomp.nodes.installing import Bundles, Facts, Installed, install, look
from distcomp.nodes.plan import DIRECTORY, Plan
from distcomp.nodes.sending import send
from distcomp.nodes.ssh import HostTrouble, Ssh
from distcomp.packing import leaving_times_s

STEP_S = 60.0
SETUP_S = 3600.0
COMMAND_S = 60.0


@dataclass(frozen=True, slots=True)
class Ready:
    """A node that may start its worker.

    Args:
        facts: what it said of itself.
        program: path of distcomp there.
        sockets: folder there for sockets.
    """

    facts: Facts
    program: str
    sockets: str


class Machines:
    """Which machine has which host's name: a machine that is named twice gets one worker. Thread-safe."""

    def __init__(self) -> None:
        self._names: dict[str, str] = {}
        self._lock = threading.Lock()

    def enter(self, host: Host, machine: str) -> None:
        """Say who is which machine. HostTrouble: another host is the same."""
        with self._lock:
            first = self._names.setdefault(machine, host.name)
        if first != host.name:
            raise HostTrouble(f"it is the same machine as {first}")


class Readying:
    """What is shared by the nodes that are got ready together.

    Args:
        ssh: the way to them.
        plan: what they are told.
        agreement: among those nodes; None if there is nothing to agree on.
    """

    def __init__(self, ssh: Ssh, plan: Plan, agreement: Agreement | None, clock: Clock | None = None) -> None:
        self.ssh, self.plan, self._agreement = ssh, plan, agreement
        self._bundles, self._machines, self._clock = Bundles(), Machines(), clock or SystemClock()

    def look(self, host: Host) -> Facts:
        """See what a node is and has, and that it will do.

        Raises:
            HostTrouble: it cannot be asked, or does not have what is needed.
        """
        facts = self.facts(host)
        self._machines.enter(host, facts.machine)
        for check in checks(facts, self.plan.needed_paths):
            if not check.is_passed:
                raise HostTrouble(check.why, next_step=self._step(check.name))
        return facts

    def facts(self, host: Host) -> Facts:
        """What a node is and has, whether that will do or not. HostTrouble: it cannot be asked."""
        return look(self.ssh, host, self.plan)

    def checks(self, host: Host) -> list[Check]:
        """All that can be known of a node without changing anything there. HostTrouble: it cannot be asked."""
        before_s = self._clock.now_ms() / 1000
        facts = self.facts(host)
        middle_s = (before_s + self._clock.now_ms() / 1000) / 2
        self._machines.enter(host, facts.machine)
        bundle = self._bundles.fitting(facts)
        found = checks(facts, self.plan.needed_paths, clock_ahead_s=facts.now_s - middle_s, own_program=bundle.name)
        commands = self.plan.wishes.need_commands
        for command, (code, said) in zip(commands, self.outputs(host, facts, commands), strict=True):
            last = (said.strip().splitlines() or [""])[-1]
            why = f"`{command}` fails there (exit code {code}): {last}"
            found.append(Check(command, last if not code else f"exit code {code}", not code, why))
        return found

    def outputs(
        self, host: Host, facts: Facts, commands: Sequence[str], timeout_s: float = COMMAND_S, more_time: str = ""
    ) -> list[tuple[int, str]]:
        """Exit code and output of each command there. Each is ended when it takes longer, or we are interrupted.

        Args:
            host: which.
            facts: of it.
            commands: lines for its shell.
            timeout_s: for each.
            more_time: how the user gives them more, for those that were ended.

        Raises:
            HostTrouble: it cannot be asked.
        """
        if not commands:
            return []
        ask = {"cwd": self.plan.wishes.cwd, "commands": commands, "timeout_s": timeout_s}
        answer = self._run(host, facts, ask, timeout_s=timeout_s * len(commands) + STEP_S)
        return [
            (int(code), str(said) + (f" ({more_time})" if is_late and more_time else ""))
            for code, said, is_late in answer["answers"]
        ]

    def _run(
        self, host: Host, facts: Facts, ask: Mapping[str, object], *, payload: bytes = b"", timeout_s: float
    ) -> dict[str, Any]:
        return self.call(host, facts, "commands", ask, payload=payload, timeout_s=timeout_s, holds=True)

    def install(self, host: Host, facts: Facts, *, tidy: bool = False) -> Installed:
        """See that distcomp is there. HostTrouble: that is not possible. `tidy`: as `installing.install`."""
        return install(self.ssh, host, facts, self._bundles, tidy=tidy)

    def _step(self, missing: str) -> str:
        return "--send . sends the directory there." if missing == DIRECTORY else ""

    def make_ready(self, host: Host, facts: Facts) -> Ready:
        """Bring there what is needed. HostTrouble: that is not possible."""
        wishes = self.plan.wishes
        program = self.install(host, facts).program
        sockets = self.prepare(host, facts)
        if wishes.cargo:
            send(self.ssh, host, self.plan, wishes.cargo, facts.python)
        if wishes.setup:
            self.set_up(host, facts)
        return Ready(facts, program, sockets)

    def set_up(self, host: Host, facts: Facts) -> None:
        """Run the user's script of preparation there, if it has not been. HostTrouble: it fails."""
        script, cwd = self.plan.wishes.setup, self.plan.wishes.cwd
        setup = {"name": hashlib.sha256(script).hexdigest()[:12], "bytes": len(script)}
        ask = {"cwd": cwd, "timeout_s": SETUP_S, "setup": setup}
        self._run(host, facts, ask, payload=script, timeout_s=SETUP_S + STEP_S)

    def prepare(self, host: Host, facts: Facts) -> str:
        """Make the project's folder there, or make it anew; the folder for sockets."""
        ask = {"settings": self.plan.settings, "password": self.plan.password, "files": dict(self.plan.files)}
        return str(self.call(host, facts, "prepare", ask)["sockets"])

    def now_s(self) -> float:
        """Seconds since the epoch."""
        return self._clock.now_ms() / 1000

    def worker_options(self) -> list[str]:
        """What the worker is started with, now."""
        until_s = self.plan.wishes.until_s
        return ["--until", f"{max(1.0, until_s - self.now_s()):.0f}s"] if until_s else []

    def drains_at_s(self) -> float:
        """When a worker that is started now will start nothing more, in seconds since the epoch; else infinite."""
        until_s, now_s = self.plan.wishes.until_s, self.now_s()
        return now_s + leaving_times_s(max(0.0, until_s - now_s))[0] if until_s else math.inf

    def needed_outputs(self, host: Host, facts: Facts) -> list[tuple[int, str]]:
        """Exit code and output of each command on which the nodes are to agree. HostTrouble: it cannot be asked."""
        return self.outputs(host, facts, self._agreement.commands) if self._agreement else []

    def agree(self, host: Host, outputs: Sequence[tuple[int, str]]) -> None:
        """Wait for the other nodes. HostTrouble: this one fails at what it must be able to do, or is unlike them."""
        if self._agreement is None:
            return
        if trouble := self._agreement.report(host, outputs):
            raise HostTrouble(trouble)

    def withdraw(self, host: Host) -> None:
        """This host is left out: nobody waits for it."""
        if self._agreement is not None:
            self._agreement.withdraw(host)

    def call(
        self,
        host: Host,
        facts: Facts,
        script: str,
        ask: Mapping[str, object],
        *,
        payload: bytes = b"",
        timeout_s: float | None = STEP_S,
        holds: bool = False,
    ) -> dict[str, Any]:
        """Ask a node about this project. HostTrouble: as `call`. `holds`: as in `Ssh.run`."""
        question = self.plan.ask(host.name, **ask)
        return call(
            self.ssh,
            host,
            ("places", script),
            question,
            python=facts.python,
            payload=payload,
            timeout_s=timeout_s,
            holds=holds,
        )
