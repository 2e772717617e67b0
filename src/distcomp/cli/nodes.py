"""`distcomp nodes`: machines that are reached over ssh."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from time import sleep
from typing import TYPE_CHECKING, Annotated

import typer

from distcomp.cli import nodeasking, render
from distcomp.cli.commands import LightCommand, LightGroup, TakesCommand, new_app
from distcomp.cli.opening import opened, opened_project, parse_settings
from distcomp.cli.options import AsJson, HostFile, Listen, NodeNames, SetSetting, WishFlags, with_flags
from distcomp.cli.terminal import paint

if TYPE_CHECKING:
    from distcomp.nodes.hosts import Host
    from distcomp.nodes.record import NodesRecord, StandingRecord, WishRecord
    from distcomp.project import Project

LOOK_S = 0.1
MOST_TRIES = 3
_STATUS = "`distcomp nodes status` shows how far it is"
_GOES_ON = {
    "work": f"the start goes on. {_STATUS}, `distcomp nodes stop` ends it",
    "drain": f"the draining goes on. {_STATUS}, `distcomp nodes stop` cuts it short",
    "stop": f"the stop goes on. {_STATUS}",
}
"""What the user is told who no longer waits for what is wanted."""

nodes = new_app(cls=LightGroup, no_args_is_help=True)


@nodes.callback()
def _nodes() -> None:
    """Machines that are reached over ssh: check, install, start, stop, drain, status, logs, exec, collect."""


@with_flags
def start(
    names: NodeNames = None,
    hosts: HostFile = None,
    set_: SetSetting = None,
    listen: Listen = None,
    *,
    wishes: WishFlags,
) -> None:
    """Start a worker on each node. They go on when this terminal is closed, until `nodes stop` or `nodes drain`.

    Ctrl-C ends the waiting, not the start.
    """
    from distcomp.cli.nodeasking import record_of, targets
    from distcomp.cli.wishing import recorded, wishes_of

    settings = parse_settings(set_, listen=listen)
    with opened_project(create=True, settings=settings) as project:
        chosen = targets(record_of(project), hosts, names)
        wished = recorded(wishes, None)
        wishes_of(wished)  # its faults are told here, and not in a log
        project.make()
        standings = _see_to(project, settings, chosen, "work", wished, ("working", "left out", "away"))
    _say(chosen, standings, "working")


@nodes.command(cls=LightCommand)
def stop(names: NodeNames = None, hosts: HostFile = None) -> None:
    """Stop workers at once: what they run goes back to the queue. Nothing of distcomp runs there afterwards."""
    _end(names, hosts, "stop")


@nodes.command(cls=LightCommand)
def drain(names: NodeNames = None, hosts: HostFile = None) -> None:
    """Stop workers when what they run has ended. Ctrl-C ends the waiting, not the draining."""
    _end(names, hosts, "drain")


def _end(names: Sequence[str] | None, file: Path | None, how: str) -> None:
    from distcomp.cli.nodeasking import record_of, targets

    with opened_project() as project:
        chosen = targets(record_of(project), file, names)
        standings = _see_to(project, {}, chosen, how, None, ("ended", "left out", "away"))
    _say(chosen, standings, "ended")


def _see_to(
    project: Project,
    settings: Mapping[str, object],
    chosen: Sequence[Host],
    what: str,
    wishes: WishRecord | None,
    ends: tuple[str, ...],
) -> dict[str, StandingRecord]:
    """Say what is wanted, and wait until all chosen nodes are so, or cannot be.

    Raises:
        NodesBusy: `distcomp run` works with the nodes.
    """
    from distcomp.cli.attending import check_that_nodes_are_free, see_that_somebody_attends
    from distcomp.cli.nodeasking import record_of
    from distcomp.clock import SystemClock

    record = record_of(project)
    check_that_nodes_are_free(record)
    record.remember(chosen)
    turn = record.want(chosen, what, wishes)
    for _ in range(MOST_TRIES):
        see_that_somebody_attends(project, settings, SystemClock())
        try:
            known = _wait(record, chosen, turn, ends)
        except KeyboardInterrupt:
            print(f"interrupted: {_GOES_ON[what]}", file=sys.stderr)
            raise
        # Who attended may have been about to end, and not have seen what is wanted.
        if len(known) == len(chosen):
            break
    return known


def _wait(record: NodesRecord, chosen: Sequence[Host], turn: int, ends: tuple[str, ...]) -> dict[str, StandingRecord]:
    """Those that are where they were to be; all of them, unless nobody attends to nodes any more."""
    while True:
        is_attended = bool(record.attended_by())
        standings = record.standings()
        found = {str(host): standings.get(str(host)) for host in chosen}
        known = {name: s for name, s in found.items() if s and s.turn >= turn and s.phase in ends}
        if len(known) == len(chosen) or not is_attended:
            return known
        sleep(LOOK_S)


def _say(chosen: Sequence[Host], standings: Mapping[str, StandingRecord], wanted: str) -> None:
    """How all are, equals together. Exit code 1 if not all are as wanted."""
    from distcomp.nodes.hosts import folded

    outcomes, steps = {}, {}
    for host in chosen:
        standing = standings.get(str(host))
        outcome = _outcome(standing)
        outcomes[host.name] = outcome
        if standing and standing.next_step:
            steps[outcome] = standing.next_step
    for names, outcome in folded(outcomes):
        print(f"{names}: {paint(outcome, 'green' if outcome == wanted else 'red')}")
        if outcome in steps:
            print(f"  {steps[outcome]}")
    if any(outcome != wanted for outcome in outcomes.values()):
        raise typer.Exit(1)


def _outcome(standing: StandingRecord | None) -> str:
    if standing is None:
        return "nobody attends to it"
    return f"{standing.phase}: {standing.trouble}" if standing.trouble else standing.phase


@nodes.command(cls=LightCommand, hidden=True)
def attend(set_: SetSetting = None) -> None:
    """Attend to nodes until none is wanted: what `nodes start` starts."""
    from distcomp.cli.attending import attend as attend_to

    with opened_project(settings=parse_settings(set_)) as project:
        attend_to(project)


@nodes.command(cls=LightCommand)
def status(as_json: AsJson = False) -> None:
    """Show how the nodes are, as far as is known here: no node is asked."""
    import msgspec

    from distcomp.cli.nodeasking import record_of

    with opened_project() as project:
        record = record_of(project)
        is_attended = bool(record.attended_by())
        standings = record.standings()
        known = record.hosts()
    rows = []
    for name, host in known.items():
        standing = standings.get(str(host))
        phase = standing.phase if standing else "not started"
        if standing and not is_attended and phase not in ("ended", "left out"):
            phase = "unattended"
        trouble = standing.trouble if standing else ""
        rows.append({"node": name, "host": str(host), "phase": phase, "trouble": trouble})
    if as_json:
        print(msgspec.json.encode(rows).decode())
        return
    for line in render.table(["node", "is", ""], [(row["node"], row["phase"], row["trouble"]) for row in rows]):
        print(line)
    if not is_attended and any(row["phase"] == "unattended" for row in rows):
        print("nobody attends to them: workers that run keep their results; `distcomp nodes start` goes on")


@nodes.command(cls=LightCommand)
def clear(
    names: Annotated[list[str], typer.Argument(metavar="NODE...", help="As `distcomp workers` names them.")],
    as_json: AsJson = False,
) -> None:
    """Give tasks again to nodes that are in quarantine, as they failed alone."""
    with opened() as client:
        render.show(client.release(names), as_json, lambda number: [f"{number} released from quarantine"])


nodes.command("start", cls=LightCommand)(start)
nodes.command("check", cls=LightCommand)(nodeasking.check)
nodes.command("install", cls=LightCommand)(nodeasking.install)
nodes.command("collect", cls=LightCommand)(nodeasking.collect)
nodes.command("logs", cls=LightCommand)(nodeasking.logs)
nodes.command("exec", cls=TakesCommand)(nodeasking.exec_)
