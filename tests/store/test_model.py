"""Model check: any order of any transitions by several workers leaves every task in exactly one state."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest
import redis
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule, run_state_machine_as_test

from distcomp.errors import LeaseLost
from distcomp.model import Claim, JobContext, NodeRoom, State, TaskSpec
from distcomp.store.keys import KEYS, declared, prefix
from distcomp.store.reading import Reading
from distcomp.store.settlements import AnySettlement
from distcomp.store.store import Proof, Store, StoreLimits, WorkerName
from tests.support.values import a_worker, doubt, facts, fail, finish, give_back, id_of, identify, retry_later

COMMANDS = [f"task {number}" for number in range(12)]
WORKERS = ["w1", "w2", "w3"]
NEEDS = {command: (number % 4) << 20 for number, command in enumerate(COMMANDS)}
PRIORITY = {command: number % 3 for number, command in enumerate(COMMANDS)}

SETTLE: dict[str, Callable[[Claim, int], AnySettlement]] = {
    "finish": lambda claim, _: finish(claim),
    "fail": lambda claim, _: fail(claim),
    "doubt": lambda claim, _: doubt(claim),
    "retry": lambda claim, _: retry_later(claim),
    "give_back": give_back,
}

some_commands = st.lists(st.sampled_from(COMMANDS), min_size=1, max_size=6)
a_command = st.sampled_from(COMMANDS)
a_name = st.sampled_from(WORKERS)


class StoreMachine(RuleBasedStateMachine):
    """The model is a dict: what state each task is in, and which claim holds it."""

    client: redis.Redis

    @initialize()
    def begin(self) -> None:
        self.client.flushall()
        self.store = Store(self.client, "test", StoreLimits(lease_s=3600, poison_nodes=3))
        self.reading = Reading(self.store)
        self.states: dict[str, State] = {}
        self.jobs: dict[str, int] = {}
        self.held: dict[str, tuple[str, Claim]] = {}
        self.stale: list[Claim] = []
        self.lost_on: dict[str, set[str]] = {}
        self.lives: dict[str, WorkerName] = {}
        for name in WORKERS:
            self.join(name)

    def join(self, name: str) -> None:
        life = str(int(self.lives[name].incarnation) + 1) if name in self.lives else "1"
        self.lives[name] = a_worker(name, life)
        self.store.register(self.lives[name], facts(self.lives[name]))

    @rule(commands=some_commands)
    def submit(self, commands: list[str]) -> None:
        job = self.store.open_job(JobContext("/"))
        submission = self.store.submit(job, identify)
        for command in commands:
            submission.add(TaskSpec(command, priority=PRIORITY[command], memory_bytes=NEEDS[command]))
        added = submission.flush()
        new = [command for command in dict.fromkeys(commands) if command not in self.states]
        assert added.new == len(new)
        assert added.duplicates == len(commands) - len(set(commands))
        known = Counter(self.states[command] for command in set(commands) if command in self.states)
        assert added.known == known
        assert added.jobs == {self.jobs.get(command, job) for command in commands}
        for command in new:
            self.states[command], self.jobs[command] = State.TODO, job
        assert self.store.drop_job(job) == (not new)

    @rule(name=a_name, attempts=st.integers(1, 5), memory=st.integers(0, 5))
    def claim(self, name: str, attempts: int, memory: int) -> None:
        room = NodeRoom(attempts, memory << 20, 64, memory << 20, 64)
        claimed = self.store.claim(self.lives[name], room).claims
        assert len(claimed) <= attempts
        assert sum(max(NEEDS[claim.spec.command], claim.need_bytes) for claim in claimed) <= memory << 20
        for claim in claimed:
            command = claim.spec.command
            assert self.states[command] is State.TODO
            assert claim.task_id == id_of(command)
            self.states[command] = State.RUNNING
            self.held[command] = name, claim

    @rule(command=a_command, kind=st.sampled_from(sorted(SETTLE)), need=st.integers(0, 3))
    def settle(self, command: str, kind: str, need: int) -> None:
        if command not in self.held:
            return
        _, claim = self.held.pop(command)
        settlement = SETTLE[kind](claim, need << 20)
        words = self.store.settle([settlement, settlement])
        if kind == "doubt" and words == ["nowhere", "nowhere"]:
            # No other node is known that may do better, or the task was doubted before.
            kind, words = "fail", self.store.settle([fail(claim), fail(claim)])
        assert words == ["ok", "lease_lost"]
        self.stale.append(claim)
        self.states[command] = {"finish": State.FINISHED, "fail": State.FAILED}.get(kind, State.TODO)

    @rule(data=st.data(), kind=st.sampled_from(sorted(SETTLE)))
    def settle_stale(self, data: st.DataObject, kind: str) -> None:
        """A worker that lost its lease has no say."""
        # Most telling where the task runs again, under another claim.
        stale = [claim for claim in self.stale if claim.spec.command in self.held] or self.stale
        if stale:
            assert self.store.settle([SETTLE[kind](data.draw(st.sampled_from(stale)), 0)]) == ["lease_lost"]

    @rule(commands=some_commands)
    def cancel(self, commands: list[str]) -> None:
        for command, word in self._each(self.store.cancel, commands):
            state = self.states.get(command)
            if state in (State.TODO, State.RUNNING):
                assert word == "ok"
                self.states[command] = State.CANCELLED
                self._lose(command)
            else:
                assert word == (state or "unknown")

    @rule(commands=some_commands)
    def retry(self, commands: list[str]) -> None:
        for command, word in self._each(self.store.retry, commands):
            state = self.states.get(command)
            if state in (State.FINISHED, State.FAILED, State.CANCELLED):
                assert word == "ok"
                self.states[command] = State.TODO
                self.lost_on.pop(command, None)
            else:
                assert word == (state or "unknown")

    @rule(commands=some_commands)
    def forget(self, commands: list[str]) -> None:
        for command, word in self._each(self.store.forget, commands):
            state = self.states.get(command)
            if state in (State.FINISHED, State.FAILED, State.CANCELLED):
                assert word == "ok"
                del self.states[command], self.jobs[command]
                self.lost_on.pop(command, None)
            else:
                assert word == (state or "unknown")

    @rule(name=a_name)
    def worker_dies_and_is_reaped(self, name: str) -> None:
        self.store.reap()
        self.client.zadd(prefix("test") + "leases", {name: 1})
        assert self.store.reap() == sum(1 for worker, _ in self.held.values() if worker == name)
        self._lose_all(name)
        with pytest.raises(LeaseLost):
            self.store.renew(self.lives[name], facts(self.lives[name]))
        with pytest.raises(LeaseLost):
            self.store.claim(self.lives[name], NodeRoom(1, 1, 1, 1, 1))
        self._nothing_is_left_of(name)
        self.join(name)

    @rule(name=a_name)
    def worker_starts_anew(self, name: str) -> None:
        self.join(name)
        self._lose_all(name)

    @rule(name=a_name)
    def worker_leaves(self, name: str) -> None:
        holds = any(worker == name for worker, _ in self.held.values())
        assert self.store.leave(self.lives[name]) == ("busy" if holds else "ok")
        if not holds:
            assert self.store.leave(self.lives[name]) == "lease_lost"
            self._nothing_is_left_of(name)
            self.join(name)

    @rule(name=a_name)
    def worker_reconciles(self, name: str) -> None:
        """It knows of all that it holds, so nothing changes."""
        holds = [Proof(claim.task_id, claim.token) for worker, claim in self.held.values() if worker == name]
        assert self.store.reconcile(self.lives[name], holds) == (0, [])

    @rule(name=a_name)
    def renew(self, name: str) -> None:
        self.store.renew(self.lives[name], facts(self.lives[name]))

    @invariant()
    def each_task_is_in_one_state_and_counted_once(self) -> None:
        if not hasattr(self, "states"):
            return
        found = {record.spec.command: record for record in self.reading.scan()}
        assert {command: record.state for command, record in found.items()} == self.states
        assert {record.spec.command: record.job for record in found.values()} == self.jobs
        expected = Counter(self.states.values())
        assert {state: number for state, number in self.reading.counts().items() if number} == expected
        of_jobs = self.reading.counts(set(self.jobs.values()))
        assert {state: number for state, number in of_jobs.items() if number} == expected
        assert sum(waiting.tasks for waiting in self.reading.waiting()) == expected[State.TODO]

    @invariant()
    def indexes_agree_with_states(self) -> None:
        if not hasattr(self, "states"):
            return
        for state in (State.FAILED, State.CANCELLED, State.RUNNING):
            of_state = {id_of(command) for command, its_state in self.states.items() if its_state is state}
            assert set(self.reading.ids_in(state)) == of_state
        for name in WORKERS:
            held: set[bytes] = self.client.smembers(prefix("test") + f"held:{name}")  # type: ignore[assignment]
            assert {task_id.hex() for task_id in held} == {
                claim.task_id for worker, claim in self.held.values() if worker == name
            }

    @invariant()
    def queues_hold_what_waits_and_nothing_else(self) -> None:
        """But for ranges of fresh tasks, in which a claim passes over those that wait no more."""
        if not hasattr(self, "states"):
            return
        entries: dict[bytes, bytes] = self.client.hgetall(prefix("test") + "tasks")  # type: ignore[assignment]
        queued = [member for key in self.client.scan_iter(prefix("test") + "queue:*") for member in self._members(key)]
        singles = sorted(member[1:] for member in queued if member.startswith(b"T"))
        assert singles == sorted(task_id for task_id, entry in entries.items() if entry.startswith(b"b"))
        delayed = sorted(self._members(prefix("test") + "delayed"))
        assert delayed == sorted(task_id for task_id, entry in entries.items() if entry.startswith(b"d"))

    @invariant()
    def no_key_leaks(self) -> None:
        for key in self.client.scan_iter():
            name = key[len(prefix("test")) :].decode("latin-1")
            assert declared(name), name
            if name.startswith("past:"):
                assert name[5:].encode("latin-1").hex() in {id_of(command) for command in self.states}
        assert self.client.hlen(prefix("test") + "tries") <= len(self.states)
        assert self.client.hlen(prefix("test") + "chunks") == self.client.hlen(prefix("test") + "bodies")
        assert self.client.hlen(prefix("test") + "chunks") <= len(self.states)

    def teardown(self) -> None:
        """Whatever happened, all that is todo can be claimed, once, in order of priority."""
        if not hasattr(self, "states"):
            return
        plenty = NodeRoom(1000, 1 << 40, 64, 1 << 40, 64)
        todo = {command for command, state in self.states.items() if state is State.TODO}
        claimed: list[str] = []
        # What failed on the one's node last is first for the others.
        for life in self.lives.values():
            claims = self.store.claim(life, plenty).claims
            order = [PRIORITY[claim.spec.command] for claim in claims]
            assert order == sorted(order, reverse=True)
            claimed += [claim.spec.command for claim in claims]
        assert Counter(claimed) == Counter(todo)
        self.store.close()

    def _nothing_is_left_of(self, name: str) -> None:
        """Of a worker that is gone, and may never come back."""
        for key in (key for key in KEYS if key.lifetime in ("as workers", "until told")):
            whole = prefix("test") + key.name
            if key.is_family:
                assert not self.client.exists(f"{whole}:{name}"), key.name
            elif key.type == "zset":
                assert self.client.zscore(whole, name) is None, key.name
            else:
                assert not self.client.hexists(whole, name), key.name

    def _members(self, key: str | bytes) -> list[bytes]:
        members: list[bytes] = self.client.zrange(key, 0, -1)  # type: ignore[assignment]
        return members

    def _each(self, transition: object, commands: list[str]) -> Iterator[tuple[str, str]]:
        by_id = {id_of(command): command for command in COMMANDS}
        assert callable(transition)
        for task_id, word in transition([id_of(command) for command in commands]):
            yield by_id[task_id], word

    def _lose(self, command: str) -> None:
        if command in self.held:
            self.stale.append(self.held.pop(command)[1])

    def _lose_all(self, name: str) -> None:
        for command in [command for command, (worker, _) in self.held.items() if worker == name]:
            self._lose(command)
            nodes = self.lost_on.setdefault(command, set())
            nodes.add(name)
            self.states[command] = State.FAILED if len(nodes) >= 3 else State.TODO


@contextmanager
def _machine_over(client: redis.Redis) -> Iterator[type[StoreMachine]]:
    yield type("BoundMachine", (StoreMachine,), {"client": client})


def test_any_order_of_transitions_keeps_every_task_in_one_state(client: redis.Redis) -> None:
    with _machine_over(client) as machine:
        run_state_machine_as_test(
            machine,
            settings=settings(
                max_examples=60, stateful_step_count=40, deadline=None, suppress_health_check=list(HealthCheck)
            ),
        )
