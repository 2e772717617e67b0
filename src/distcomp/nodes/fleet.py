"""The nodes of a project while somebody attends to them: each has its way to the store and its worker.

A thread per node sees to it: it makes the way, starts the worker, and makes the way again when it breaks. No node's
trouble is another's.
"""

from __future__ import annotations

import math
import random
import threading
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from enum import StrEnum

from distcomp.clock import Clock, SystemClock
from distcomp.nodes.checking import Agreement
from distcomp.nodes.forward import Forward
from distcomp.nodes.hosts import Host
from distcomp.nodes.installing import Facts
from distcomp.nodes.plan import Plan
from distcomp.nodes.readying import STEP_S, Ready, Readying
from distcomp.nodes.ssh import HostTrouble, Ssh

START_PATIENCE_S = 30.0
# A worker that is stopped gives back what it runs, and delivers its last reports for 20 s at most.
STOP_PATIENCE_S = 40.0
DRAIN_LOOK_S = 1.0
RETRY_FIRST_S = 0.5
RETRY_CAP_S = 15.0
HOLD_LOOK_S = 0.2
KNOWN_PATIENCE_S = 60.0
ABORT_EVERY_S = 0.5
TIDY_S = 10.0
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
    """Attends to one node, from the first look until it is let go. `standing` says how it is.

    Args:
        readying: how nodes are got ready.
        host: which.
        slots: as many nodes may be got ready at once.
        on_change: is called with each new standing, in any thread.
        starts: start a worker; False: see to the way to the store only, for one that is to end.
    """

    def __init__(
        self,
        readying: Readying,
        host: Host,
        slots: threading.Semaphore,
        on_change: Callable[[Host, Standing], None],
        *,
        starts: bool = True,
    ) -> None:
        super().__init__(name=f"node {host.name}", daemon=True)
        self.host, self.standing = host, Standing(Phase.COMING)
        self._readying, self._slots, self._on_change = readying, slots, on_change
        self._facts: Facts | None = None
        self._starts, self._is_ending = starts, not starts
        self._has_worked = False
        self._is_cut_short = self._is_sure = False
        self._drains_at_s = math.inf
        self._ends = 0
        self._retry_s = RETRY_FIRST_S
        self._starting = threading.Lock()
        self._is_let_go = threading.Event()
        self._is_known = threading.Event()

    def run(self) -> None:
        """Keep the node at work."""
        while not self._is_let_go.is_set():
            try:
                self._attend()
            except HostTrouble as trouble:
                if self._is_to_end_first():
                    continue
                if self._is_time_over(trouble):
                    self._clean_up()
                    self._become(Standing(Phase.ENDED, "" if isinstance(trouble, WorkerEnded) else trouble.what))
                    self._is_known.set()
                    return
                self._ends += isinstance(trouble, WorkerEnded)
                # What never worked is said and left alone; what did work is tried again for as long as we are here.
                is_hopeless = not self._has_worked or self._ends == MOST_ENDS
                phase = Phase.LEFT_OUT if is_hopeless else Phase.AWAY
                self._become(Standing(phase, trouble.what, trouble.next_step))
                self._is_known.set()
                if is_hopeless:
                    self._readying.withdraw(self.host)
                    self._tidy()
                    return
                self._is_let_go.wait(self._retry_s * random.uniform(0.5, 1))  # noqa: S311  spreads them, no secret
                self._retry_s = min(RETRY_CAP_S, self._retry_s * 2)

    def _is_to_end_first(self) -> bool:
        """Whether it was told to end while it was got ready: it is reached once more, and what was brought is removed.

        Where it was not even looked at, nothing was brought; a worker of an earlier life may be there all the same.
        """
        is_first = self._starts and self._is_ending and not (self._has_worked or self._is_cut_short)
        self._is_cut_short |= is_first
        return is_first and (self._is_sure or self._facts is not None)

    def _is_time_over(self, trouble: HostTrouble) -> bool:
        """Whether the worker has left as it was to, or must have, seen or unseen."""
        now_s, until_s = self._readying.now_s(), self._readying.plan.wishes.until_s or math.inf
        return now_s >= until_s or (isinstance(trouble, WorkerEnded) and now_s >= self._drains_at_s)

    def _clean_up(self) -> None:
        if self._facts is not None:
            with suppress(HostTrouble):
                self._stop_worker(self._facts)

    def _tidy(self) -> None:
        """Remove what was brought for a worker, if none runs."""
        if self._facts is not None:
            with suppress(HostTrouble):
                self._readying.call(self.host, self._facts, "stop", {"ends": False}, timeout_s=TIDY_S)

    def _attend(self) -> None:
        """From a look at the node until the trouble that is raised, or until we are let go."""
        with self._slots:
            ready = self._ready_to_end() if self._is_ending else self._ready_to_work()
        if not self._has_worked and not self._is_ending:
            with self._slots:
                outputs = self._readying.needed_outputs(self.host, ready.facts)
            self._readying.agree(self.host, outputs)
        with self._slots:
            forward = self._forward(ready)
        try:
            self._start_worker(ready, forward)
            self._is_known.set()
            self._has_worked, self._retry_s = True, RETRY_FIRST_S
            while not self._is_let_go.is_set():
                last_words = forward.wait(HOLD_LOOK_S)
                if last_words is not None and not self._is_ending:
                    raise WorkerEnded(last_words)
        finally:
            forward.close()

    def _ready_to_work(self) -> Ready:
        self._facts = self._readying.look(self.host)
        return self._readying.make_ready(self.host, self._facts)

    def _ready_to_end(self) -> Ready:
        self._facts = self._readying.facts(self.host)
        return Ready(self._facts, "", self._readying.prepare(self.host, self._facts))

    def _forward(self, ready: Ready) -> Forward:
        plan = self._readying.plan
        ask = plan.ask(self.host.name, sockets=ready.sockets)
        return Forward(self._readying.ssh, self.host, ask, target=plan.target, python=ready.facts.python)

    def _start_worker(self, ready: Ready, forward: Forward) -> None:
        with self._starting:
            if self._is_ending:
                return
            self._drains_at_s = self._readying.drains_at_s()
            ask = {
                "program": ready.program,
                "options": self._readying.worker_options(),
                "patience_s": START_PATIENCE_S,
            }
            with self._slots:
                started = self._readying.call(self.host, ready.facts, "start", ask)
            forward.watch(started["pid"])
            self._become(Standing(Phase.WORKING))

    def end(self, *, drain: bool, is_sure: bool = False) -> None:
        """Stop the node's worker, and wait for its end. The way to the store stays, for its last reports.

        Args:
            drain: wait for what runs.
            is_sure: reach also a node that was not looked at yet.
        """
        self._is_sure, self._is_ending = is_sure, True
        self._readying.withdraw(self.host)
        for _ in range(round(KNOWN_PATIENCE_S / ABORT_EVERY_S)):
            # A start that is on its way comes to its end first; whatever is done before that may be left half-way.
            with self._starting:
                if self._starts and not (self._is_known.is_set() or self._is_cut_short):
                    self._readying.ssh.abort(self.host)
            if self._is_known.wait(ABORT_EVERY_S):
                break
        facts = self._facts
        if facts is None or self.standing.phase in (Phase.LEFT_OUT, Phase.ENDED):
            return
        self._become(Standing(Phase.ENDING))
        try:
            if drain:
                self._drain_worker(facts)
            else:
                self._stop_worker(facts)
            self._become(Standing(Phase.ENDED))
        except HostTrouble as trouble:
            self._become(Standing(Phase.AWAY, trouble.what, trouble.next_step))

    def _stop_worker(self, facts: Facts) -> None:
        ask = {"ends": True, "drain": False, "patience_s": STOP_PATIENCE_S, "kills": True}
        with self._slots:
            self._readying.call(self.host, facts, "stop", ask, timeout_s=STOP_PATIENCE_S + STEP_S)

    def _drain_worker(self, facts: Facts) -> None:
        """Tell the worker, and wait for its end: if that takes long, in nobody's way."""
        ask = {"ends": True, "drain": True, "kills": False}
        with self._slots:
            told = self._readying.call(self.host, facts, "stop", {**ask, "patience_s": DRAIN_LOOK_S})
        if not told["is_gone"]:
            self._readying.call(self.host, facts, "stop", {**ask, "patience_s": None}, timeout_s=None)

    def let_go(self) -> None:
        """Take the way to the store away. The worker goes on, if it was not stopped."""
        self._is_let_go.set()

    def _become(self, standing: Standing) -> None:
        self.standing = standing
        self._on_change(self.host, standing)


class Fleet:
    """All nodes of a list. `add` first, `close` last.

    Args:
        ssh: the way to them.
        on_change: is told of each node's changes, one at a time, in any thread.
        connections: most nodes that are got ready at once.
    """

    def __init__(
        self,
        ssh: Ssh,
        on_change: Callable[[Host, Standing], None],
        connections: int = 32,
        clock: Clock | None = None,
    ) -> None:
        self._ssh, self._on_change = ssh, on_change
        self._clock = clock or SystemClock()
        self._told = threading.Lock()
        self._changed = threading.Condition()
        self._slots = threading.Semaphore(connections)
        self._attendants: dict[Host, Attendant] = {}
        self._enders: list[threading.Thread] = []

    def add(self, hosts: Iterable[Host], plan: Plan, *, starts: bool = True) -> None:
        """Attend to these nodes too; anew, if they were left out or have ended.

        Args:
            hosts: which.
            plan: what they are told.
            starts: start a worker on each; False: see to the way to the store only, for workers that are to end.
        """
        wanted = list(hosts)
        commands = plan.wishes.need_commands if starts else ()
        agreement = Agreement(wanted, commands) if commands else None
        readying = Readying(self._ssh, plan, agreement, self._clock)
        for host in wanted:
            if host in self._attendants:
                self._attendants[host].let_go()
                self._attendants[host].join()
            self._attendants[host] = Attendant(readying, host, self._slots, self._tell, starts=starts)
        for host in wanted:
            self._attendants[host].start()

    def wait_until_known(self, patience_s: float) -> bool:
        """Whether it is known of all nodes how they are, after waiting for that for so long at most."""
        with self._changed:
            return self._changed.wait_for(self._is_all_known, patience_s)

    def _is_all_known(self) -> bool:
        return all(standing.phase is not Phase.COMING for standing in self.standings().values())

    def standings(self) -> dict[Host, Standing]:
        """How each node is."""
        return {host: attendant.standing for host, attendant in list(self._attendants.items())}

    def end(self, hosts: Iterable[Host] | None = None, *, drain: bool, is_sure: bool = False) -> None:
        """Begin to stop workers: after what they run, or at once. A drain may be cut short by calling again.

        Args:
            hosts: whose; None: all.
            drain: wait for what runs.
            is_sure: reach also nodes that were not looked at yet: a worker of an earlier life may be there.
        """
        for host in list(self._attendants) if hosts is None else hosts:
            attendant = self._attendants[host]
            how = {"drain": drain, "is_sure": is_sure}
            ender = threading.Thread(target=attendant.end, kwargs=how, name=f"end {host}", daemon=True)
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
            attendant.join()

    def _tell(self, host: Host, standing: Standing) -> None:
        with self._told:
            self._on_change(host, standing)
        with self._changed:
            self._changed.notify_all()
