"""The process behind `distcomp nodes start`: attends to nodes until none is wanted any more.

Commands write down what they want (nodes/record.py), and this reads it. It holds a connection to the store, so that
the project's own server stays on while nodes work.
"""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Mapping
from contextlib import suppress
from time import sleep
from typing import TYPE_CHECKING

from distcomp.api.cluster import plan_of
from distcomp.cli.wishing import wishes_of
from distcomp.clock import Clock
from distcomp.errors import DistcompError
from distcomp.nodes.fleet import Fleet, Phase, Standing
from distcomp.nodes.hosts import Host
from distcomp.nodes.plan import Plan, Wishes
from distcomp.nodes.record import NODES_START, NodesBusy, NodesRecord, StandingRecord, Want, WishRecord
from distcomp.nodes.ssh import Ssh

if TYPE_CHECKING:
    import redis

    from distcomp.project import Project

LOOK_S = 0.2
PING_EVERY_LOOKS = 10
START_S = 10.0
_NOT_KNOWN = StandingRecord("", 0)


class Attending:
    """One life of the process.

    Args:
        project: whose nodes.
        record: where wants and standings are.
        ssh: the way to nodes.
    """

    def __init__(self, project: Project, record: NodesRecord, ssh: Ssh) -> None:
        self._project, self._record, self._ssh = project, record, ssh
        self._fleet = Fleet(ssh, self._on_change, project.settings.connections)
        self._applied = _fulfilled(record)
        self._is_changed = True
        self._client: redis.Redis | None = None

    def run(self) -> None:
        """Do what is wanted until nothing is."""
        looks = 0
        try:
            while self._apply() or self._fleet.is_ending():
                if looks % PING_EVERY_LOOKS == 0:
                    self._hold_store()
                looks += 1
                self._write()
                sleep(LOOK_S)
        finally:
            self._fleet.close()
            self._write()
            self._forget_those_that_left()

    def _apply(self) -> bool:
        """Begin what is newly wanted; whether a node is wanted to work, or has yet to be told."""
        wanted = self._record.wanted()
        known = {str(host): host for host in self._record.hosts().values()}
        new = {name: want for name, want in wanted.wants.items() if self._applied.get(name) != want and name in known}
        self._applied |= new
        starting = [known[name] for name, want in new.items() if want.what == "work"]
        standings = self._fleet.standings()
        starting = [host for host in starting if not _is_at_work(standings.get(host))]
        if starting:
            self._fleet.add(starting, self._plan(wanted.wishes))
        for name, want in new.items():
            if want.what != "work":
                if known[name] not in standings:
                    self._fleet.add([known[name]], self._plan(wanted.wishes), starts=False)
                self._fleet.end([known[name]], drain=want.what == "drain", is_sure=True)
        if new:
            self._is_changed = True
        return any(want.what == "work" and not self._has_left(name) for name, want in wanted.wants.items())

    def _has_left(self, name: str) -> bool:
        """Whether the node's worker has ended as its time was over."""
        ended = (str(host) for host, standing in self._fleet.standings().items() if standing.phase is Phase.ENDED)
        return name in ended and self._applied[name].what == "work"

    def _forget_those_that_left(self) -> None:
        """The next `nodes start` is not for them, unless it names them."""
        wants, hosts = self._record.wanted().wants, self._record.hosts().values()
        left = [h for h in hosts if self._has_left(str(h)) and wants[str(h)] == self._applied[str(h)]]
        if left:
            self._record.want(left, "stop")

    def _plan(self, wishes: WishRecord | None) -> Plan:
        wished = wishes_of(wishes) if wishes else Wishes(str(self._project.folder.project))
        return plan_of(self._project, self._ssh, wished)

    def _hold_store(self) -> None:
        """Be one of those who use the store: so it stays on, and is started again if it ended."""
        from redis.exceptions import RedisError

        with suppress(DistcompError):
            if self._client is None:
                self._client = self._project.client()
            try:
                self._client.ping()
            except RedisError:
                self._client.close()
                self._client = self._project.client()

    def _on_change(self, host: Host, standing: Standing) -> None:
        self._is_changed = True
        print(f"{host.name}: {standing.phase}. {standing.trouble}", flush=True)

    def _write(self) -> None:
        if not self._is_changed:
            return
        self._is_changed = False
        standings = {
            str(host): StandingRecord(
                standing.phase, self._applied[str(host)].turn, standing.trouble, standing.next_step
            )
            for host, standing in self._fleet.standings().items()
        }
        self._record.write_standings(self._record.standings() | standings)


def _fulfilled(record: NodesRecord) -> dict[str, Want]:
    """Nodes that ended as they were to, in an earlier life: nobody has to go there again."""
    standings = record.standings()
    return {
        name: want
        for name, want in record.wanted().wants.items()
        if want.what != "work"
        and standings.get(name, _NOT_KNOWN).turn >= want.turn
        and standings[name].phase == "ended"
    }


def _is_at_work(standing: Standing | None) -> bool:
    return standing is not None and standing.phase in (Phase.COMING, Phase.WORKING, Phase.AWAY)


def attend(project: Project) -> None:
    """Attend to the nodes of a project until none is wanted.

    Raises:
        NodesBusy: somebody else does.
    """
    record = NodesRecord(project.folder.cluster)
    settings = project.settings
    with record.attending(NODES_START), Ssh(settings.ssh, settings.connections) as ssh:
        Attending(project, record, ssh).run()


def check_that_nodes_are_free(record: NodesRecord) -> None:
    """See that no `distcomp run` works with them. NodesBusy: one does."""
    who = record.attended_by()
    if who and not who.startswith(NODES_START):
        raise NodesBusy(f"The nodes are attended to by {who}.", next_step="Wait for its end.")


def see_that_somebody_attends(project: Project, settings: Mapping[str, object], clock: Clock) -> None:
    """Start the process, unless it runs. It outlives us, and the terminal.

    Raises:
        NodesBusy: `distcomp run` attends to the nodes.
        DistcompError: it does not start.
    """
    record = NodesRecord(project.folder.cluster)
    check_that_nodes_are_free(record)
    if record.attended_by():
        return
    options = [word for name, value in settings.items() for word in ("--set", f"{name}={value}")]
    with record.log_file.open("ab") as log:
        process = subprocess.Popen(
            [sys.executable, "-P", "-m", "distcomp", "nodes", "attend", *options],
            stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True,
        )  # fmt: skip
    give_up_s = clock.monotonic_s() + START_S
    while not record.attended_by().startswith(NODES_START):
        if process.poll() is not None or clock.monotonic_s() > give_up_s:
            raise DistcompError(
                "The process that attends to nodes does not start.", next_step=f"Its log: {record.log_file}"
            )
        sleep(LOOK_S / 4)
