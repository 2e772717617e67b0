"""Options that several commands share, and how a group of them becomes one value."""

from __future__ import annotations

import dataclasses
import inspect
import shlex
from collections.abc import Callable, Collection, Sequence
from functools import wraps
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, TypeVar, get_type_hints

import typer

from distcomp.errors import BadInput, Fault

if TYPE_CHECKING:
    from distcomp.api import Filter, SubmitOptions
    from distcomp.model import State, TaskSpec
    from distcomp.nodes.hosts import Host
    from distcomp.nodes.plan import Wishes

AsJson = Annotated[bool, typer.Option("--json", help="Print JSON.")]
MaxTasks = Annotated[
    int | None, typer.Option("-j", "--max-tasks", metavar="N", help="Most attempts at once.  [default: the setting]")
]
HostFile = Annotated[
    Path | None, typer.Option("--hosts", metavar="FILE", help="Run on these: [user@]host[:port] or node[00-31] a line.")
]
SlurmWorkers = Annotated[
    int | None, typer.Option("--slurm", metavar="N", help="Run on N workers of a Slurm job array.")
]
Listen = Annotated[
    str | None,
    typer.Option(metavar="ADDRESS[:PORT]", help="Nodes reach the store at this address of ours, not through ssh."),
]
NodeNames = Annotated[
    list[str] | None, typer.Argument(metavar="[NODE]...", help="Which: names or node[1-3].  [default: all known]")
]
SetSetting = Annotated[
    list[str] | None, typer.Option("--set", metavar="NAME=VALUE", help="A setting, for this command. May be repeated.")
]


def _states(ctx: Any, args: list[str], incomplete: str) -> list[str]:  # noqa: ARG001  typer's protocol
    return [state for state in ("todo", "running", "finished", "failed", "cancelled") if state.startswith(incomplete)]


def _task_ids(ctx: Any, args: list[str], incomplete: str) -> list[str]:  # noqa: ARG001  typer's protocol
    from distcomp.cli.completion import task_ids

    return task_ids(incomplete)


TaskId = Annotated[
    str, typer.Argument(metavar="TASK", help="The task's id, or the beginning of it.", autocompletion=_task_ids)
]
TaskIds = Annotated[
    list[str] | None,
    typer.Argument(metavar="[TASK]...", help="Ids, or the beginnings of them.", autocompletion=_task_ids),
]
States = Annotated[
    list[str] | None,
    typer.Option("--state", metavar="STATE", autocompletion=_states, help="Tasks in this state. May be repeated."),
]


@dataclasses.dataclass(frozen=True, slots=True)
class FilterFlags:
    """Which tasks, beside their state."""

    include: Annotated[list[str] | None, typer.Option(metavar="TEXT", help="Tasks with this text in the command.")] = (
        None
    )
    exclude: Annotated[list[str] | None, typer.Option(metavar="TEXT", help="Tasks without it.")] = None
    tag: Annotated[list[str] | None, typer.Option(metavar="TAG", help="Tasks with this tag.")] = None
    kind: Annotated[list[str] | None, typer.Option(metavar="KIND", help="Tasks of this kind.")] = None
    job: Annotated[list[int] | None, typer.Option(metavar="N", help="Tasks of this job.")] = None

    def is_empty(self) -> bool:
        """Whether nothing was asked for."""
        return not any((self.include, self.exclude, self.tag, self.kind, self.job))

    def wanted(self, states: tuple[State, ...]) -> Filter:
        """The filter that the flags describe."""
        from distcomp.api import Filter

        return Filter(
            states=states,
            include=tuple(self.include or ()),
            exclude=tuple(self.exclude or ()),
            tags=tuple(self.tag or ()),
            kinds=tuple(self.kind or ()),
            jobs=tuple(self.job or ()),
        )


def parse_states(texts: list[str] | None) -> tuple[State, ...]:
    """States from their names; commas are fine. BadInput: there is no such state."""
    from distcomp.model import State

    names = [name.strip().lower() for text in texts or () for name in text.split(",")]
    faults = [
        Fault("--state", 0, 0, f"{name!r} is not one of {', '.join(State)}") for name in names if name not in set(State)
    ]
    if faults:
        raise BadInput(faults, unchanged="")
    return tuple(State(name) for name in names)


@dataclasses.dataclass(frozen=True, slots=True)
class SubmitFlags:
    """How tasks are submitted."""

    plain: Annotated[bool, typer.Option("--plain", help="Each line is a shell command, and nothing else.")] = False
    format_name: Annotated[
        str | None,
        typer.Option("--format", metavar="FORMAT", help="line, plain or jsonl.  [default: jsonl if it looks so]"),
    ] = None
    skip_bad: Annotated[bool, typer.Option("--skip-bad", help="Leave out lines with faults, add the others.")] = False
    allow_duplicates: Annotated[
        bool, typer.Option("--allow-duplicates", help="Keep equal tasks, each as one of its own.")
    ] = False
    rerun: Annotated[bool, typer.Option("--rerun", help="Run known tasks again, whatever came of them.")] = False
    env: Annotated[
        list[str] | None,
        typer.Option(metavar="NAME[=VALUE]", help="A variable that the tasks get. May be repeated."),
    ] = None
    cwd: Annotated[
        Path | None, typer.Option(metavar="DIR", help="Where the tasks run.  [default: the current directory]")
    ] = None
    timeout: Annotated[
        str | None, typer.Option(metavar="TIME", help="Longest time of an attempt, such as 90s or 2h; 0: no limit.")
    ] = None
    retries: Annotated[int | None, typer.Option(metavar="N", help="How often a failed task is tried again.")] = None
    kind: Annotated[str | None, typer.Option(metavar="NAME", help="A name for what the tasks have in common.")] = None
    tag: Annotated[list[str] | None, typer.Option(metavar="TAG", help="A tag for all tasks. May be repeated.")] = None
    outputs: Annotated[
        list[str] | None,
        typer.Option(metavar="GLOB", help="Result files of each task: 'out/$DISTCOMP_TASK_ID.*'. May be repeated."),
    ] = None
    memory: Annotated[
        str | None, typer.Option(metavar="SIZE", help="Memory that each plain task needs, such as 2G; 0: unknown.")
    ] = None
    cores: Annotated[str | None, typer.Option(metavar="N", help="Cores that each plain task needs; 0: unknown.")] = None
    priority: Annotated[
        str | None, typer.Option(metavar="N", help="Priority of each plain task; the larger runs first.")
    ] = None
    type_name: Annotated[
        str | None, typer.Option("--type", metavar="TYPE", help="shell or python: what plain tasks are.")
    ] = None
    python: Annotated[
        str | None, typer.Option(metavar="PATH", help="The Python for python tasks.  [default: this one]")
    ] = None

    def given(self) -> list[str]:
        """Names of the flags that were given, but for --cwd, which is also where nodes work."""
        values = {field.name: getattr(self, field.name) for field in dataclasses.fields(self) if field.name != "cwd"}
        names = [name for name, value in values.items() if value is not None and value is not False]
        return [f"--{name.removesuffix('_name').replace('_', '-')}" for name in names]

    def options(self, *, is_plain: bool, retry_failed: bool) -> SubmitOptions:
        """What the flags mean.

        Args:
            is_plain: the commands come without any fields of their own, as after `--` and in sweeps.
            retry_failed: put known failed tasks back.

        Raises:
            BadInput: with every fault in every flag.
        """
        from distcomp.cli.submitting import submit_options

        return submit_options(self, is_plain=is_plain, retry_failed=retry_failed)


@dataclasses.dataclass(frozen=True, slots=True)
class AwayFlags:
    """Where to run, if not here."""

    hosts: HostFile = None
    listen: Listen = None
    collect: Annotated[
        list[str] | None,
        typer.Option(metavar="GLOB", help="Result files of every task, to bring back from nodes: 'out/*.csv'."),
    ] = None

    def patterns(self) -> str | None:
        """The setting `collect`; None: not given."""
        return shlex.join(self.collect) if self.collect else None

    def nodes(self, wishes: WishFlags, cwd: Path | None) -> tuple[Sequence[Host], Wishes] | None:
        """The hosts, and what is wanted of them; None: it runs here.

        Raises:
            BadInput: a file has faults, or cannot be used.
            BadUsage: the flags do not go together.
        """
        from distcomp.cli.usage import BadUsage

        if self.collect and not wishes.send:
            raise BadUsage("--collect is for what is made where files are sent: with --send.")
        if self.hosts is None:
            return None
        from distcomp.nodes.hosts import read_hosts

        return read_hosts(self.hosts), wishes.wishes(cwd)


@dataclasses.dataclass(frozen=True, slots=True)
class WishFlags:
    """What is wanted of nodes."""

    send: Annotated[
        list[Path] | None,
        typer.Option(metavar="PATH", help="Send this file or directory to the nodes first. May be repeated."),
    ] = None
    setup: Annotated[
        Path | None, typer.Option(metavar="SCRIPT", help="Run this once on each node, before any work.")
    ] = None
    need_file: Annotated[
        list[str] | None, typer.Option(metavar="PATH", help="Leave out nodes without it. May be repeated.")
    ] = None
    need_command: Annotated[
        list[str] | None,
        typer.Option(metavar="COMMAND", help="Leave out nodes where it fails, or says something else than on most."),
    ] = None
    until: Annotated[
        str | None, typer.Option(metavar="TIME", help="Be gone from the nodes by then: 18:00, or 2h from now.")
    ] = None

    def wishes(self, cwd: Path | None) -> Wishes:
        """What the flags mean. BadInput: a file or a time cannot be used."""
        from distcomp.cli.wishing import wishes

        return wishes(self, cwd)


def command_spec(words: list[str], base: TaskSpec) -> TaskSpec:
    """The task that the words after `--` describe.

    One word is a line for the shell, as ssh and watch have it; of several, each is passed on as it is.
    """
    from msgspec.structs import replace

    return replace(base, command=words[0] if len(words) == 1 else shlex.join(words))


_Command = TypeVar("_Command", bound=Callable[..., None])


def with_flags(command: _Command, *, without: Collection[str] = ()) -> Callable[..., None]:
    """Let a command take a group of flags as one parameter, whose type is one of the classes above.

    Typer sees a function with the group's fields in that parameter's place. Those in `without` are not offered.
    """
    hints = get_type_hints(command, include_extras=True)
    signature = inspect.signature(command)
    groups = {name: hints[name] for name in signature.parameters if dataclasses.is_dataclass(hints[name])}
    offered = {name: _parameters_of(group, without) for name, group in groups.items()}
    parameters: list[inspect.Parameter] = []
    for name, parameter in signature.parameters.items():
        kind = inspect.Parameter.KEYWORD_ONLY
        parameters += offered.get(name) or [parameter.replace(kind=kind, annotation=hints[name])]

    @wraps(command)
    def called(**given: Any) -> None:
        for name, group in groups.items():
            given[name] = group(**{flag.name: given.pop(flag.name) for flag in offered[name]})
        command(**given)

    called.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
    called.__annotations__ = {parameter.name: parameter.annotation for parameter in parameters}
    del called.__wrapped__
    return called


def _parameters_of(group: Any, without: Collection[str]) -> list[inspect.Parameter]:
    hints = get_type_hints(group, include_extras=True)
    return [
        inspect.Parameter(flag.name, inspect.Parameter.KEYWORD_ONLY, default=flag.default, annotation=hints[flag.name])
        for flag in dataclasses.fields(group)
        if flag.name not in without
    ]
