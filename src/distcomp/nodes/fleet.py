"""The nodes of a project while somebody attends to them: each has its way to the store and its worker.

A thread per node sees to it: it makes the way, starts the worker, and makes the way again when it breaks. No node's
trouble is another's.
"""

from __future__ import annotations

import random
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from enum import StrEnum

from distcomp.nodes.call import call
from distcomp.nodes.forward import Forward
from distcomp.nodes.hosts import Host
from distcomp.nodes.installing import Bundles, Facts, install, look
from distcomp.nodes.plan import Plan
from distcomp.nodes.ssh import HostTrouble, Ssh

START_S = 60.0
STOP_PATIENCE_S = 40.0
RETRY_FIRST_S = 0.5
RETRY_CAP_S = 15.0
HOLD_LOOK_S = 0.2
# A worker that ends again and again does so for a reason that stays.
MOST_ENDS = 4


class Phase(StrEnum):
    """How far a node is."""

    COMING = "coming"
    WORKING = "working"
    AWAY = "away"
    ENDING = "ending"
    ENDED = "ended"
    LEFT_OUT = "left out"


@dataclass(frozen=True, slots=True)
class Standing:
    """How a node is. `trouble` says why it is not working, and `next_step` what to do."""

    phase: Phase
    trouble: str = ""
    next_step: str = ""


class WorkerEnded(HostTrouble):
    """A node's worker ended without being told to by us."""

    def __init__(self, last_words: Sequence[str]) -> None:
        said = "".join(f"\n  {line}" for line in last_words)
        super().__init__(f"its worker has ended; the end of its log:{said}")


class Attendant(threading.Thread):
    """Attends to one node, from the first look until it is told to end. `standing` says how it is.

    Args:
        on_change: is called with each new standing, in this thread.
    """

    def __init__(
        self,
        ssh: Ssh,
        host: Host,
        plan: Plan,
        bundles: Bundles,
        slots: threading.Semaphore,
        on_change: Callable[[Host, Standing], None],
    ) -> None:
        super().__init__(name=f"node {host.name}", daemon=True)
        self.host, self.standing = host, Standing(Phase.COMING)
        self.facts: Facts | None = None
        self._ssh, self._plan, self._bundles = ssh, plan, bundles
        self._slots, self._on_change = slots, on_change
        self._program = ""
        self._has_worked = self._is_ending = False
        self._ends = 0
        self._starting = threading.Lock()
        self._is_let_go = threading.Event()

    def run(self) -> None:
        """Keep the node at work."""
        retry_s = RETRY_FIRST_S
        while not self._is_let_go.is_set():
            try:
                with self._slots:
                    forward = self._get_to_work()
                self._has_worked, retry_s = True, RETRY_FIRST_S
                self._hold(forward)
            except WorkerEnded as trouble:
                self._ends += 1
                self._become(Standing(Phase.AWAY if self._ends < MOST_ENDS else Phase.LEFT_OUT, trouble.what))
                if self._ends == MOST_ENDS:
                    return
            except HostTrouble as trouble:
                # What never worked is said and left alone; what did work is tried again for as long as we are here.
                phase = Phase.AWAY if self._has_worked else Phase.LEFT_OUT
                self._become(Standing(phase, trouble.what, trouble.next_step))
                if phase is Phase.LEFT_OUT:
                    return
                self._is_let_go.wait(retry_s * random.uniform(0.5, 1))  # noqa: S311  spreads them, no secret
                retry_s = min(RETRY_CAP_S, retry_s * 2)

    def _get_to_work(self) -> Forward:
        if self.facts is None or not self._program:
            self.facts = look(self._ssh, self.host, self._plan)
            self._program = install(self._ssh, self.host, self.facts, self._bundles)
        ask = self._plan.ask(self.host.name, settings=self._plan.settings, password=self._plan.password)
        prepared = self._call("prepare", ask)
        ask = self._plan.ask(self.host.name, sockets=prepared["sockets"])
        forward = Forward(self._ssh, self.host, ask, target=self._plan.target, python=self.facts.python)
        try:
            self._start_worker()
        except BaseException:
            forward.close()
            raise
        return forward

    def _start_worker(self) -> None:
        with self._starting:
            if self._is_ending:
                return
            ask = self._plan.ask(self.host.name, program=self._program, options=[], patience_s=START_S / 2)
            self._call("start", ask)
            self._become(Standing(Phase.WORKING))

    def _call(self, script: str, ask: dict[str, object], timeout_s: float | None = START_S) -> dict[str, object]:
        assert self.facts
        return call(self._ssh, self.host, ("places", script), ask, python=self.facts.python, timeout_s=timeout_s)

    def _hold(self, forward: Forward) -> None:
        """Until we are let go, or the way breaks or the worker ends: then the trouble is raised."""
        try:
            while not self._is_let_go.is_set():
                last_words = forward.wait(HOLD_LOOK_S)
                if last_words is not None and not self._is_ending:
                    raise WorkerEnded(last_words)
        finally:
            forward.close()

    def end(self, *, drain: bool) -> None:
        """Stop the node's worker, and wait for its end. The way to the store stays, for its last reports."""
        self._is_ending = True
        # A start that is on its way comes to its end first.
        with self._starting:
            if not self._has_worked and self.standing.phase is not Phase.WORKING:
                return
        self._become(Standing(Phase.ENDING))
        try:
            ask = self._plan.ask(self.host.name, drain=drain, patience_s=None if drain else STOP_PATIENCE_S)
            self._call("stop", ask, timeout_s=None if drain else STOP_PATIENCE_S + START_S)
            self._become(Standing(Phase.ENDED))
        except HostTrouble as trouble:
            self._become(Standing(Phase.AWAY, trouble.what, trouble.next_step))

    def let_go(self) -> None:
        """Take the way to the store away. The worker goes on, if it was not stopped."""
        self._is_let_go.set()

    def _become(self, standing: Standing) -> None:
        self.standing = standing
        self._on_change(self.host, standing)


class Fleet:
    """All nodes of a list. `start` first, `close` last.

    Args:
        ssh: the way to them.
        hosts: which.
        plan: what they are told.
        on_change: is told of each node's changes, one at a time, in any thread.
        connections: most nodes that are got ready at once.
    """

    def __init__(
        self,
        ssh: Ssh,
        hosts: Sequence[Host],
        plan: Plan,
        on_change: Callable[[Host, Standing], None],
        connections: int = 32,
    ) -> None:
        self._ssh = ssh
        self._told = threading.Lock()
        self._on_change = on_change
        self._changed = threading.Condition()
        bundles, slots = Bundles(), threading.Semaphore(connections)
        self._attendants = {host: Attendant(ssh, host, plan, bundles, slots, self._tell) for host in hosts}
        self._enders: list[threading.Thread] = []

    def start(self) -> dict[Host, Standing]:
        """Get all nodes to work; how each is, as soon as that is known of all."""
        for attendant in self._attendants.values():
            attendant.start()
        with self._changed:
            self._changed.wait_for(lambda: all(s.phase is not Phase.COMING for s in self.standings().values()))
        return self.standings()

    def standings(self) -> dict[Host, Standing]:
        """How each node is."""
        return {host: attendant.standing for host, attendant in self._attendants.items()}

    def end(self, *, drain: bool) -> None:
        """Begin to stop all workers: after what they run, or at once. A drain may be cut short by calling again."""
        for attendant in self._attendants.values():
            ender = threading.Thread(
                target=attendant.end, kwargs={"drain": drain}, name=f"end {attendant.host}", daemon=True
            )
            ender.start()
            self._enders.append(ender)

    def is_ending(self) -> bool:
        """Whether a worker that was told to end still may run."""
        return any(ender.is_alive() for ender in self._enders)

    def close(self) -> None:
        """Take all ways to the store away, after `end` has come to its end."""
        for ender in self._enders:
            ender.join()
        for attendant in self._attendants.values():
            attendant.let_go()
        for attendant in self._attendants.values():
            if attendant.ident is not None:
                attendant.join()

    def _tell(self, host: Host, standing: Standing) -> None:
        with self._told:
            self._on_change(host, standing)
        with self._changed:
            self._changed.notify_all()
