"""What the flags of a submission mean, and what is said about one."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from distcomp.api import SubmitOptions, Submitted
from distcomp.cli import render
from distcomp.cli.opening import environment_variables
from distcomp.cli.terminal import paint
from distcomp.cli.usage import BadUsage
from distcomp.errors import BadInput, Fault
from distcomp.globs import check_glob
from distcomp.model import State, TaskSpec, TaskType
from distcomp.taskfile import Format
from distcomp.taskfile.fields import parse_cores, parse_priority
from distcomp.units import parse_duration, parse_size

if TYPE_CHECKING:
    from distcomp.api import Client
    from distcomp.api.others import Others
    from distcomp.cli.options import SubmitFlags

_Parsed = TypeVar("_Parsed")
MAX_RETRIES = 1_000_000
JOBS_NAMED = 3


class _Flags:
    """Reads flags one by one, and gathers their faults."""

    def __init__(self) -> None:
        self.faults: list[Fault] = []

    def read(self, flag: str, text: Any, parse: Callable[[Any], _Parsed]) -> _Parsed | None:
        if text is None:
            return None
        try:
            return parse(text)
        except ValueError as error:
            self.faults.append(Fault(flag, 0, 0, str(error)))
            return None


def submit_options(flags: SubmitFlags, *, is_plain: bool, retry_failed: bool) -> SubmitOptions:
    """See SubmitFlags.options."""
    read = _Flags()
    file_format = Format.PLAIN if flags.plain else read.read("--format", flags.format_name, _choice(Format))
    base = TaskSpec(
        "",
        type=read.read("--type", flags.type_name, _choice(TaskType)) or TaskType.SHELL,
        priority=read.read("--priority", flags.priority, parse_priority) or 0,
        memory_bytes=read.read("--memory", flags.memory, lambda text: parse_size(text, default_unit="G")) or 0,
        cores=read.read("--cores", flags.cores, parse_cores) or 0,
        tags=tuple(flags.tag or ()),
        outputs=read.read("--outputs", flags.outputs, lambda texts: tuple(map(check_glob, texts))) or (),
    )
    options = SubmitOptions(
        cwd=read.read("--cwd", flags.cwd, _directory),
        env=environment_variables(flags.env),
        interpreter=None if flags.python is None else _interpreter(flags.python),
        timeout_s=read.read("--timeout", flags.timeout, parse_duration),
        retries=read.read("--retries", flags.retries, _retries),
        kind=flags.kind,
        file_format=file_format,
        base=base,
        skip_bad=flags.skip_bad,
        allow_duplicates=flags.allow_duplicates,
        retry=retried_states(flags, retry_failed=retry_failed),
    )
    if not (is_plain or file_format is Format.PLAIN):
        read.faults += _without_effect(flags)
    if read.faults:
        raise BadInput(read.faults)
    return options


def _choice(words: type[_Parsed]) -> Callable[[str], _Parsed]:
    def parse(text: str) -> _Parsed:
        try:
            return words(text)  # type: ignore[call-arg]
        except ValueError:
            raise ValueError(f"{text!r} is not one of {', '.join(map(str, words))}") from None  # type: ignore[call-overload]

    return parse


def _directory(path: Path) -> Path:
    if not path.is_dir():
        raise ValueError(f"{path} is not a directory")
    return path


def _interpreter(text: str) -> str:
    """A name is looked up where the task runs; a path is from here."""
    return str(Path(text).absolute()) if "/" in text else text


def _retries(retries: int) -> int:
    if not 0 <= retries <= MAX_RETRIES:
        raise ValueError(f"{retries} is outside 0 to {MAX_RETRIES:,}")
    return retries


def retried_states(flags: SubmitFlags, *, retry_failed: bool) -> frozenset[State]:
    """Known tasks in these states are put back into todo."""
    if flags.rerun:
        return frozenset((State.FINISHED, State.FAILED, State.CANCELLED))
    return frozenset((State.FAILED,)) if retry_failed else frozenset()


def _without_effect(flags: SubmitFlags) -> Iterator[Fault]:
    """Flags that would be ignored, silently."""
    for name, value in (
        ("--type", flags.type_name),
        ("--priority", flags.priority),
        ("--memory", flags.memory),
        ("--cores", flags.cores),
    ):
        if value is not None:
            yield Fault(name, 0, 0, "the lines of this format say it themselves; it is for --plain and for --")


def submit(client: Client, file: str | None, words: list[str] | None, flags: SubmitFlags, *, run: bool) -> Submitted:
    """Submit what the command line named: a file, or the command after `--`.

    Args:
        client: where to.
        file: path of a task file, or "-".
        words: what stood after `--`.
        flags: how.
        run: known failed tasks are tried again.
    """
    from distcomp.cli.options import command_spec

    if words is None:
        options = flags.options(is_plain=False, retry_failed=run)
        return client.submit(file or "-", options)
    if file is not None or not words:
        raise BadUsage("Expected either a task file, or -- and a command.")
    options = flags.options(is_plain=True, retry_failed=run)
    return client.submit([command_spec(words, options.base)], options)


def lines(submitted: Submitted, *, failed_hint: bool = True) -> Iterator[str]:
    """What is said about a submission."""
    yield _first_line(submitted)
    if submitted.retried:
        yield f"  {render.number_of(submitted.retried, 'task')} of these will run again"
    if submitted.kept:
        keep, they = ("keeps", "it") if submitted.kept == 1 else ("keep", "they")
        yield (
            f"  {submitted.kept:,} of these {keep} the priority, needs, timeout, retries and kind that {they} had; "
            "to change that: distcomp forget TASK, and submit again"
        )
    if submitted.equal:
        which = ", ".join(f"{again} = {first}" for again, first in submitted.equal_lines)
        yield (
            f"  {submitted.equal:,} equal to an earlier one and left out (number = that of its equal: {which}"
            f"{', ...' if submitted.equal > len(submitted.equal_lines) else ''}); --allow-duplicates keeps them"
        )
    if submitted.faulty:
        yield paint(f"  {render.number_of(submitted.faulty, 'line')} left out because of faults:", "yellow")
        yield from (f"    {fault}" for fault in submitted.faults)
    failed = submitted.known.get(State.FAILED, 0)
    if failed and failed_hint and not submitted.retried:
        yield f"  {failed:,} failed before and stay so: distcomp retry --failed"
    cancelled = submitted.known.get(State.CANCELLED, 0)
    if cancelled and not submitted.retried >= cancelled:
        yield f"  {cancelled:,} cancelled before and stay so: distcomp retry TASK, or --rerun"


def others_line(others: Others, jobs: Sequence[int]) -> str:
    """What is said about tasks of the same jobs that are not in the file; "" when none of them is left."""
    if not others.left:
        return ""
    verbs = "waits or runs" if others.left == 1 else "wait or run"
    flags = " ".join(f"--job {job}" for job in jobs[:JOBS_NAMED])
    return (
        f"  {render.number_of(others.left, 'task')} of the same job not in it {verbs} too: "
        f"see distcomp tasks --state todo {flags}, and to take one out: distcomp cancel TASK"
    )


def _first_line(submitted: Submitted) -> str:
    if not submitted.tasks:
        return "no tasks in it: nothing was added"
    known = sum(submitted.known.values())
    parts = [f"{submitted.new:,} new" + (f" (job {submitted.job})" if submitted.job else "")]
    if known:
        states = ", ".join(f"{number:,} {state}" for state, number in submitted.known.items())
        parts.append(f"{known:,} known ({states})")
    return f"{render.number_of(submitted.tasks, 'task')}: {', '.join(parts)}"
