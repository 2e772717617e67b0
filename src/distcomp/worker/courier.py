"""Carries claims and reports between the worker and the store: a thread, so that no slow store holds up the node.

While the store is away the attempts go on; what they report is kept on disk until it can be delivered.
"""

from __future__ import annotations

import logging
import math
import threading
from collections.abc import Callable

from distcomp.clock import Clock
from distcomp.errors import DistcompError, LeaseLost, StoreUnavailable
from distcomp.model import Cause, NodeRoom, Use
from distcomp.runner.sidethread import SideThread
from distcomp.store.settlements import AnySettlement, GiveBack
from distcomp.store.store import Proof, Store, WorkerLeaseLost, WorkerName
from distcomp.worker.elsewhere import failures_for_want_of_nodes, give_up_hopeless
from distcomp.worker.news import NO_NEWS, News
from distcomp.worker.spool import Spool

log = logging.getLogger(__name__)

LINGER_S = 0.1
"""A report may wait so long for others to share its round trip, while the node has enough to do."""
BATCH = 400
REAP_EVERY_S = 2.0
"""Who renews its lease looks for dead workers too, if nobody has for so long, or for a fifth of a lease: so one does it
for all, and one that is alone does it with each heartbeat."""
RETRY_FIRST_S, RETRY_CAP_S = 0.05, 2.0
REVOKED = b"revoked"


class Courier:
    """One thread and one connection. The worker's own thread calls the public methods.

    Args:
        connect: makes a store connection, starting the embedded server where that is needed.
        name: the worker's name, without incarnation; each life gets the next of `lives`.
        wake: called from the courier's thread when there is news.
    """

    def __init__(
        self, connect: Callable[[], Store], name: WorkerName, spool: Spool, clock: Clock, wake: Callable[[], None]
    ) -> None:
        self._connect, self._spool, self._clock, self._wake = connect, spool, clock, wake
        self._name, self._life = name, 0
        self._store: Store | None = None
        self._changed = threading.Condition()
        self._outbox: list[AnySettlement] = []
        self._oldest_report_s = 0.0
        self._room: NodeRoom | None = None
        self._is_idle = self._is_dry = self._is_claiming = self._was_refused = self._is_silent = False
        self._facts = b"{}"
        self._use = self._use_told = Use()
        self._holds: dict[str, int] = {}
        self._outgrown: set[int] = set()
        self._rings = self._rings_before = 0
        self._give_up_at_s, self._renew_at_s = math.inf, 0.0
        self._news = News()
        self._due_s: float | None = None
        self._may_begin_life, self._is_stopping = threading.Event(), False
        self.away_since_s: float | None = None  # since when the store has not answered
        self._thread = SideThread("courier", self._run)

    # For the worker's thread

    def start(self, facts: bytes) -> None:
        """Connect, deliver what an earlier worker left on disk, register.

        Raises:
            DistcompError: the store does not answer, or refuses.
        """
        self._facts = facts
        self._begin_life(self._open())
        self._thread.start()

    def report(self, settlement: AnySettlement, *, has_outgrown_node: bool = False) -> None:
        """Take a report to the store, soon, in company.

        Args:
            has_outgrown_node: memory ended the attempt although it had the node to itself. Where no node is larger,
                its task fails.
        """
        with self._changed:
            if has_outgrown_node:
                self._outgrown.add(settlement.token)
            if not self._outbox:
                self._oldest_report_s = self._clock.monotonic_s()
                self._changed.notify()
            self._outbox.append(settlement)
            if len(self._outbox) >= BATCH:
                self._changed.notify()

    def can_ask(self) -> bool:
        """False while claims are on their way or not yet taken: no room has them in it. The worker is woken then."""
        with self._changed:
            self._was_refused = self._is_claiming or bool(self._news.claims)
            return not self._was_refused

    def ask(self, room: NodeRoom, *, is_idle: bool) -> None:
        """Say what the node can take. `is_idle`: it has nothing left to start, so reports need not wait for company.

        Once the store had less than was asked for, nothing is asked until `ring`, or until a report goes there anyway.
        """
        with self._changed:
            if not self.can_ask():
                return
            self._room, self._is_idle, self._is_silent = room, is_idle, False
            if room.attempts > 0 and (is_idle or not self._is_dry):
                self._changed.notify()

    def ask_nothing(self) -> None:
        """Take back what was asked: the node is to start nothing now."""
        with self._changed:
            self._room, self._is_silent = None, True

    def ring(self, word: bytes = b"") -> None:
        """There may be work: ask again. From any thread. `word` is what the store published."""
        what, *names = word.split(b"\n")
        if what == REVOKED and self._name.worker.encode() not in names:
            return
        with self._changed:
            self._is_dry = False
            self._rings += 1
            if what == REVOKED:
                self._renew_at_s = 0.0
            self._changed.notify()

    def say(self, facts: bytes, use: Use, *, is_news: bool = False) -> None:
        """What the next heartbeat, which comes at once with news, tells of the worker: JSON, and all that was used."""
        self._facts, self._use = facts, use
        if is_news:
            self._renew_at_s = 0.0
            self.ring()

    def news(self) -> News:
        """What came since the last call."""
        if not self._news:  # without the lock: what comes just now wakes whoever asks
            return NO_NEWS
        with self._changed:
            news, self._news = self._news, News()
        return news

    def begin_new_life(self) -> None:
        """After a lost lease: nothing of the old life runs any more, so a new one may claim."""
        self._may_begin_life.set()

    def stop(self, wait_s: float) -> bool:
        """Deliver what is left, for at most `wait_s`, and leave. False: some reports stay on disk."""
        with self._changed:
            self._is_stopping, self._room, self._is_silent = True, None, True
            self._give_up_at_s = self._clock.monotonic_s() + wait_s
            self._changed.notify_all()
        self._may_begin_life.set()
        if self._thread.ident is not None:
            self._thread.join(wait_s + RETRY_CAP_S)
        return not self._thread.is_alive() and not self._spool

    # The courier's thread

    def _run(self) -> None:
        try:
            self._go_to_and_fro()
        except DistcompError as error:
            self._end_with(error)
        except Exception as error:  # The boundary of a thread: the worker must hear of it, and end.
            log.exception("the courier has failed")
            self._end_with(DistcompError(f"The worker's connection to the store has failed: {error!r}."))

    def _end_with(self, error: DistcompError) -> None:
        with self._changed:
            outbox, self._outbox = self._outbox, []
            self._news.refusal = error
        self._keep(outbox)
        self._wake()

    def _go_to_and_fro(self) -> None:
        retry_s = RETRY_FIRST_S
        while True:
            settlements, room, is_last = self._next_trip()
            try:
                self._travel(settlements, room)
                retry_s, self.away_since_s = RETRY_FIRST_S, None
                if is_last:
                    self._leave()
                    return
            except StoreUnavailable as error:
                self.away_since_s = self.away_since_s or self._clock.monotonic_s()
                log.warning("%s Attempts go on; trying again in %.2g s.", error, retry_s)
                self._disconnect()
                if not self._wait_to_retry(retry_s):
                    return
                retry_s = min(RETRY_CAP_S, retry_s * 2)

    def _wait_to_retry(self, retry_s: float) -> bool:
        """False: the worker is told to stop, and has waited for the store as long as it would."""
        with self._changed:
            was_stopping = self._is_stopping
            self._changed.wait_for(lambda: self._is_stopping and not was_stopping, retry_s)
            if self._clock.monotonic_s() < self._give_up_at_s:
                return True
            outbox, self._outbox = self._outbox, []
        self._keep(outbox)
        return False

    def _next_trip(self) -> tuple[list[AnySettlement], NodeRoom | None, bool]:
        """Sleep until there is a reason to go; then take what is to be carried."""
        with self._changed:
            while (wait_s := self._wait_s()) > 0:
                self._changed.wait(wait_s)
            settlements, self._outbox = self._outbox[:BATCH], self._outbox[BATCH:]
            self._oldest_report_s = self._clock.monotonic_s()
            room, self._room = self._room, None
            if room is None or room.attempts < 1:
                return settlements, None, self._is_stopping and not self._outbox
            self._is_claiming, self._is_idle, self._rings_before = True, False, self._rings
            return settlements, room, False

    def _wait_s(self) -> float:
        now_s = self._clock.monotonic_s()
        wants = self._room is not None and self._room.attempts > 0
        if self._is_stopping or len(self._outbox) >= BATCH or (wants and not self._is_dry):
            return 0
        due = [self._renew_at_s]
        if self._outbox:
            due.append(self._oldest_report_s + (0 if self._is_idle else LINGER_S))
        if wants and self._due_s is not None:
            due.append(self._due_s)
        return min(due) - now_s

    def _travel(self, settlements: list[AnySettlement], room: NodeRoom | None) -> None:
        try:
            store = self._store or self._reopen()
            self._deliver_spool(store)
            self._exchange(store, settlements, room)
        except DistcompError:
            self._keep(settlements)
            raise
        finally:
            self._end_claiming()
        self._attend_lease(store)

    def _end_claiming(self) -> None:
        with self._changed:
            self._is_claiming, was_refused, self._was_refused = False, self._was_refused, False
        if was_refused:
            self._wake()

    def _exchange(self, store: Store, settlements: list[AnySettlement], room: NodeRoom | None) -> None:
        if not settlements and room is None:
            return
        if self._outgrown:
            settlements = give_up_hopeless(store, settlements, self._outgrown)
        try:
            words, claimed = store.settle_and_claim(self._current, settlements, room)
        except WorkerLeaseLost as lost:
            self._read_words(store, settlements, lost.words)
            self._lose_lease(store)
            return
        self._read_words(store, settlements, words)
        if room is None:
            return
        self._holds.update((claim.task_id, claim.token) for claim in claimed.claims)
        with self._changed:
            # Who rang while the answer was on its way may have brought what the answer did not see.
            self._is_dry = len(claimed.claims) < room.attempts and self._rings == self._rings_before
            self._due_s = None
            if claimed.next_due_s is not None:
                self._due_s = self._clock.monotonic_s() + claimed.next_due_s
            self._news.claims += claimed.claims
            if not claimed.claims and self._room is None and not self._is_silent:
                # Nothing has changed for the worker, so nothing wakes it: the question stands until the bell rings.
                self._room = room
        if claimed.claims:
            self._wake()

    def _read_words(self, store: Store, settlements: list[AnySettlement], words: list[str]) -> None:
        """What was reported is no longer held; a task that no node is left for fails after all."""
        for settlement in settlements:
            self._let_go(Proof(settlement.task_id, settlement.token))
            self._outgrown.discard(settlement.token)
        if failures := failures_for_want_of_nodes(settlements, words):
            store.settle(failures)
        if lost := words.count("lease_lost"):
            log.info("%d reports came too late: their tasks are others' by now, or cancelled", lost)

    def _attend_lease(self, store: Store) -> None:
        now_s = self._clock.monotonic_s()
        if now_s >= self._renew_at_s:
            self._renew_at_s = now_s + store.limits.lease_s / 4  # first: news may come while it is on its way
            self._renew(store)
            # Memory may have become free with nothing that ended here.
            self.ring()

    def _renew(self, store: Store) -> None:
        try:
            use = self._use
            renewed = store.renew(self._current, self._facts, use, self._use_told)
            self._use_told = use
        except LeaseLost:
            self._lose_lease(store)
            return
        self._revoke(renewed.revoked)
        if renewed.looked_ago_s >= min(REAP_EVERY_S, store.limits.lease_s / 5) and (reaped := store.reap()):
            log.info("returned %d tasks of workers that fell silent", reaped)

    def _revoke(self, revoked: list[Proof]) -> None:
        if not revoked:
            return
        for proof in revoked:
            self._let_go(proof)
        with self._changed:
            self._news.revoked += revoked
        self._wake()

    def _let_go(self, proof: Proof) -> None:
        """Of this claim of the task, not of a later one."""
        if self._holds.get(proof.task_id) == proof.token:
            del self._holds[proof.task_id]

    def _lose_lease(self, store: Store) -> None:
        """Wait until the worker has killed what is no longer its own, then begin a new life."""
        log.warning("the store took this worker for dead: its attempts are killed, their tasks run elsewhere")
        with self._changed:
            self._news = News(is_lease_lost=True)
            self._outbox, self._room = [], None
        self._holds.clear()
        self._wake()
        if not self._is_stopping:
            self._may_begin_life.wait()
            self._may_begin_life.clear()
        if not self._is_stopping:
            self._begin_life(store)

    def _begin_life(self, store: Store) -> None:
        self._deliver_spool(store)
        self._life += 1
        store.register(self._current, self._facts)
        # At once: nobody else may be there to look for dead workers.
        self._renew_at_s = 0.0

    @property
    def _current(self) -> WorkerName:
        return WorkerName(self._name.worker, f"{self._name.incarnation}.{self._life}", self._name.node)

    def _open(self) -> Store:
        self._store = self._connect()
        return self._store

    def _reopen(self) -> Store:
        """After the store was away. If it crashed, it may have lost what it was told last."""
        store, self._renew_at_s = self._open(), 0.0
        self._deliver_spool(store)
        try:
            forgotten, not_ours = store.reconcile(self._current, [Proof(*held) for held in self._holds.items()])
        except LeaseLost:
            self._lose_lease(store)
            return store
        if forgotten or not_ours:
            log.warning(
                "the store had forgotten %d reports and %d claims: those tasks run again", forgotten, len(not_ours)
            )
        self._revoke(not_ours)
        return store

    def _disconnect(self) -> None:
        if self._store is not None:
            self._store.close()
            self._store = None

    def _keep(self, settlements: list[AnySettlement]) -> None:
        """On disk, or in memory if the disk will not have them."""
        if not settlements:
            return
        try:
            self._spool.add(settlements)
        except OSError as error:
            log.warning("cannot keep %d reports on disk (%s): they stay in memory", len(settlements), error)
            with self._changed:
                self._outbox = settlements + self._outbox

    def _deliver_spool(self, store: Store) -> None:
        if not self._spool:
            return
        for settlements in self._spool.batches():
            self._read_words(store, settlements, store.settle(settlements))
        self._spool.clear()

    def _leave(self) -> None:
        """Give back what was claimed on the last trip, and say goodbye."""
        if self._store is None:
            return
        claims = self.news().claims
        self._renew(self._store)
        self._store.settle([GiveBack(claim.task_id, claim.token, Cause.DRAINED) for claim in claims])
        self._store.leave(self._current)
        self._disconnect()
