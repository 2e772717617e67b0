"""`distcomp nodes check, install, logs, exec`: what asks nodes and leaves nothing running."""

from __future__ import annotations

import shlex
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, TypeVar

import typer

from distcomp.cli import render
from distcomp.cli.commands import words_after_dashes
from distcomp.cli.opening import opened_project
from distcomp.cli.options import AsJson, HostFile, NodeNames, WishFlags, with_flags
from distcomp.cli.terminal import paint
from distcomp.cli.usage import BadUsage
from distcomp.errors import BadInput, DistcompError, Fault

if TYPE_CHECKING:
    from distcomp.nodes.checking import Check
    from distcomp.nodes.hosts import Host
    from distcomp.nodes.plan import Wishes
    from distcomp.nodes.readying import Readying
    from distcomp.nodes.record import NodesRecord
    from distcomp.project import Project

_Answer = TypeVar("_Answer")


def record_of(project: Project) -> NodesRecord:
    """What is written down about the project's nodes."""
    from distcomp.nodes.record import NodesRecord

    return NodesRecord(project.folder.cluster)


def targets(record: NodesRecord, file: Path | None, names: Sequence[str] | None) -> tuple[Host, ...]:
    """The hosts that a command is about: those of the file, or those known; of these, the named ones.

    Raises:
        BadInput: the file or a name has a fault.
        BadUsage: there is none.
    """
    from distcomp.nodes.hosts import parse_hosts, read_hosts

    known = {host.name: host for host in read_hosts(file)} if file else record.hosts()
    if names:
        named = parse_hosts("\n".join(names), "NODE")
        if file and (strange := [host.name for host in named if host.name not in known]):
            raise BadUsage(f"{', '.join(strange)}: not in {file}.")
        return tuple(known.get(host.name, host) for host in named)
    if not known:
        raise BadUsage("Which nodes? --hosts FILE names them; they are known from then on.")
    return tuple(known.values())


@with_flags
def check(names: NodeNames = None, hosts: HostFile = None, as_json: AsJson = False, *, wishes: WishFlags) -> None:
    """Look at nodes: whether they can be reached, what they have, whether they are alike. Changes nothing there."""
    from distcomp.nodes.checking import agreed

    def look(readying: Readying, host: Host) -> list[Check]:
        return readying.checks(host)

    wished = wishes.wishes(None)
    found = {host.name: answer for host, answer in _on_nodes(names, hosts, look, wished).items()}
    reached = agreed({name: answer for name, answer in found.items() if isinstance(answer, list)}, wished.need_commands)
    rows = {name: reached.get(name, answer) for name, answer in found.items()}
    if as_json:
        print(render.to_json([_as_json(name, answer) for name, answer in rows.items()]))
    else:
        for line in _matrix(rows):
            print(line)
    if not all(isinstance(answer, list) and all(c.is_passed for c in answer) for answer in rows.values()):
        raise typer.Exit(1)


def _as_json(name: str, answer: list[Check] | DistcompError) -> dict[str, object]:
    if isinstance(answer, DistcompError):
        return {"node": name, "passed": False, "trouble": answer.what, "next_step": answer.next_step}
    checks = [{"check": c.name, "shown": c.shown, "passed": c.is_passed} for c in answer]
    troubles = [c.why for c in answer if not c.is_passed]
    return {"node": name, "passed": not troubles, "trouble": "; ".join(troubles), "checks": checks}


def _matrix(rows: Mapping[str, list[Check] | DistcompError]) -> Iterator[str]:
    """A row per node, a column per check; what is wrong stands below."""
    reached = {name: answer for name, answer in rows.items() if isinstance(answer, list)}
    head = max(([check.name for check in answer] for answer in reached.values()), key=len, default=["reach"])
    table: list[list[render.Cell]] = []
    for name, answer in rows.items():
        if isinstance(answer, DistcompError):
            table.append([name, ("no", "red"), *("" for _ in head[1:])])
        else:
            cells: list[render.Cell] = [(check.shown, "" if check.is_passed else "red") for check in answer]
            table.append([name, *cells, *("" for _ in head[len(cells) :])])
    yield from render.table(["node", *head], table)
    yield from _troubles(rows)


def _troubles(rows: Mapping[str, list[Check] | DistcompError]) -> Iterator[str]:
    from distcomp.nodes.hosts import folded

    texts, steps = {}, {}
    for name, answer in rows.items():
        if isinstance(answer, DistcompError):
            texts[name], steps[answer.what] = answer.what, answer.next_step
        elif troubles := [check.why for check in answer if not check.is_passed]:
            texts[name] = "; ".join(troubles)
    for names, text in folded(texts):
        yield paint(f"{names}: {text}", "red")
        if steps.get(text):
            yield f"  {steps[text]}"


def install(names: NodeNames = None, hosts: HostFile = None) -> None:
    """Send distcomp to nodes, so that later starts are quick, and remove old versions of it. Starts nothing."""

    def put(readying: Readying, host: Host) -> tuple[int, str]:
        installed = readying.install(host, readying.facts(host), tidy=True)
        lines = [f"{installed.program}{'' if installed.is_new else ' (was there)'}"]
        if installed.removed:
            what = render.number_of(installed.removed, "old version")
            lines.append(f"{what} removed, {render.size(installed.removed_bytes)}")
        return 0, "\n".join(lines)

    _show_answers(_on_nodes(names, hosts, put))


def collect(
    globs: Annotated[
        list[str] | None,
        typer.Argument(metavar="[GLOB]...", help="Whatever matches, such as '**/*.log', of whatever attempt."),
    ] = None,
    hosts: HostFile = None,
) -> None:
    """Bring the result files of finished tasks to the same place here, where --send sent the directory. Run it here."""
    from distcomp.api import Client
    from distcomp.api.cluster import plan_of
    from distcomp.cli.hosted import bring_matching_home, bring_results_home
    from distcomp.nodes.plan import Wishes
    from distcomp.nodes.ssh import Ssh

    with opened_project() as project, Ssh(project.settings.ssh, project.settings.connections) as ssh:
        plan = plan_of(project, ssh, Wishes(str(Path.cwd())))
        if globs:
            lines = list(bring_matching_home(ssh, plan, targets(record_of(project), hosts, None), globs))
        else:
            lines = list(bring_results_home(Client(project), None, ssh, plan))
        for line in lines or ["no finished task has noted result files"]:
            print(line)


def logs(
    node: Annotated[str, typer.Argument(metavar="NODE", help="Its name.")],
    lines: Annotated[int, typer.Option("-n", "--lines", metavar="N", help="How many.")] = 50,
) -> None:
    """Print the end of the log of a node's worker."""

    def ask(readying: Readying, host: Host) -> list[str]:
        return list(readying.call(host, readying.facts(host), "tail", {"lines": lines})["lines"])

    ((_, answer),) = _on_nodes([node], None, ask).items()
    if isinstance(answer, DistcompError):
        raise DistcompError(f"{node}: {answer.what}", next_step=answer.next_step)
    for line in answer:
        print(line)


def exec_(
    ctx: typer.Context,
    names: NodeNames = None,
    hosts: HostFile = None,
    timeout: Annotated[str, typer.Option(metavar="TIME", help="Longest time; then it is ended.")] = "60s",
) -> None:
    """Run a command on all nodes, in the directory of the tasks: distcomp nodes exec -- df -h .

    Equal outputs are shown once. Exit code 1 if it failed somewhere. Ctrl-C ends it there, too.
    """
    from distcomp.units import parse_duration

    words = words_after_dashes(ctx)
    if not words:
        raise BadUsage("Expected -- and a command.")
    command = words[0] if len(words) == 1 else shlex.join(words)
    try:
        limit_s = parse_duration(timeout)
    except ValueError as error:
        raise BadInput([Fault("--timeout", 0, 0, str(error))], unchanged="Nothing was run.") from error

    def ask(readying: Readying, host: Host) -> tuple[int, str]:
        (answer,) = readying.outputs(host, readying.facts(host), [command], limit_s, "--timeout gives it more")
        return answer

    _show_answers(_on_nodes(names, hosts, ask))


def _show_answers(answers: Mapping[Host, tuple[int, str] | DistcompError]) -> None:
    """Equal ones once. Exit code 1 if one is not 0."""
    from distcomp.nodes.hosts import folded

    texts: dict[str, str] = {}
    steps: dict[str, str] = {}
    for host, answer in answers.items():
        if isinstance(answer, DistcompError):
            # What to do names a host: that of the first stands for all.
            texts[host.name] = f"{answer.what}\0{steps.setdefault(answer.what, answer.next_step)}"
        else:
            texts[host.name] = f"{'ok' if not answer[0] else f'exit code {answer[0]}'}\0{answer[1]}"
    for names, text in folded(texts):
        outcome, _, said = text.partition("\0")
        print(f"{names}: {paint(outcome, 'green' if outcome == 'ok' else 'red')}")
        sys.stdout.write("".join(f"  {line}\n" for line in said.splitlines()))
    if any(not text.startswith("ok\0") for text in texts.values()):
        raise typer.Exit(1)


def _on_nodes(
    names: Sequence[str] | None,
    file: Path | None,
    work: Callable[[Readying, Host], _Answer],
    wishes: Wishes | None = None,
) -> dict[Host, _Answer | DistcompError]:
    """Do something with each node; what came of it, or the trouble."""
    from distcomp.api.cluster import plan_of
    from distcomp.nodes.plan import Wishes
    from distcomp.nodes.readying import Readying
    from distcomp.nodes.ssh import HostTrouble, Ssh

    with opened_project(create=True) as project:
        chosen = targets(record_of(project), file, names)
        project.make()
        settings = project.settings
        with Ssh(settings.ssh, settings.connections) as ssh:
            plan = plan_of(project, ssh, wishes or Wishes(str(Path.cwd())))
            readying = Readying(ssh, plan, None)

            def one(host: Host) -> _Answer | DistcompError:
                try:
                    return work(readying, host)
                except HostTrouble as trouble:
                    return trouble

            return ssh.on_all(chosen, one)
