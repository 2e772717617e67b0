"""The worker's loop: keep the node full until told to stop, then give back what still runs."""

from __future__ import annotations

import logging
from collections import deque
from dataclasses import dataclass
from enum import IntEnum

import msgspec

from distcomp import packing
from distcomp.clock import Clock
from distcomp.errors import DistcompError
from distcomp.model import Cause, Claim, NodeRoom
from distcomp.runner.attempt import Ended, NodeRefused, RunningAttempt
from distcomp.runner.fence import Fence
from distcomp.runner.runner import Runner
from distcomp.runner.wakeup import Wakeup
from distcomp.store.settlements import AnySettlement, Doubt, Fail, Finish, GiveBack, RetryLater, Suspect
from distcomp.store.store import Proof
from distcomp.worker.courier import Courier
from distcomp.worker.guard import Guard, Sight
from distcomp.worker.looks import Looks, known_bytes_of, known_cores_of, load_to_come
from distcomp.worker.news import News
from distcomp.worker.outlook import Outlook
from distcomp.worker.pace import Pace
from distcomp.worker.relief import PAUSED_LOOK_S, Relief
from distcomp.worker.streak import Streak

log = logging.getLogger(__name__)

UNSTARTED_S = 2.0
"""A claim that could not be started for so long goes back: another node may have room."""
QUIET_LOOK_S = 2.0
SOON_S = 0.05
"""Until the first look after something was started, or has freed memory."""
NOTABLE = 0.01
"""Part of a node's memory that is worth a look when an attempt's end has freed it."""
SAY_S = 1.0
NEWS_EVERY_S, NEWS_PART = 0.5, 4
"""How often a heartbeat comes early, when what runs has changed by more than a fourth part: not with each task."""
MOSTLY = 0.5
"""Of a node's memory: who used less when memory ended it has not outgrown the node, whoever was there."""
REFUSED_S = 1.0
"""How long nothing is started after the node had no process, descriptor or memory left for an attempt."""


class Stop(IntEnum):
    """How the worker is to end."""

    NOT = 0
    DRAIN = 1
    NOW = 2


@dataclass(frozen=True, slots=True)
class Waiting:
    """A claim that has not been started yet."""

    claim: Claim
    since_s: float
    is_beyond_room: bool = False


class Worker:
    """One worker's life. All methods but `stop` are called by one thread, the main one."""

    def __init__(
        self,
        runner: Runner,
        courier: Courier,
        outlook: Outlook,
        wakeup: Wakeup,
        clock: Clock,
        fence: Fence | None = None,
    ) -> None:
        self._runner, self._courier, self._outlook = runner, courier, outlook
        self._wakeup, self._clock = wakeup, clock
        self._pace = Pace()
        self._streak = Streak(clock.monotonic_s)
        self._running: dict[str, RunningAttempt] = {}
        self._backlog: deque[Waiting] = deque()
        self._looks = Looks(clock)
        self._relief, self._guard = Relief(runner, clock), Guard(outlook.glance, wakeup, fence)
        self._most = 0
        self._asked: NodeRoom | None = None
        self._say_at_s = self._news_at_s = 0.0
        self._told = 0
        self._look_at_s = self._refused_until_s = 0.0
        self._is_between_lives = False
        self._stop = Stop.NOT
        self.is_abandoned = False  # the store has been away for so long that this worker leaves
        self._leash: int | None = None

    def stop(self, how: Stop) -> None:
        """End the worker: after what runs (DRAIN), or at once (NOW). Safe in a signal handler."""
        self._stop = max(self._stop, how)
        self._wakeup.wake()

    def hold_leash(self, descriptor: int) -> None:
        """Stop at once when the other end of this pipe is closed: who started the worker is gone."""
        self._leash = descriptor
        self._wakeup.watch(descriptor)

    def run(self) -> None:
        """Keep the node full until told to stop, then give back what still runs.

        Raises:
            StoreRefused: the store will not serve this worker. Nothing runs any more.
        """
        while not self._is_done():
            self._take_news(self._courier.news())
            self._settle_ended()
            self._look_if_due()
            self._start_claimed()
            self._ask_for_work()
            self._rest()

    def _rest(self) -> None:
        """Wait until there is something to do. A glance at the memory that finds nothing is nothing."""
        is_woken = False
        while not is_woken:
            ready = self._wakeup.wait(self._wait_s())
            if self._leash in ready:
                self.stop(Stop.NOW)
            self._guard.heed(ready)
            if (now_s := self._clock.monotonic_s()) >= self._guard.glance_at_s:
                self._glance(now_s)
            is_woken = self._wakeup.was_woken or self._wait_s() <= 0

    def _glance(self, now_s: float) -> None:
        sight = self._guard.glance(self._use(), now_s)
        if sight is Sight.SHORT:
            # Until the look has found out who goes: it takes milliseconds.
            self._runner.pause()
        if sight is not Sight.NOTHING:
            self._look_at_s = now_s

    def _is_done(self) -> bool:
        if self._stop is Stop.NOT:
            return False
        self._give_back_backlog()
        if self._stop is Stop.NOW:
            self._kill_all(Cause.DRAINED, "the worker was stopped")
        return not self._running

    def _take_news(self, news: News) -> None:
        if news.is_lease_lost:
            self._backlog.clear()
            self._is_between_lives = True
            self._kill_all(Cause.LOST, "the store took this worker for dead")
        if self._is_between_lives and not self._running:
            self._is_between_lives = False
            self._courier.begin_new_life()
        for proof in news.revoked:
            self._revoke(proof)
        now_s = self._clock.monotonic_s()
        self._backlog += [Waiting(claim, now_s, self._is_beyond_room(claim)) for claim in news.claims]
        if news.refusal is not None:
            self._abandon(news.refusal)

    def _settle_ended(self) -> None:
        for ended in self._runner.collect():
            claim, outcome = ended.attempt.claim, ended.outcome
            del self._running[claim.task_id]
            self._pace.note(outcome.usage, is_crowded=self._outlook.is_crowded)
            if ended.attempt.measured.used_bytes >= NOTABLE * self._outlook.memory.total_bytes:
                self._look_soon()
            self._streak.note(claim.task_id, outcome)
            # What was taken from us is not ours to report.
            if outcome.cause not in (Cause.LOST, Cause.CANCELLED):
                has_outgrown_node = self._has_outgrown_node(ended)
                settlement = self._verdict(ended, has_outgrown_node=has_outgrown_node)
                self._courier.report(settlement, has_outgrown_node=has_outgrown_node)
        if not self._running and self._told:
            self._look_at_s = min(self._look_at_s, self._news_at_s)
        for refused in self._runner.refused():
            del self._running[refused.attempt.task_id]
            self._take_refusal(refused.attempt.claim, refused.error)

    def _verdict(self, ended: Ended, *, has_outgrown_node: bool) -> AnySettlement:
        claim, outcome, outlook = ended.attempt.claim, ended.outcome, self._outlook
        settings = outlook.settings
        place = packing.Place(self._outlook.memory.total_bytes, was_alone=has_outgrown_node)
        match packing.after_end(claim, outcome, settings.retries, settings.retry_backoff_s, place):
            case packing.Done():
                return Finish(claim.task_id, claim.token, outcome)
            case packing.GiveUp():
                may_be = self._streak.may_be_the_nodes(outcome, has_failed_before=claim.failures > 0)
                kind = Doubt if settings.quarantine_after and may_be else Fail
                return kind(claim.task_id, claim.token, outcome)
            case packing.TryAgain(delay_s, is_elsewhere):
                return RetryLater(claim.task_id, claim.token, outcome, delay_s, outlook.node if is_elsewhere else "")
            case packing.PutBack(need_bytes):
                return GiveBack(claim.task_id, claim.token, outcome.cause, outcome, need_bytes)

    def _has_outgrown_node(self, ended: Ended) -> bool:
        """Did memory end it although it had the node to itself?"""
        if ended.outcome.cause not in (Cause.EVICTED, Cause.OOM) or ended.others:
            return False
        memory, used_bytes = self._outlook.memory, ended.outcome.usage.peak_bytes
        # Another's program may have had it, or it went for what it used beside attempts that are gone since.
        return used_bytes >= MOSTLY * memory.total_bytes

    def _look_if_due(self) -> None:
        """Once in a while, or when there is nothing to lose: see how the node is, and act on it."""
        now_s = self._clock.monotonic_s()
        deadline_s = self._runner.next_deadline_s()
        if self._relief.is_over:
            self._look_at_s = now_s
        if now_s >= self._look_at_s or (deadline_s is not None and deadline_s <= 0):
            self._runner.look()
        if now_s < self._look_at_s:
            return
        self._runner.measure()
        running = list(self._running.values())
        self._outlook.look(running)
        memory, limits = self._outlook.memory, self._outlook.limits
        self._runner.node_memory = memory
        if self._outlook.limits_changed():
            self._runner.limits = self._outlook.runner_limits()
        self._looks.note(memory, running, limits, self._pace.typical_wall_s)
        self._guard.note_look(self._use(), limits, now_s, is_busy=bool(running))
        self._runner.is_memory_close = self._guard.is_close
        self._relief.act(self._use(), self._loads(), limits, running)
        self._give_back_unstarted(now_s)
        self._leave_if_abandoned()
        self._most = len(self._running) + self._room(self._loads()).attempts
        interval_s = packing.look_interval_s(self._use(), self._loads(), limits) if running else QUIET_LOOK_S
        self._look_at_s = now_s + (min(interval_s, PAUSED_LOOK_S) if self._runner.is_paused else interval_s)
        is_news = self._is_news()
        if is_news and now_s < self._news_at_s:
            self._look_at_s = min(self._look_at_s, self._news_at_s)
            is_news = False
        if is_news or now_s >= self._say_at_s:
            self._say_at_s = now_s + SAY_S
            self._say(is_news=is_news)
            self._suspect_node()

    def _is_news(self) -> bool:
        """Is what runs quite another number than who looks was told of?"""
        running = len(self._running)
        return NEWS_PART * abs(running - self._told) > max(running, self._told)

    def _suspect_node(self) -> None:
        """Ask to be given nothing more, when attempts fail one after another: it is granted if others do better."""
        failed = self._streak.failed
        if self._streak.is_long(self._outlook.settings.quarantine_after):
            reason = f"{len(failed)} attempts in a row failed here, while other nodes did better"
            reason += f"; the last: {self._streak.last_words}"
            node, span_s = self._outlook.node, self._streak.lasts_s
            self._courier.report(Suspect("", 0, node, node, reason, span_s, tuple(failed)))

    def _say(self, *, is_news: bool) -> None:
        """Tell of the node, and of what keeps tasks from it; of news at once, and not with the next heartbeat."""
        if is_news:
            self._told, self._news_at_s = len(self._running), self._clock.monotonic_s() + NEWS_EVERY_S
        use, loads, limits = self._use(), self._loads(), self._outlook.limits
        self._courier.say(
            self._outlook.facts(
                len(self._running),
                self._most,
                is_draining=self._stop is not Stop.NOT,
                room=packing.room(use, loads, limits),
                why=(packing.memory_text(use, loads, limits), packing.obstacle(use, loads, limits, 0)),
            ),
            self._outlook.meter.use,
            is_news=is_news,
        )

    def _leave_if_abandoned(self) -> None:
        """On a machine of somebody else's, nobody may ever come back for us. What ended is kept on its disk."""
        abandon_after_s = self._outlook.settings.abandon_after_s
        since_s = self._courier.away_since_s
        if not abandon_after_s or self._running or since_s is None:
            return
        if self._clock.monotonic_s() - since_s > abandon_after_s:
            log.warning("the store has not answered for %.0f s, and nothing runs: leaving", abandon_after_s)
            self.is_abandoned = True
            self.stop(Stop.DRAIN)

    def _start_claimed(self) -> None:
        held_up: list[Waiting] = []
        if self._starts_nothing():
            return
        while self._backlog and len(self._running) < max(1, self._most):
            waiting = self._backlog.popleft()
            if waiting.is_beyond_room and not self._fits(waiting.claim):
                # It has waited for too long: nothing else is started until it fits.
                self._backlog.appendleft(waiting)
                break
            # Cancelled and retried at once: the attempt that is being killed must be gone first.
            if waiting.claim.task_id in self._running:
                held_up.append(waiting)
            elif not self._start(waiting.claim):
                break
        self._backlog.extendleft(reversed(held_up))

    def _start(self, claim: Claim) -> bool:
        try:
            self._running[claim.task_id] = self._runner.start(claim)
            self._look_soon()
        except NodeRefused as error:
            self._take_refusal(claim, error)
            return False
        return True

    def _look_soon(self) -> None:
        self._look_at_s = min(self._look_at_s, self._clock.monotonic_s() + SOON_S)

    def _take_refusal(self, claim: Claim, error: NodeRefused) -> None:
        log.warning("%s The task goes back; nothing is started for %g s.", error, REFUSED_S)
        self._refused_until_s = self._clock.monotonic_s() + REFUSED_S
        self._give_back(claim)

    def _ask_for_work(self) -> None:
        if self._starts_nothing():
            self._courier.ask_nothing()
            return
        if self._backlog and self._backlog[0].is_beyond_room:
            self._courier.ask_nothing()
            return
        ahead = self._pace.ahead(self._most)
        if len(self._backlog) > ahead // 2 or not self._courier.can_ask():
            return
        room = self._room(self._loads() + self._loads_to_come())
        self._asked = msgspec.structs.replace(room, attempts=room.attempts + ahead)
        self._courier.ask(self._asked, is_idle=not self._backlog)

    def _starts_nothing(self) -> bool:
        """Is the worker ending, or its node in trouble? Between lives the courier brings nothing, whatever is asked."""
        is_refused = self._clock.monotonic_s() < self._refused_until_s
        return self._stop is not Stop.NOT or bool(self._outlook.trouble) or is_refused

    def _room(self, loads: list[packing.Load]) -> NodeRoom:
        return packing.room(self._use(), loads, self._outlook.limits)

    def _fits(self, claim: Claim) -> bool:
        need_bytes, cores = known_bytes_of(claim), known_cores_of(claim)
        return packing.fits(self._use(), self._loads(), self._outlook.limits, need_bytes, cores)

    def _is_beyond_room(self, claim: Claim) -> bool:
        """Was it given although there was no room for it, for us to make some?"""
        asked = self._asked
        return asked is not None and (known_bytes_of(claim) > asked.memory_bytes or known_cores_of(claim) > asked.cores)

    def _use(self) -> packing.NodeUse:
        outlook, pace = self._outlook, self._pace
        memory, busy_cores, wall_s = outlook.memory, outlook.busy_cores, pace.typical_wall_s
        stalled = self._guard.is_stalled
        return self._looks.use(memory, busy_cores, pace.typical_cores, wall_s, is_stalled=stalled)

    def _loads(self) -> list[packing.Load]:
        """What runs, oldest first."""
        return self._looks.loads(self._running.values())

    def _loads_to_come(self) -> list[packing.Load]:
        """What is claimed and not started."""
        return [load_to_come(waiting.claim) for waiting in self._backlog]

    def _revoke(self, proof: Proof) -> None:
        """Of this claim only: the task may be claimed anew by now."""
        self._backlog = deque(waiting for waiting in self._backlog if waiting.claim.token != proof.token)
        attempt = self._running.get(proof.task_id)
        if attempt is not None and attempt.claim.token == proof.token:
            self._runner.kill(attempt, Cause.CANCELLED, "cancelled")

    def _kill_all(self, cause: Cause, reason: str) -> None:
        for attempt in self._running.values():
            self._runner.kill(attempt, cause, reason, grace=False)

    def _give_back_unstarted(self, now_s: float) -> None:
        while self._backlog and now_s - self._backlog[0].since_s > UNSTARTED_S and not self._backlog[0].is_beyond_room:
            self._give_back(self._backlog.popleft().claim)

    def _give_back_backlog(self) -> None:
        while self._backlog:
            self._give_back(self._backlog.popleft().claim)

    def _give_back(self, claim: Claim) -> None:
        self._courier.report(GiveBack(claim.task_id, claim.token, Cause.DRAINED))

    def _abandon(self, refusal: DistcompError) -> None:
        self._kill_all(Cause.LOST, "the store refused the worker")
        while self._running:
            self._settle_ended()
            self._wakeup.wait(1.0)
        raise refusal

    def _wait_s(self) -> float:
        if self._stop is not Stop.NOT and not self._running:
            return 0.0
        until_look_s = max(0.0, min(self._look_at_s, self._guard.glance_at_s) - self._clock.monotonic_s())
        deadline_s = self._runner.next_deadline_s()
        return until_look_s if deadline_s is None else min(until_look_s, deadline_s)
