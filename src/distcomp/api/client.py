"""The public Python API: everything that can be done with a project, and the only place that reads for people."""

from __future__ import annotations

import math
import os
import sys
from collections.abc import Collection, Container, Iterable, Iterator, Mapping, Sequence
from itertools import islice
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, TypeVar

import msgspec

from distcomp.api import failures, pace, views
from distcomp.api.others import Others, others_of
from distcomp.api.records import (
    Changes,
    Explanation,
    FailureGroup,
    Filter,
    Need,
    Progress,
    Status,
    SubmitOptions,
    Submitted,
    TaskView,
    WorkerTotals,
    WorkerView,
)
from distcomp.clock import SystemClock
from distcomp.errors import StoreUnavailable
from distcomp.model import Cause, JobContext, State, TaskSpec
from distcomp.project import Project
from distcomp.store.reading import Reading
from distcomp.store.store import Store

if TYPE_CHECKING:
    from collections.abc import Callable

    from distcomp.api.results import Row
    from distcomp.runner.reading import Stream
    from distcomp.store.reading import TaskRecord

_Answer = TypeVar("_Answer")


class Client:
    """A project, to talk to. Not thread-safe. Use it in a `with`, or close it: whoever leaves last stops the store.

    Raises, from every method that asks the store:
        StoreUnavailable: no answer. The embedded store is started again first, if it is gone.
        StoreRefused: it will not serve us.
    """

    def __init__(self, project: Project) -> None:
        self.project = project
        self._store: Store | None = None

    @classmethod
    def open(cls, path: str | Path | None = None, *, create: bool = True, **settings: object) -> Client:
        """The project at or above `path`, by default the current directory.

        Args:
            path: where to look.
            create: make a project in `path` if there is none.
            settings: by name, above those of distcomp.toml and of the environment: `max_tasks=4`.

        Raises:
            StateFolderError: there is no project and `create` is False, or it cannot be used.
            BadSetting, BadInput: the settings cannot be used.
        """
        return cls(Project.open(Path(path) if path else None, create=create, flags=settings))

    def close(self) -> None:
        """Close the connection; also stops the project's own store if nobody else uses it."""
        self.project.close()

    def __enter__(self) -> Client:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    # Adding tasks

    def submit(
        self,
        tasks: str | Path | Iterable[TaskSpec],
        options: SubmitOptions = SubmitOptions(),  # noqa: B008  frozen
    ) -> Submitted:
        """Add tasks: those that are new. Submitting the same again adds nothing.

        Args:
            tasks: a task file's path ("-" is stdin), or specs.
            options: how.

        Raises:
            BadInput: a line or a spec has a fault. All faults are listed; nothing was added.
            StoreUnavailable: some of the tasks may have been added.
        """
        from distcomp.intake import adding

        if isinstance(tasks, str | Path):
            context = self._context(options, str(tasks))
            with adding.open_task_file(str(tasks), options.file_format, options.base) as file:
                return adding.submit_file(
                    self._connected,
                    context,
                    file,
                    retry=options.retry,
                    skip_bad=options.skip_bad,
                    allow_duplicates=options.allow_duplicates,
                )
        specs = list(tasks)
        return self.submit_many(lambda: specs, options)

    def sweep(
        self,
        template: str,
        parameters: Mapping[str, str | Sequence[object]],
        *,
        where: str = "",
        zips: Iterable[str] = (),
        options: SubmitOptions = SubmitOptions(),  # noqa: B008  frozen
    ) -> Submitted:
        """Add a task for each combination of parameters, which become columns of the result table.

        Args:
            template: the command, with {name} for each parameter, or a part of it such as {name.stem}.
            parameters: by name: values, or a text as on the command line (`glob:traces/*.xz`, `range:1..10`).
            where: a condition that a combination must meet, such as "size < 100 or algo == 'LRU'".
            zips: each "a,b": names of parameters that vary together.
            options: how to submit; `base` is what the tasks have beside their command.

        Raises:
            BadInput: the template, a parameter or the condition has a fault. Nothing was added.
            StoreUnavailable: some of the tasks may have been added.
        """
        from distcomp.sweep import Disk, parse_sweep

        texts = [f"{name}={views.parameter_text(values)}" for name, values in parameters.items()]
        sources = Disk(options.cwd or Path.cwd())
        sweep = parse_sweep(template, texts, sources, where=where, zips=tuple(zips), base=options.base)
        return self.submit_many(sweep.specs, options)

    def submit_many(
        self,
        specs: Callable[[], Iterable[TaskSpec]],
        options: SubmitOptions = SubmitOptions(),  # noqa: B008  frozen
    ) -> Submitted:
        """As `submit`, for more specs than memory holds: `specs` gives them anew each time it is called."""
        from distcomp.intake import adding

        return adding.submit_specs(
            self._connected,
            self._context(options, ""),
            specs,
            retry=options.retry,
            allow_duplicates=options.allow_duplicates,
        )

    def _context(self, options: SubmitOptions, source: str) -> JobContext:
        settings = self.project.settings
        return JobContext(
            cwd=os.path.abspath(options.cwd or "."),  # noqa: PTH100  as the user names it, without resolving links
            env=options.env,
            interpreter=options.interpreter or settings.interpreter or sys.executable,
            timeout_s=options.timeout_s,
            retries=options.retries,
            kind=options.kind,
            source=source if options.source is None else options.source,
            submitted_at_ms=SystemClock().now_ms(),
        )

    # Looking

    def status(self, since_ms: int = 0) -> Status:
        """The project at a glance, in a time that does not depend on the number of tasks.

        Args:
            since_ms: the peaks of use are of workers that were heard of since then, by the store's clock.
        """
        return self._ask(lambda reading: self._status(reading, since_ms))

    def _status(self, reading: Reading, since_ms: int) -> Status:
        counts, ends, stats = reading.counts(), reading.ends(), reading.stats()
        live = [worker for worker in map(views.worker, reading.workers()) if worker.state != "silent"]
        too_large = views.too_large(reading.waiting(), live)
        attempts = {cause: stats[f"attempts:{cause}"] for cause in Cause if stats.get(f"attempts:{cause}")}
        spent_s = {cause: stats[f"wall_ms:{cause}"] / 1000 for cause in Cause if stats.get(f"wall_ms:{cause}")}
        mean_wall_s = sum(spent_s.values()) / max(1, sum(attempts.values()))
        left = counts[State.TODO] + counts[State.RUNNING] - sum(need.tasks for need in too_large)
        rate_per_s = pace.rate_per_s(ends.tasks, ends.since_s, mean_wall_s)
        eta_s = pace.eta_s(left, rate_per_s, ends.tasks, counts[State.RUNNING], mean_wall_s)
        return Status(
            project=self.project.name,
            counts=counts,
            ended_lately=ends.tasks,
            rate_per_s=rate_per_s,
            eta_s=eta_s if live or not left else None,
            workers=views.totals(live),
            too_large=too_large,
            failures=failures.grouped(reading.some_failed(failures.MOST_LOOKED_AT)) if counts[State.FAILED] else (),
            attempts=attempts,
            spent_s=spent_s,
            use=reading.use(stats, since_ms),
            at_ms=reading.now_ms(),
        )

    def too_large(self, workers: Sequence[WorkerView]) -> tuple[Need, ...]:
        """What none of these workers' nodes can run; nothing, if none of them lives."""
        return views.too_large(self._ask(Reading.waiting), [one for one in workers if one.state != "silent"])

    def worker_totals(self) -> WorkerTotals:
        """The live workers together."""
        return views.totals(self.workers())

    def stuck(self) -> tuple[Need, ...]:
        """What no live worker's node can run, if nothing else waits and nothing runs; else nothing."""
        status = self.status()
        waiting = status.counts[State.TODO]
        is_all = waiting and sum(need.tasks for need in status.too_large) >= waiting
        return status.too_large if is_all and not status.counts[State.RUNNING] else ()

    def workers(self) -> list[WorkerView]:
        """All workers that have not left, the silent ones included, by name."""
        return [views.worker(record) for record in self._ask(Reading.workers)]

    def tasks(self, wanted: Filter = Filter(), limit: int | None = None) -> Iterator[TaskView]:  # noqa: B008  frozen
        """Tasks in order of submission, at most `limit` of them."""
        records = self._reading().scan(wanted.states or tuple(State))
        found = (view for record in records if views.is_wanted(view := self._view(record), wanted))
        return islice(found, None if limit is None else min(limit, sys.maxsize))

    def find(self, text: str) -> str:
        """The id of the one task whose id begins with `text`.

        Raises:
            NotFound: no such task.
            Ambiguous: several.
        """
        return self._ask(lambda reading: reading.find(text))

    def task(self, task: str) -> TaskView:
        """One task, by its id or the beginning of it. NotFound, Ambiguous: as `find`."""
        return self._ask(lambda reading: self._view(reading.task(reading.find(task))))

    def failures(self, jobs: Sequence[int] | None = None, but: Container[str] = ()) -> tuple[FailureGroup, ...]:
        """Failed tasks of some jobs, or of all, in groups; of very many tasks, the first 20,000.

        Args:
            jobs: their numbers.
            but: ids of tasks that do not matter.
        """
        wanted = Filter(states=(State.FAILED,), jobs=tuple(jobs or ()))
        found = self.tasks(wanted, failures.MOST_READ)
        return failures.grouped((task.task_id, task.outcome) for task in found if task.task_id not in but)

    def others(self, submitted: Submitted, retried: Collection[State]) -> Others:
        """Tasks of the same jobs as those of a submission that was just made; see `others_of`."""

        def ask(reading: Reading) -> Others:
            others = others_of(submitted, reading.counts(submitted.jobs), retried)
            if not others.ended[State.FAILED]:
                return others
            return msgspec.structs.replace(others, failed=frozenset(reading.ids_in(State.FAILED)))

        return self._ask(ask)

    def explain(self, task: str) -> Explanation:
        """Why a task is where it is, with every attempt. NotFound, Ambiguous: as `find`."""
        from distcomp.api.explaining import explain
        from distcomp.api.locality import with_files

        def ask(reading: Reading) -> Explanation:
            task_id = reading.find(task)
            view, past = self._view(reading.task(task_id)), reading.past(task_id)
            return explain(
                view,
                [*past, view.outcome] if view.outcome else past,
                reading.tries(task_id),
                [views.worker(record) for record in reading.workers()],
                default_retries=self.project.settings.retries,
                due_in_s=reading.due_in_s(task_id),
                sizes=reading.sizes(),
            )

        return with_files(self._ask(ask), self.project.folder.cluster)

    def logs(
        self, task: str, stream: Stream = "stdout", *, attempt: int | None = None, follow: bool = False
    ) -> Iterator[bytes]:
        """What an attempt of a task printed, in pieces.

        Args:
            task: its id or the beginning of it.
            stream: "stdout" or "stderr".
            attempt: its number; the last one by default.
            follow: go on until the attempt ends.

        Raises:
            NotFound: no such task or attempt, or its output is lost or on another node. With the first piece at
                the latest.
            Ambiguous: as `find`.
        """
        from distcomp.api.cluster import Away
        from distcomp.api.logs import Logs

        away = Away(self.project)
        return Logs(self.project.folder, self._ask, self.find(task), stream, away).pieces(attempt, follow=follow)

    def results(self, states: Iterable[State] | None = None) -> Iterator[Row]:
        """A row of the result table per task that has ended: what it did, its parameters, its result, what it took.

        Args:
            states: of the tasks; by default finished and failed.
        """
        from distcomp.api.results import RESULT_STATES, row

        for task in self.tasks(Filter(states=tuple(RESULT_STATES if states is None else states))):
            yield row(task)

    # Waiting

    def watch(self, jobs: Sequence[int] | None = None, every_s: float = 0.2) -> Iterator[Progress]:
        """How far jobs are: at once, whenever something happened, and at least `every_s`; ends when they have.

        Args:
            jobs: their numbers; None for all tasks of the project.
            every_s: from one value to the next, while nothing happens.
        """
        from distcomp.api.watching import watch

        return watch(self._reading, self._disconnect, jobs, every_s)

    def wait(self, jobs: Sequence[int] | None = None, timeout_s: float = math.inf) -> Progress:
        """Wait until jobs have ended, or the time is over: then `left` of the answer is not 0."""
        clock = SystemClock()
        give_up_s = clock.monotonic_s() + timeout_s
        for progress in self.watch(jobs, min(1.0, max(0.01, timeout_s))):
            if not progress.left or clock.monotonic_s() >= give_up_s:
                break
        return progress

    # Changing

    def retry(self, task_ids: Iterable[str]) -> Changes:
        """failed, cancelled or finished -> todo, with all retries anew. Takes full ids; see `find`, `ids`."""
        return views.changes(self._connected().retry(task_ids))

    def cancel(self, task_ids: Iterable[str]) -> Changes:
        """todo or running -> cancelled; running attempts are killed. Takes full ids."""
        return views.changes(self._connected().cancel(task_ids))

    def forget(self, task_ids: Iterable[str]) -> Changes:
        """Remove tasks that have ended, with their results. Takes full ids."""
        return views.changes(self._connected().forget(task_ids))

    def release(self, nodes: Sequence[str]) -> int:
        """Give tasks again to nodes in quarantine, by exact name. How many had been."""
        return self._connected().release(nodes)

    def ids(self, wanted: Filter) -> Iterator[str]:
        """Ids of tasks, for `retry`, `cancel` and `forget`."""
        return (task.task_id for task in self.tasks(wanted))

    # The connection

    def _view(self, record: TaskRecord) -> TaskView:
        return views.task(record, self._connected().job(record.job))

    def _connected(self) -> Store:
        if self._store is None:
            self._store = self.project.store()
        return self._store

    def _disconnect(self) -> None:
        if self._store is not None:
            self._store.close()
            self._store = None

    def _reading(self) -> Reading:
        return Reading(self._connected())

    def _ask(self, question: Callable[[Reading], _Answer]) -> _Answer:
        """Ask once more if the connection broke: a store of our own is started again by then."""
        try:
            return question(self._reading())
        except StoreUnavailable:
            self._disconnect()
            return question(self._reading())
