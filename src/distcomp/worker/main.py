"""Puts a worker together on this node, and takes it apart."""

from __future__ import annotations

import contextlib
import hashlib
import logging
import os
import resource
import secrets
import signal
import sys
from collections.abc import Callable, Iterator
from types import FrameType

from distcomp.clock import SystemClock
from distcomp.memory import NodeMemoryReader
from distcomp.project import Project
from distcomp.runner.fence import Fence, build_fence
from distcomp.runner.kernel import go_first
from distcomp.runner.leftovers import kill_leftovers
from distcomp.runner.runner import Runner
from distcomp.runner.wakeup import Wakeup
from distcomp.store.store import Store, WorkerName
from distcomp.worker.courier import Courier
from distcomp.worker.doorbell import Doorbell
from distcomp.worker.leaving import leaving_in
from distcomp.worker.loop import Stop, Worker
from distcomp.worker.node import node_lock, node_name, usable_cores
from distcomp.worker.outlook import Outlook
from distcomp.worker.spool import Spool

log = logging.getLogger(__name__)

FAREWELL_S = 20.0
"""How long a worker that is told to stop tries to deliver its last reports; then they stay on its disk."""


def preload() -> None:
    """Read the modules that a worker comes to need and that are not read yet."""
    import redis  # noqa: F401

    import distcomp.store.server  # noqa: F401


def run_worker(
    project: Project,
    *,
    wait: bool = False,
    leash: int | None = None,
    node: str = "",
    leave_in_s: float | None = None,
) -> None:
    """Run this node's worker until a signal ends it: the first drains, the second stops at once.

    Args:
        wait: for the worker that holds the node to leave, if there is one.
        leash: read end of a pipe; when its other end is closed the worker stops at once.
        node: another name than the machine's, as in a host file.
        leave_in_s: be gone by then; None: stay until a signal comes.

    Raises:
        WorkerExists: another worker of the project holds the node, and `wait` is False.
        StoreUnavailable: the store does not answer at the start.
        StoreRefused: the store will not serve this worker.
    """
    name = node or node_name()
    folder = project.folder.node(name)
    folder.create()
    if leash is not None:
        os.set_inheritable(leash, False)
    # The thread that starts attempts must not wait for long until another one lets it go on: 5 ms if nothing is said.
    sys.setswitchinterval(5e-4)
    with node_lock(folder.lock_file, wait=wait, leash=leash) as is_held:
        if not is_held:
            return
        marker = _marker(project, name)
        killed = kill_leftovers(folder.slots_file, marker)
        if killed:
            log.warning("killed %d processes that an earlier worker left running", killed)
        with Wakeup() as wakeup:
            _run(project, name, marker, wakeup, leash, leave_in_s)


def _run(project: Project, node: str, marker: str, wakeup: Wakeup, leash: int | None, leave_in_s: float | None) -> None:
    clock, folder = SystemClock(), project.folder.node(node)
    _allow_descriptors(project.settings.max_tasks or 4 * usable_cores())
    memory = NodeMemoryReader()
    outlook = Outlook(node, folder.path, project.watcher(), memory, clock)
    spool = Spool(folder.spool / "reports")
    life = WorkerName(node, secrets.token_hex(4), node)
    fence = build_fence(marker, memory.read().total_bytes, clock.now_ms() / 1000)
    outlook.is_fenced = fence is not None
    limits, wake = outlook.runner_limits(), wakeup.wake
    runner = Runner(folder.path, worker=marker, node=node, limits=limits, clock=clock, wake=wake, fence=fence)

    def connect() -> Store:
        store = project.store()
        # A server that this worker started is its child by now, and no part of any attempt.
        if project.server and (pid := project.server.status().pid):
            runner.leave_alone(pid)
        return store

    courier = Courier(connect, life, spool, clock, wakeup.wake)
    doorbell = Doorbell(project.client, project.name, courier.ring)
    worker = Worker(runner, courier, outlook, wakeup, clock, fence)
    if leash is not None:
        worker.hold_leash(leash)
    # To the end: whoever stops us twice, as `timeout` does, must not cut off the farewell.
    with _signals(worker.stop):
        try:
            with leaving_in(leave_in_s, worker.stop):
                courier.start(outlook.facts(0, 0, is_draining=False))
                doorbell.start()
                log.info("worker of %s started on %s", project.name, node)
                # Attempts that fill the memory keep all processors busy: their watch must not wait behind them.
                go_first()
                worker.run()
        finally:
            if not _take_apart(doorbell, runner, fence, courier, 0.0 if worker.is_abandoned else FAREWELL_S):
                log.warning("some reports could not be delivered: they stay in %s for the next worker", folder.spool)
            log.info("worker of %s left %s", project.name, node)


def _take_apart(doorbell: Doorbell, runner: Runner, fence: Fence | None, courier: Courier, farewell_s: float) -> bool:
    """End all there is of a worker. False: some reports could not be delivered."""
    doorbell.stop()
    runner.close()
    if fence:
        fence.close()
    return courier.stop(farewell_s)


def _allow_descriptors(attempts: int) -> None:
    """Two files for each attempt, and some for the worker: more than many systems grant unasked."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = 2 * attempts + 256
    if soft != resource.RLIM_INFINITY and soft < wanted:
        most = wanted if hard == resource.RLIM_INFINITY else min(wanted, hard)
        resource.setrlimit(resource.RLIMIT_NOFILE, (most, hard))


def _marker(project: Project, node: str) -> str:
    """What tells this worker's processes from all others on the machine: tasks see it as DISTCOMP_WORKER."""
    where = hashlib.blake2b(os.fsencode(project.folder.path.resolve()), digest_size=4).hexdigest()
    return f"{node}.{project.name}.{where}"


@contextlib.contextmanager
def _signals(stop: Callable[[Stop], None]) -> Iterator[None]:
    seen = 0

    def on_signal(number: int, _frame: FrameType | None) -> None:
        nonlocal seen
        seen += 1
        stop(Stop.NOW if seen > 1 or number == signal.SIGHUP else Stop.DRAIN)

    numbers = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
    # Under nohup a hang-up stays ignored.
    heeded = [number for number in numbers if signal.getsignal(number) is not signal.SIG_IGN]
    before = {number: signal.signal(number, on_signal) for number in heeded}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
