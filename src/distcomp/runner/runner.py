"""Starts attempts, ends them, and says how they ended. Used by one thread, the worker's main loop."""

from __future__ import annotations

import contextlib
import math
import os
import select
import signal
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from distcomp.clock import Clock
from distcomp.model import Cause, Claim, Moment, NodeMemory
from distcomp.runner.aside import Aside
from distcomp.runner.attempt import Ended, KillOrder, Live, NodeRefused, Refused, RootEnd, RunningAttempt
from distcomp.runner.fence import Fence
from distcomp.runner.launch import CannotExecute, Launcher
from distcomp.runner.limits import RunnerLimits, timeout_s
from distcomp.runner.oomorder import NEWEST, OomOrder, set_oom_score
from distcomp.runner.outputlimit import SOON_S, limit_output
from distcomp.runner.outputs import Outputs
from distcomp.runner.pausing import Pause
from distcomp.runner.peaks import PeakMemory
from distcomp.runner.quick import Children, Spent
from distcomp.runner.resultfiles import ResultFiles, look_for
from distcomp.runner.settling import Settling
from distcomp.runner.slotfiles import SlotFiles
from distcomp.runner.slottable import SlotRecord, SlotTable
from distcomp.runner.starter import Starter
from distcomp.runner.strays import Strays
from distcomp.runner.surroundings import enter_surroundings, restore_surroundings
from distcomp.runner.trees import group_exists, read_process, signal_tree


class Runner:
    """Runs attempts in sessions of their own, below one worker.

    As long as it is open, this process is a subreaper, and OWN_MARK is in its environment. Where threads cannot have a
    working directory of their own, that of the process changes with each start. Other threads may start processes and
    wait for them; if the main thread does, while attempts run, it must tell so with `leave_alone`.

    Args:
        folder: the node's; `slots`, `running/` and `output/` in it are the runner's.
        worker: what tasks see as DISTCOMP_WORKER; must be unlike that of all other workers on the machine.
        node: named in outcomes.
        limits: may be replaced at any time; as may `node_memory`, what the worker saw last, for the attempts' records,
            and `is_memory_close`: memory may have run out before `measure` is called again.
        wake: called in another thread when `collect` has something that no child's end tells of.
        base_env: what tasks inherit from the worker.
        fence: around the attempts' memory; stays the caller's.
    """

    def __init__(
        self,
        folder: Path,
        *,
        worker: str,
        node: str,
        limits: RunnerLimits,
        clock: Clock,
        wake: Callable[[], None],
        base_env: Mapping[str, str] | None = None,
        fence: Fence | None = None,
    ) -> None:
        """Raises OSError: the folder cannot be used."""
        folder = folder.resolve()
        self.limits = limits
        self._clock = clock
        self._launcher = Launcher(worker, os.environ if base_env is None else base_env)
        self._surroundings = enter_surroundings(worker)
        self._slots = SlotFiles(folder / "running")
        self._table = SlotTable(folder / "slots")
        self._aside = Aside("store outputs", wake)
        self._outputs = Outputs(folder / "output", clock.now_ms(), self._aside)
        self._strays = Strays(worker)
        self._memory = PeakMemory(clock)
        self._oom_order = OomOrder()
        self._pause = Pause()
        self._children = Children()
        self._over: list[Ended] = []
        self._refused: list[Refused] = []
        results = ResultFiles(folder, self._aside)
        self._settling = Settling(node, self._slots, self._outputs, results, self._memory, self._hand_over)
        self._fence, self._starter = fence, Starter(self._launch, wake, fence)
        self._started = 0
        self._starting: dict[int, Live] = {}
        self._roots: dict[int, Live] = {}
        self._ending: list[Live] = []
        self._next_look_s = math.inf
        self.node_memory: NodeMemory | None = None
        self.is_memory_close = True

    def start(self, claim: Claim) -> RunningAttempt:
        """Start an attempt, in a moment. If that fails, `refused` has it; if it cannot be executed, `collect`.

        Raises:
            NodeRefused: the node has no room for one more attempt. Nothing will be started.
        """
        try:
            slot = self._slots.take()
        except OSError as error:
            raise NodeRefused(f"There is no file for the attempt's output: {error.strerror}.") from error
        self._started += 1
        attempt = RunningAttempt(claim, self._started, slot.number, self._clock.now_ms(), self._clock.monotonic_s())
        attempt.measured.at_start = self._moment()
        live = self._starting[attempt.number] = Live(attempt, slot, timeout_s(claim, self.limits))
        self._oom_order.note_start(live)
        self._starter.put(live)
        return attempt

    def refused(self) -> list[Refused]:
        """The attempts since the last call that the node had no process for."""
        refused, self._refused = self._refused, []
        return refused

    def collect(self) -> list[Ended]:
        """The attempts that are over since the last call; does not wait.

        An attempt is over when no process of it lives and its output is stored. What its first process leaves
        behind when it ends is killed.
        """
        self._adopt()
        self._reap()
        if self._ending:
            self._look_for_strays()
            self._ending = [live for live in self._ending if not self._is_settled(live)]
            if self._ending:
                self._look_at(self._clock.monotonic_s() + SOON_S)
        self._aside.finish_done()
        over, self._over = self._over, []
        return over

    def kill(self, attempt: RunningAttempt, cause: Cause, reason: str, *, grace: bool = True) -> None:
        """End an attempt and its whole tree: TERM, then KILL after the grace; or KILL now. `collect` has it then.

        The first cause given stays; a later call can only take the grace away. An attempt that has ended by
        itself keeps its own end.
        """
        live = self._starting.get(attempt.number)
        if live is not None:
            live.order, live.has_grace = live.order or KillOrder(cause, reason), live.has_grace and grace
            self._starter.expect()
            self._adopt()
            return
        live = self._roots.get(attempt.pid)
        if live is None or live.attempt is not attempt:
            return
        self._reap_one(attempt.pid)
        if live.end is not None:
            return
        if live.order is None:
            live.order = KillOrder(cause, reason)
        if not grace and not live.was_killed:
            self._kill_now(live)
        elif not (live.was_termed or live.was_killed):
            self._terminate(live)

    @property
    def is_killing(self) -> bool:
        """Has anybody been killed who is not gone?"""
        return any(live.was_killed for lives in (self._roots.values(), self._ending) for live in lives)

    @property
    def is_paused(self) -> bool:
        """Do attempts stand still?"""
        return bool(self._pause)

    def pause(self) -> None:
        """Stop all that runs, but for what was told to end, until `go_on`."""
        self._adopt()
        self._pause.stop(self._roots.values(), self._strays)

    def go_on(self) -> None:
        """End the pause, if there is one."""
        self._pause.go_on(self._roots, self._strays)

    def look(self) -> None:
        """Do what time asks for: timeouts, ends of graces, limits of output."""
        self._adopt()
        now_s = self._clock.monotonic_s()
        lives = list(self._roots.values())
        for live in lives:
            if now_s >= live.kill_at_s:
                self._kill_now(live)
            elif now_s >= live.times_out_at_s:
                self.kill(live.attempt, Cause.TIMEOUT, f"timed out after {live.timeout_s:g} s")
            if not live.is_lasting:
                self._note_lasting(live)
        self._look_for_strays()
        self._kill_ownerless()
        self._next_look_s = now_s + SOON_S if self._ending else math.inf
        for live in lives:
            self._look_at(min(live.kill_at_s, live.times_out_at_s, now_s + limit_output(live, now_s, self.limits)))

    def measure(self) -> None:
        """See how much memory the attempts use, and put them in the order in which the kernel should kill them."""
        self._adopt()
        lives = list(self._roots.values())
        self._memory.measure(self._roots, self._strays)
        self._oom_order.look(lives, self._memory.processes)

    def next_deadline_s(self) -> float | None:
        """Seconds until `look` has something to do, or `collect` has; None as long as no attempt runs."""
        if self._over:
            return 0.0
        if not (self._roots or self._ending):
            return None
        return max(0.0, self._next_look_s - self._clock.monotonic_s())

    def running(self) -> Sequence[RunningAttempt]:
        """The attempts that are not over, oldest first but for those that are about to be."""
        return [live.attempt for live in (*self._ending, *self._roots.values(), *self._starting.values())]

    def unsettled(self) -> int:
        """How many attempts were started and not collected: they run, or their output is being stored."""
        running = len(self._starting) + len(self._roots) + len(self._ending)
        return running + len(self._over) + len(self._refused) + self._aside.unfinished

    def leave_alone(self, pid: int) -> None:
        """Tell of a child that the main thread started and waits for itself."""
        self._strays.leave_alone(pid)

    def close(self) -> None:
        """Kill what still runs and let everything go. What was not collected is lost, but no process stays."""
        for attempt in self.running():
            self.kill(attempt, Cause.LOST, "the worker ended", grace=False)
        while self._starting or self._roots or self._ending:
            self.collect()
            select.select([], [], [], 0.005)
        self._starter.close()
        self._aside.close()
        self._outputs.close()
        self._memory.close()
        self._oom_order.close()
        self._strays.close()
        self._table.close()
        self._slots.close()
        restore_surroundings(self._surroundings)

    # Starts and ends

    def _launch(self, live: Live) -> int:
        """In one of the starter's threads."""
        attempt = live.attempt
        live.look = look_for(attempt.claim, self.limits, live.slot.stdout_fd)
        attempt.started_at_ms, attempt.started_s = self._clock.now_ms(), self._clock.monotonic_s()
        pid = self._launcher.launch(attempt.claim, live.slot.files, self.limits, attempt.started_s)
        if self._fence is not None:
            self._fence.take_in(pid)
        if self.is_memory_close:
            # At once: it may take all there is before anybody looks, and must go before those that are older.
            set_oom_score(pid, NEWEST)
            live.oom_score = NEWEST
        return pid

    def _adopt(self) -> None:
        """Take note of what was started."""
        for live, pid, error in self._starter.take():
            attempt = live.attempt
            del self._starting[attempt.number]
            if error is None:
                attempt.pid, self._roots[pid] = pid, live
                self._note_in_table(live, 0)
                self._look_at(min(attempt.started_s + SOON_S, live.times_out_at_s))
                if live.order is not None:
                    self.kill(attempt, live.order.cause, live.order.reason, grace=live.has_grace)
                continue
            self._slots.give_back(live.slot, is_empty=True)
            if isinstance(error, CannotExecute):
                self._settling.settle_unstarted(attempt, error)
            elif isinstance(error, NodeRefused):
                self._refused.append(Refused(attempt, error))
            else:
                raise error

    def _note_in_table(self, live: Live, start_ticks: int) -> None:
        attempt, claim = live.attempt, live.attempt.claim
        # A longer table on a full disk: the attempt is found by its environment alone.
        with contextlib.suppress(OSError):
            self._table.enter(
                SlotRecord(attempt.slot, attempt.pid, claim.task_id, claim.attempt, attempt.started_at_ms, start_ticks)
            )

    def _note_lasting(self, live: Live) -> None:
        """What is worth its 20 us only for an attempt that lasts: at the first look rather than at the start."""
        live.is_lasting = True
        row = read_process(live.attempt.pid)
        if row is None:
            return
        self._note_in_table(live, row.start_ticks)

    def _reap(self) -> None:
        """Take note of all children that have ended, but not of those that other threads wait for."""
        while True:
            dead = self._children.next_dead()
            if not dead:
                return
            if not self._is_ours_to_reap(dead):
                # It hides those behind it as long as it is not reaped.
                self._reap_each()
                return
            self._reap_one(dead)

    def _is_ours_to_reap(self, pid: int) -> bool:
        if pid not in self._roots and self._starting:
            # It may be one whose start we have not heard of yet.
            self._starter.expect()
            self._adopt()
            return pid in self._roots
        return pid in self._roots or self._strays.is_ours_to_reap(pid)

    def _reap_each(self) -> None:
        for pid in list(self._roots):
            self._reap_one(pid)
        for pid in self._strays:
            self._reap_one(pid)

    def _reap_one(self, pid: int) -> None:
        reaped = self._children.reap(pid)
        if reaped is None:
            return
        status, spent = reaped
        live = self._roots.get(pid)
        if live is not None:
            self._note_end(live, status, spent)
        else:
            self._strays.note_reaped(pid, spent)

    def _note_end(self, live: Live, status: int, spent: Spent) -> None:
        del self._roots[live.attempt.pid]
        wall_s = self._clock.monotonic_s() - live.attempt.started_s
        live.end = RootEnd(status, spent, self._clock.now_ms(), wall_s)
        live.attempt.measured.at_end = self._moment()
        live.others = len(self._roots) + len(self._starting) + len(self._ending)
        live.is_oom = self._oom_order.is_to_blame(live, live.end)
        self._ending.append(live)

    def _moment(self) -> Moment | None:
        if (memory := self.node_memory) is None:
            return None
        return Moment(len(self._roots) + len(self._starting), memory.available_bytes, memory.total_bytes)

    def _is_settled(self, live: Live) -> bool:
        """Whether nothing of the attempt is left. What is, is killed."""
        assert live.end is not None
        # Once it is gone, its number may become another's.
        live.has_group = live.has_group and group_exists(live.attempt.pid)
        strays = self._strays.of(live) if self._strays else set()
        if self._strays.is_unsure:
            return False
        if not strays and not live.has_group:
            self._table.clear(live.attempt.slot)
            self._settling.settle(live, live.end, self.limits)
            return True
        live.had_strays = True
        leader = live.attempt.pid if live.has_group else None
        for not_ours in signal_tree(leader, strays, signal.SIGKILL):
            self._strays.spare(not_ours)
        return False

    def _hand_over(self, ended: Ended) -> None:
        self._over.append(ended)

    # Kills

    def _terminate(self, live: Live) -> None:
        live.was_termed = True
        live.kill_at_s = self._clock.monotonic_s() + self.limits.kill_grace_s
        self._look_at(live.kill_at_s)
        self._signal(live, signal.SIGTERM)
        # One that was stopped takes the TERM only when it goes on.
        self._signal(live, signal.SIGCONT)

    def _kill_now(self, live: Live) -> None:
        live.was_killed, live.kill_at_s, live.attempt.is_dying = True, math.inf, True
        if self._strays:
            self._signal(live, signal.SIGKILL)
            return
        # Not all of the process table: who has left the group is an orphan when its parent is dead, and found as such.
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(live.attempt.pid, signal.SIGKILL)

    def _signal(self, live: Live, signal_number: int) -> None:
        signal_tree(live.attempt.pid, self._strays.surely_of(live), signal_number)

    def _look_for_strays(self) -> None:
        self._strays.look(self._roots, (*self._ending, *self._starting.values()))

    def _kill_ownerless(self) -> None:
        if nobodys := self._strays.of_nobody():
            for not_ours in signal_tree(None, nobodys, signal.SIGKILL):
                self._strays.spare(not_ours)

    # Looks

    def _look_at(self, monotonic_s: float) -> None:
        self._next_look_s = min(self._next_look_s, monotonic_s)
