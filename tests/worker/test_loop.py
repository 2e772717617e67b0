"""The worker's loop, with a real store, real attempts, and the courier between them."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from distcomp.clock import SystemClock
from distcomp.config import SettingsWatcher, load
from distcomp.memory import NodeMemoryReader
from distcomp.model import JobContext, State, TaskSpec
from distcomp.runner.runner import Runner
from distcomp.runner.wakeup import Wakeup
from distcomp.store.keys import prefix
from distcomp.store.reading import Reading
from distcomp.store.store import Store, StoreLimits
from distcomp.worker.courier import Courier
from distcomp.worker.loop import Stop, Worker
from distcomp.worker.outlook import Outlook
from distcomp.worker.spool import Spool
from tests.support.servers import Server
from tests.support.values import a_worker, id_of, identify
from tests.support.waiting import wait_until


class Node:
    """A worker, run by the main thread while another one does things to it."""

    def __init__(self, server: Server, folder: Path, **settings: str) -> None:
        self.server, self.cwd, self.clock = server, folder / "work", SystemClock()
        self.store, name = self.connect(), a_worker()
        (folder / "node").mkdir()
        self.cwd.mkdir()
        self._wakeup = Wakeup()
        watcher = SettingsWatcher(folder, lambda: load(folder, {}, settings))
        outlook = Outlook(name.node, folder / "node", watcher, NodeMemoryReader(), self.clock)
        wake, limits = self._wakeup.wake, outlook.runner_limits()
        marker = f"test-loop-{os.getpid()}"
        self._runner = Runner(
            folder / "node", worker=marker, node=name.node, limits=limits, clock=self.clock, wake=wake
        )
        self.courier = Courier(self.connect, name, Spool(folder / "spool"), self.clock, wake)
        self.worker = Worker(self._runner, self.courier, outlook, self._wakeup, self.clock)
        self.courier.start(outlook.facts(0, 0, is_draining=False))

    def connect(self) -> Store:
        return Store(self.server.client(), "test", StoreLimits(lease_s=2))

    def submit(self, *commands: str) -> None:
        submission = self.store.submit(self.store.open_job(JobContext(str(self.cwd))), identify)
        for command in commands:
            submission.add(TaskSpec(command))
        submission.flush()

    def counts(self) -> dict[State, int]:
        return Reading(self.store).counts()

    def lines(self, name: str) -> list[str]:
        path = self.cwd / name
        return path.read_text().splitlines() if path.exists() else []

    def while_it_works(self, story: Callable[[], None]) -> None:
        """The worker works until the story is over."""
        with ThreadPoolExecutor(1) as thread:
            told = thread.submit(story)
            told.add_done_callback(lambda _: self.worker.stop(Stop.NOW))
            self.worker.run()
            told.result()

    def close(self) -> None:
        self._runner.close()
        self.courier.stop(5)
        self._wakeup.close()
        self.store.close()


MakeNode = Callable[..., Node]


@pytest.fixture
def make_node(tmp_path: Path) -> Iterator[MakeNode]:
    nodes: list[Node] = []
    with Server("valkey9") as server:

        def make(**settings: str) -> Node:
            nodes.append(Node(server, tmp_path, **settings))
            return nodes[-1]

        yield make
        for node in nodes:
            node.close()


def test_claims_of_a_life_that_is_over_are_not_started(make_node: MakeNode) -> None:
    """One waits until the attempt that was cancelled before it is gone. Then the store takes the worker for dead."""
    node = make_node(kill_grace="60s")
    command = "trap '' TERM; echo $DISTCOMP_ATTEMPT >>attempts; while :; do sleep 0.01; done"
    node.submit(command)
    task = id_of(command)

    def story() -> None:
        wait_until(lambda: node.lines("attempts") == ["1"], "the first attempt runs")
        list(node.store.cancel([task]))
        list(node.store.retry([task]))
        node.courier.ring()
        wait_until(lambda: Reading(node.store).task(task).attempt == 2, "it is claimed again")
        node.server.client().hdel(prefix("test") + "incarnations", "w1")
        wait_until(lambda: len(node.lines("attempts")) > 1, "it runs again")
        assert node.lines("attempts") == ["1", "3"]

    node.while_it_works(story)
