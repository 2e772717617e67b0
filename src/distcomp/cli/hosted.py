"""The nodes that a command works with: read from a host file, attended to while the command runs."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from distcomp.api.cluster import plan_of
from distcomp.errors import DistcompError
from distcomp.nodes.hosts import Host, fold, folded
from distcomp.nodes.plan import Plan, Wishes
from distcomp.nodes.record import NODES_START, NodesRecord

if TYPE_CHECKING:
    from distcomp.api import Client
    from distcomp.nodes.collecting import Collecting
    from distcomp.nodes.fleet import Fleet, Standing
    from distcomp.nodes.ssh import Ssh
    from distcomp.project import Project

LOOK_S = 0.2


class NoNode(DistcompError):
    """Not one of the nodes can work."""


@contextmanager
def labour_of(
    client: Client,
    jobs: Sequence[int] | None,
    hosts: Sequence[Host],
    wishes: Wishes,
    say: Callable[[str], None],
    is_interrupted: Callable[[], bool],
) -> Iterator[Hosted | Elsewhere]:
    """The nodes, at work; those that cannot are left out, and said. Result files are brought home at the end.

    Raises:
        NoNode: none can.
        NodesBusy: another `distcomp run` works with the nodes of this project.
    """
    project = client.project
    record = NodesRecord(project.folder.cluster)
    if record.attended_by().startswith(NODES_START):
        coming = [host.name for host in hosts if record.phase(host) == "coming"]
        idle = [host.name for host in hosts if record.phase(host) not in ("working", "coming")]
        say("the workers that `distcomp nodes start` started do the work")
        if coming:
            say(f"  {fold(coming)} still coming")
        if idle:
            say(f"  {fold(idle)} not among them: distcomp nodes start --hosts FILE")
        yield Elsewhere(record)
        wished = record.wanted().wishes
        if wished is not None and wished.send:
            with _ssh_of(project) as ssh:
                _say_all(say, bring_results_home(client, jobs, ssh, plan_of(project, ssh, Wishes(wished.cwd))))
        return
    with _fleet_of(project, record, hosts, wishes, say, is_interrupted) as (fleet, ssh):
        yield Hosted(fleet)
        if wishes.cargo:
            _say_all(say, bring_results_home(client, jobs, ssh, plan_of(project, ssh, wishes)))


def _say_all(say: Callable[[str], None], lines: Iterable[str]) -> None:
    for line in lines:
        say(line)


def _ssh_of(project: Project) -> Ssh:
    from distcomp.nodes.ssh import Ssh

    return Ssh(project.settings.ssh, project.settings.connections)


def bring_results_home(client: Client, jobs: Sequence[int] | None, ssh: Ssh, plan: Plan) -> Iterator[str]:
    """Collect the result files of finished tasks; what to say about it, nothing where no attempt noted any."""
    from distcomp.api.resultfiles import attempts_with_files
    from distcomp.nodes.collecting import Collecting

    attempts = attempts_with_files(client, jobs)
    if not attempts:
        return
    known = NodesRecord(client.project.folder.cluster).hosts()
    collecting = Collecting(ssh, plan, Path(plan.wishes.cwd), attempts)
    yield from _bring_home(ssh, collecting, [known[name] for name in attempts if name in known])
    if strange := [name for name in attempts if name not in known]:
        yield f"  none from {fold(strange)}: not reached over ssh"


def bring_matching_home(ssh: Ssh, plan: Plan, hosts: Sequence[Host], globs: Sequence[str]) -> Iterator[str]:
    """Collect whatever matches, whoever made it; what to say about it."""
    from distcomp.nodes.collecting import Collecting

    return _bring_home(ssh, Collecting(ssh, plan, Path(plan.wishes.cwd), None, globs), hosts)


def _bring_home(ssh: Ssh, collecting: Collecting, hosts: Sequence[Host]) -> Iterator[str]:
    from distcomp.cli import render
    from distcomp.nodes.ssh import HostTrouble

    def collect(host: Host) -> str:
        try:
            collecting.collect(host)
        except HostTrouble as trouble:
            return trouble.what
        return ""

    troubles = {host.name: trouble for host, trouble in ssh.on_all(hosts, collect).items() if trouble}
    harvest = collecting.harvest
    yield f"{render.number_of(harvest.files, 'file')} collected, {render.size(harvest.size_bytes) or '0 B'}"
    if harvest.several:
        yield f"  {_such(harvest.several)} came from another node too: the one changed last was kept"
    if harvest.kept:
        yield f"  {_such(harvest.kept)} kept as here, changed later than on the node: remove it to have the node's"
    if harvest.changed:
        yield f"  {render.number_of(harvest.changed, 'file')} left there: changed since the end of the task"
    if harvest.unknown:
        yield f"  {render.number_of(harvest.unknown, 'task')} without files: the node does not know which they were"
    for names, trouble in folded(troubles):
        yield f"  not all from {names}: {trouble}"


def _such(names: Collection[str]) -> str:
    """How many files, and one of them."""
    first = min(names)
    return f"1 file, {first}," if len(names) == 1 else f"{len(names):,} files, such as {first},"


@contextmanager
def _fleet_of(
    project: Project,
    record: NodesRecord,
    hosts: Sequence[Host],
    wishes: Wishes,
    say: Callable[[str], None],
    is_interrupted: Callable[[], bool],
) -> Iterator[tuple[Fleet, Ssh]]:
    from distcomp.nodes.fleet import Fleet, Phase

    def on_change(host: Host, standing: Standing) -> None:
        if standing.phase is Phase.AWAY:
            say(f"{host.name} is away: {standing.trouble}")

    project.make()
    with record.attending("`distcomp run`"), _ssh_of(project) as ssh:
        record.remember(hosts)
        fleet = Fleet(ssh, on_change, project.settings.connections)
        try:
            fleet.add(hosts, plan_of(project, ssh, wishes))
            while not fleet.wait_until_known(LOOK_S) and not is_interrupted():
                pass
            standings = fleet.standings()
            for line in left_out_lines(standings):
                say(line)
            if not is_interrupted() and not any(standing.phase is Phase.WORKING for standing in standings.values()):
                raise NoNode("No node can work.", unchanged="Nothing was run; the tasks are in the queue.")
            yield fleet, ssh
        finally:
            fleet.end(drain=False)
            fleet.close()


def left_out_lines(standings: Mapping[Host, Standing]) -> Iterator[str]:
    """Who is left out and why; equal reasons together."""
    from distcomp.nodes.fleet import Phase

    left_out = {host: standing for host, standing in standings.items() if standing.phase is Phase.LEFT_OUT}
    troubles = {host.name: standing.trouble for host, standing in left_out.items()}
    steps = {standing.trouble: (host, standing.next_step) for host, standing in left_out.items()}
    for names, trouble in folded(troubles):
        yield f"{names} left out: {trouble}"
        _, step = steps[trouble]
        if step:
            yield f"  {step}"


class Elsewhere:
    """Workers that others have started, and end."""

    def __init__(self, record: NodesRecord) -> None:
        self._record = record

    def look(self) -> None:
        """They are seen to."""

    def has_left(self) -> bool:
        """Whether nobody sees to any node: all have left, or were told to."""
        return not self._record.attended_by()

    def is_alive(self) -> bool:
        """None of them is ours to wait for."""
        return False

    def stop(self) -> None:
        """They go on."""


class Hosted:
    """Nodes in the place of a worker of one's own, for `distcomp run`."""

    def __init__(self, fleet: Fleet) -> None:
        self._fleet = fleet
        self._ends = 0

    def look(self) -> None:
        """See that any node works, or may again: each has somebody who attends to it. NoNode: none does, unasked."""
        if not self._ends and {standing.phase for standing in self._fleet.standings().values()} == {"left out"}:
            raise NoNode(
                "No node works any more.",
                unchanged="What they did not do stays in the queue.",
                next_step="`distcomp nodes logs NODE` shows what a worker said last. The same command goes on.",
            )

    def has_left(self) -> bool:
        """Whether all that could work have left, as their time was over."""
        phases = {standing.phase for standing in self._fleet.standings().values()}
        return not self._ends and phases <= {"ended", "left out"}

    def is_alive(self) -> bool:
        """Whether a worker still runs, or may."""
        return not self._ends or self._fleet.is_ending()

    def stop(self) -> None:
        """Tell all workers to end: the first time when what runs has ended, after that at once."""
        self._ends += 1
        self._fleet.end(drain=self._ends == 1)

    def close(self) -> None:
        """Whoever made the fleet closes it."""
