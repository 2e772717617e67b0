"""Which commands there are, and the page that `distcomp --help` shows."""

from __future__ import annotations

from importlib import import_module
from pathlib import Path
from typing import Any, get_args, get_origin

import typer
from typer.core import TyperCommand, TyperGroup

HELP = """\
distcomp runs a file of tasks, as many at once as the machine's memory holds, and loses none.

  distcomp run tasks.txt                    run all tasks of a file; again: only what is missing
  distcomp run tasks.txt --hosts hosts.txt  on other machines: they need sshd and Python, nothing else
  distcomp submit tasks.txt                 add tasks at any time; "-" reads stdin, -- takes a command
  distcomp sweep './sim {f} {n}' f=glob:data/* n=1,10      a task per combination of parameters
  distcomp status                           how far it is; also what no node can run
  distcomp tasks --state failed             which tasks; distcomp show, explain, logs TASK: more on one
  distcomp retry --failed                   run again what failed
  distcomp results --csv -o results.csv     a row per task: parameters, result, time, memory

A task file has lines like  shell:0:0:0:./simulate --seed 1  (type:priority:GB:cores:command; 0: unknown),
plain commands (--plain), or JSON objects. Everything is kept in .distcomp, in the directory where you begin.

Commands (distcomp COMMAND --help):
  run worker              run tasks here: until they end, or until you stop it
  submit sweep            add tasks
  status workers tasks    look at all of it
  show explain logs       look at one task
  retry cancel forget     change tasks
  results                 the result table
  simulate                how long on these nodes, or with more of them
  config                  the settings: show, check
  server                  the project's own store: start, stop, status
  nodes                   other machines: check, install, start, stop, drain, status, logs, exec, collect

Options:
  -C DIRECTORY            work in another directory
  --version               print the version
  --install-completion [SHELL]  let the shell complete commands; --show-completion prints the script
"""

# Name to module; some modules have several commands. In the order of the page above.
MODULES = {
    "run": "run",
    "worker": "worker",
    "submit": "submit",
    "sweep": "sweep",
    "status": "status",
    "workers": "workers",
    "tasks": "tasks",
    "show": "task",
    "explain": "task",
    "logs": "logs",
    "retry": "changes",
    "cancel": "changes",
    "forget": "changes",
    "results": "results",
    "simulate": "simulate",
    "config": "config",
    "server": "server",
    "nodes": "nodes",
}


class PlainValues:
    """Reads the values of a parameter that is a text, a number or a path.

    Typer would import pydantic for it, even for a parameter that was not given: half the start of a command.
    """

    def __init__(self, convert: type) -> None:
        self._convert = convert

    def coerce(self, value: Any, param: Any, ctx: Any) -> Any:
        """The value, or the list of values, of the parameter."""
        if value is None or isinstance(value, bool):
            return () if value is None and (param.multiple or param.nargs == -1) else value
        if isinstance(value, (list, tuple)):
            return [self._converted(item, param, ctx) for item in value]
        return self._converted(value, param, ctx)

    def _converted(self, value: Any, param: Any, ctx: Any) -> Any:
        try:
            return self._convert(value)
        except ValueError:
            raise typer.BadParameter(f"{value!r} is not a whole number.", ctx=ctx, param=param) from None


def lighten(parameter: Any) -> Any:
    """The same parameter, read by PlainValues if that is possible."""
    annotation = getattr(getattr(parameter, "type_descriptor", None), "annotation", None)
    if get_origin(annotation) is list:
        (annotation,) = get_args(annotation)
    if hasattr(parameter, "_runtime_param") and annotation in (str, int, bool, Path):
        parameter._runtime_param = PlainValues(annotation)
    return parameter


class LightCommand(TyperCommand):
    """A command that starts quickly."""

    def get_params(self, ctx: Any) -> Any:
        """All parameters, that of --help included."""
        return [lighten(parameter) for parameter in super().get_params(ctx)]


class LightGroup(TyperGroup):
    """A group of commands that starts quickly."""

    def get_params(self, ctx: Any) -> Any:
        """All parameters, that of --help included."""
        return [lighten(parameter) for parameter in super().get_params(ctx)]


class Commands(LightGroup):
    """All commands, each imported when it is called for."""

    def __init__(self, **attributes: Any) -> None:
        # The names are what a typing error is compared with.
        super().__init__(**{**attributes, "commands": dict.fromkeys(MODULES)})

    def get_command(self, ctx: Any, cmd_name: str) -> Any:  # noqa: ARG002  all commands are there in any context
        """The command of that name, or None."""
        return load(cmd_name) if cmd_name in MODULES else None

    def format_help(self, ctx: Any, formatter: Any) -> None:  # noqa: ARG002  the formatter's width is not asked for
        """Write our own page."""
        formatter.write(HELP)


class TakesCommand(LightCommand):
    """A command whose arguments after `--` are another command, kept in `ctx.meta` for `words_after_dashes`."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Split at the first `--`."""
        if "--" in args:
            at = args.index("--")
            args, ctx.meta[_AFTER_DASHES] = args[:at], args[at + 1 :]
        return super().parse_args(ctx, args)


_AFTER_DASHES = "distcomp.after_dashes"


def words_after_dashes(ctx: typer.Context) -> list[str] | None:
    """What stood after `--`; None without it."""
    words: list[str] | None = ctx.meta.get(_AFTER_DASHES)
    return words


def new_app(**attributes: Any) -> typer.Typer:
    """An app of ours: plain help pages, no tracebacks drawn."""
    return typer.Typer(
        rich_markup_mode=None,
        pretty_exceptions_enable=False,
        add_completion=attributes.pop("add_completion", False),
        context_settings={"help_option_names": ["-h", "--help"]},
        **attributes,
    )


def load(name: str) -> Any:
    """Import a command: the app `NAME` of its module, or the function of that name."""
    found = getattr(import_module(f"distcomp.cli.{MODULES[name]}"), name)
    if not isinstance(found, typer.Typer):
        app = new_app()
        app.command(name, cls=getattr(found, "command_class", LightCommand))(found)
        found = app
    command = typer.main.get_command(found)
    command.name = name
    return command
