"""`distcomp run`: submit, run, show how far it is, say what came of it."""

from __future__ import annotations

import math
import signal
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from time import sleep
from types import FrameType
from typing import TYPE_CHECKING, Annotated, Protocol

import typer

from distcomp.api import WorkerTotals, views
from distcomp.api.others import Others
from distcomp.cli import render
from distcomp.cli.commands import TakesCommand, words_after_dashes
from distcomp.cli.opening import opened, parse_settings
from distcomp.cli.options import (
    AsJson,
    AwayFlags,
    MaxTasks,
    SetSetting,
    SlurmWorkers,
    SubmitFlags,
    WishFlags,
    with_flags,
)
from distcomp.cli.usage import BadUsage, check_number
from distcomp.errors import StoreUnavailable
from distcomp.model import State

if TYPE_CHECKING:
    from distcomp.api import Client, Need, Progress, Submitted, WorkerView
    from distcomp.cli.summary import Summary
    from distcomp.nodes.hosts import Host
    from distcomp.nodes.plan import Wishes

LOOK_S = 0.2
TOTALS_S = 1.0
STUCK_LOOK_S = 1.0
END_LOOK_S = 0.01
TELL_AFTER_S = 1.0


class Labour(Protocol):
    """Who runs the tasks, as seen by `run`: see WorkerChild."""

    def look(self) -> None:
        """See that it does."""

    def is_alive(self) -> bool:
        """Whether it, or a part of it, runs."""

    def has_left(self) -> bool:
        """Whether it has ended because its time was over."""

    def stop(self) -> None:
        """Tell it to end: the first time when what runs has ended, after that at once."""


@with_flags
def run(
    ctx: typer.Context,
    flags: SubmitFlags,
    file: Annotated[
        str | None,
        typer.Argument(
            metavar="[FILE | - | -- COMMAND...]", help="A task file; - is stdin. One word after -- is a shell line."
        ),
    ] = None,
    max_tasks: MaxTasks = None,
    set_: SetSetting = None,
    slurm: SlurmWorkers = None,
    *,
    away: AwayFlags,
    wishes: WishFlags,
    as_json: AsJson = False,
) -> None:
    """Run all tasks of a file, and show how far it is. Without a file: what is in the queue.

    What has finished before is not run again; what has failed before is. Ctrl-C once: ends when what runs has
    ended. Twice: what runs goes back at once. Either way the same command goes on from there.

    Exit code: 0 all finished, 1 some failed or cannot run, 2 wrong input, 130 interrupted.
    """
    from distcomp.cli import summary

    check_number("--slurm", "workers", slurm)
    settings = parse_settings(set_, max_tasks=max_tasks, listen=away.listen, collect=away.patterns())
    nodes = away.nodes(wishes, flags.cwd)
    words = words_after_dashes(ctx)
    brings_tasks = file is not None or words is not None
    if not brings_tasks and (useless := flags.given()):
        queue = [f"--set {name[2:]}=VALUE" for name in useless if name in ("--retries", "--timeout")]
        step = "Name a task file" + (f", or for what is in the queue: {' '.join(queue)}." if queue else ".")
        raise BadUsage(f"{', '.join(useless)}: for what is submitted, and that is nothing. {step}")
    with opened(create=brings_tasks, settings=settings) as client:
        submitted, others = _submit(client, file, words, flags) if brings_tasks else (None, Others())
        done = Run(client, submitted, settings, nodes, slurm, others).until_done()
        render.show(done, as_json, summary.lines)
    raise typer.Exit(done.exit_code)


def _submit(client: Client, file: str | None, words: list[str] | None, flags: SubmitFlags) -> tuple[Submitted, Others]:
    """Add the tasks, and say what came of it."""
    from distcomp.cli import submitting

    submitted = submitting.submit(client, file, words, flags, run=True)
    others = client.others(submitted, submitting.retried_states(flags, retry_failed=True))
    for line in filter(None, [*submitting.lines(submitted), submitting.others_line(others, submitted.jobs)]):
        print(line, file=sys.stderr)
    return submitted, others


run.command_class = TakesCommand  # type: ignore[attr-defined]


class Run:
    """One run: a worker of its own, and the wait for the jobs.

    Args:
        client: of the project.
        submitted: whose jobs; None for all that is in the queue.
        settings: for the worker.
        nodes: where to run, and what is wanted of those hosts; None: here.
        slurm: how many workers to run in Slurm instead.
        others: of the same jobs, but not submitted: those that had ended are not counted.
    """

    def __init__(
        self,
        client: Client,
        submitted: Submitted | None,
        settings: Mapping[str, object],
        nodes: tuple[Sequence[Host], Wishes] | None = None,
        slurm: int | None = None,
        others: Others = Others(),  # noqa: B008  frozen
    ) -> None:
        from distcomp.cli.progress import ProgressLine
        from distcomp.clock import SystemClock

        self._client, self._submitted, self._settings = client, submitted, settings
        self._nodes, self._slurm, self._others = nodes, slurm, others
        self._jobs: Sequence[int] | None = None if submitted is None else submitted.jobs
        self._clock = SystemClock()
        self._line = ProgressLine(self._clock)
        self._interrupts = self._heeded = 0
        self._totals = WorkerTotals()
        self._totals_at_s = self._stuck_at_s = 0.0
        self._beyond = 0
        self._stuck: tuple[Need, ...] = ()
        self._is_time_over = False
        self._told: set[str] = set()

    def until_done(self) -> Summary:
        """Run until the jobs have ended, or cannot go on, or the user says so."""
        from distcomp.cli.summary import Summary, changed_since, outcome_of

        started_s, before = self._clock.monotonic_s(), self._client.status()
        progress = next(self._progress())
        if progress.left:
            try:
                self._with_worker()
            finally:
                self._line.clear()
            progress = next(self._progress())
        if not progress.left:
            self._stuck = ()
        attempts, spent_s, use = changed_since(before, self._client.status(before.at_ms))
        why = "interrupted" if self._interrupts else "time over" if self._is_time_over else "stuck"
        outcome, exit_code = outcome_of(progress.counts, why)
        failed = progress.counts[State.FAILED]
        return Summary(
            outcome=outcome,
            exit_code=exit_code,
            submitted=self._submitted,
            counts=progress.counts,
            failures=self._client.failures(self._jobs, self._others.failed) if failed else (),
            too_large=self._stuck,
            took_s=self._clock.monotonic_s() - started_s,
            attempts=attempts,
            spent_s=spent_s,
            use=use,
        )

    def _progress(self) -> Iterator[Progress]:
        return map(self._others.without, self._client.watch(self._jobs, LOOK_S))

    def _with_worker(self) -> None:
        with self._signals_counted(), self._workers() as worker:
            self._watch(worker)
            self._end(worker)

    @contextmanager
    def _workers(self) -> Iterator[Labour]:
        """Whoever runs the tasks: a worker here, or those of the nodes."""
        if self._nodes is not None:
            from distcomp.cli.hosted import labour_of

            is_interrupted = lambda: self._interrupts > 0  # noqa: E731
            with labour_of(self._client, self._jobs, *self._nodes, self._line.say, is_interrupted) as labour:
                yield labour
            return
        if self._slurm is not None:
            from distcomp.cli.slurmed import slurm_workers

            with slurm_workers(self._client.project, self._slurm, self._settings, self._line.say) as array:
                yield array
            return
        from distcomp.cli.workerchild import WorkerChild
        from distcomp.worker.node import node_name

        log_file = self._client.project.folder.node(node_name()).log_file
        worker = WorkerChild(log_file, self._settings, self._clock)
        try:
            yield worker
        finally:
            worker.close()

    def _watch(self, worker: Labour) -> None:
        """Until the jobs have ended, or no node can run the rest, or the worker was told to end and has ended."""
        self._watch_progress(worker)
        with suppress(StoreUnavailable):  # what happened since the last look
            self._look_at_workers(self._client.workers())

    def _watch_progress(self, worker: Labour) -> None:
        for progress in self._progress():
            self._heed(worker, progress.counts[State.RUNNING])
            self._show(progress)
            if self._interrupts and not worker.is_alive():
                return
            self._client.project.check_there()
            worker.look()
            if worker.has_left():
                self._is_time_over = True
                return
            if self._is_stuck(progress):
                return

    def _end(self, worker: Labour) -> None:
        """Let the worker end. It may still run tasks of other jobs: they are not thrown away unasked."""
        if not self._interrupts:
            worker.stop()
        tell_at_s = self._clock.monotonic_s() + TELL_AFTER_S
        while worker.is_alive():
            sleep(END_LOOK_S)
            self._heed(worker, None)
            if self._clock.monotonic_s() > tell_at_s and not self._interrupts:
                tell_at_s = math.inf
                with suppress(StoreUnavailable):
                    if self._client.status().counts[State.RUNNING]:
                        self._line.say("the worker ends with the other tasks that it still runs; Ctrl-C: at once")

    def _heed(self, worker: Labour, running: int | None) -> None:
        """Pass on what the user wants. Not done by the signal's handler, which may not print or start anything."""
        while self._heeded < self._interrupts:
            self._heeded += 1
            worker.stop()
            if self._heeded == 1 and running is not None and worker.is_alive():
                what = "task that runs has" if running == 1 else f"{running:,} tasks that run have"
                when = f" when the {what} ended" if running else ""
                self._line.say(f"ending{when}; Ctrl-C again: at once")

    def _show(self, progress: Progress) -> None:
        self._line.note(progress)
        now_s = self._clock.monotonic_s()
        if now_s >= self._totals_at_s and not progress.trouble:
            self._totals_at_s = now_s + TOTALS_S
            with suppress(StoreUnavailable):
                self._look_at_workers(self._client.workers())
        if self._line.is_due():
            self._line.draw(progress, self._totals, self._beyond)

    def _look_at_workers(self, workers: Sequence[WorkerView]) -> None:
        self._totals = views.totals(workers)
        self._beyond = sum(need.tasks for need in self._client.too_large(workers))
        for worker in workers:
            if worker.state not in ("quarantined", "waiting"):
                self._told.discard(worker.worker)
            elif worker.worker not in self._told:
                self._told.add(worker.worker)
                self._line.say(_why_idle(worker))

    def _is_stuck(self, progress: Progress) -> bool:
        """Whether two looks in a row found that no node has room for anything that is left."""
        now_s = self._clock.monotonic_s()
        if progress.trouble or progress.counts[State.RUNNING] or self._interrupts:
            self._stuck = ()
            return False
        if now_s < self._stuck_at_s:
            return False
        self._stuck_at_s = now_s + STUCK_LOOK_S
        before = self._stuck
        with suppress(StoreUnavailable):
            self._stuck = self._client.stuck()
        return bool(before and self._stuck)

    @contextmanager
    def _signals_counted(self) -> Iterator[None]:
        def on_signal(number: int, frame: FrameType | None) -> None:  # noqa: ARG001  the handler's protocol
            self._interrupts += 1

        before = {number: signal.signal(number, on_signal) for number in (signal.SIGINT, signal.SIGTERM)}
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)


def _why_idle(worker: WorkerView) -> str:
    if worker.state == "waiting":
        return f"{worker.node} starts nothing for now: {worker.note}"
    step = f"`distcomp nodes clear {worker.worker}` when it is mended"
    return f"{worker.node} is given no more tasks: {worker.note}; {step}"
