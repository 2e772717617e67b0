"""A project and its nodes together: what nodes are told of it, and what tasks printed there."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from distcomp.errors import NotFound
from distcomp.nodes.plan import Plan, Wishes, make_plan

if TYPE_CHECKING:
    from distcomp.model import OutputPlace
    from distcomp.nodes.hosts import Host
    from distcomp.nodes.ssh import HostTrouble, Ssh
    from distcomp.project import Project

SOCKET_LINK = "store"


def plan_of(project: Project, ssh: Ssh, wishes: Wishes) -> Plan:
    """What nodes of this project are told."""
    from distcomp.store.address import parse
    from distcomp.store.listening import worker_password

    sources = project.read_settings().sources
    if project.server and project.settings.listen:
        url, password = project.server.open_to_network(), worker_password(project.folder.secret(), project.name)
        return make_plan(project.folder, project.settings, sources, url, "", password, wishes)
    if project.server:
        address = project.server.address
        # ssh's names of sockets have to be short; projects may lie deep.
        link = ssh.folder / SOCKET_LINK
        link.unlink(missing_ok=True)
        link.symlink_to(Path(address.socket_path).absolute())
        socket = str(link)
    else:
        address, socket = parse(project.settings.store, os.environ), ""
    url = project.settings.store
    return make_plan(project.folder, project.settings, sources, url, socket, address.password, wishes)


class Away:
    """Outputs on nodes that are reached over ssh.

    Args:
        project: whose nodes.
    """

    def __init__(self, project: Project) -> None:
        self._project = project

    def host(self, node: str) -> Host | None:
        """The host of a node; None if it is not one of those."""
        from distcomp.nodes.record import NodesRecord

        return NodesRecord(self._project.folder.cluster).hosts().get(node)

    @contextmanager
    def fetched(self, host: Host, place: OutputPlace) -> Iterator[Path]:
        """A folder with an output in it, as in the node's folder of outputs. NotFound: it cannot be had."""
        from distcomp.nodes.fetching import fetch_output
        from distcomp.nodes.ssh import HostTrouble

        with self._ssh() as ssh, tempfile.TemporaryDirectory(prefix="distcomp-") as folder:
            try:
                fetch_output(ssh, host, self._plan(ssh), place, Path(folder))
            except HostTrouble as trouble:
                raise _not_had(host, trouble) from trouble
            yield Path(folder)

    def printed(self, host: Host, arguments: Sequence[str]) -> Iterator[bytes]:
        """What `distcomp logs` prints there, as it comes. NotFound: it fails."""
        from distcomp.nodes.fetching import printed
        from distcomp.nodes.ssh import HostTrouble

        with self._ssh() as ssh:
            try:
                yield from printed(ssh, host, self._plan(ssh), arguments)
            except HostTrouble as trouble:
                raise _not_had(host, trouble) from trouble

    def _ssh(self) -> Ssh:
        from distcomp.nodes.ssh import Ssh

        return Ssh(self._project.settings.ssh)

    def _plan(self, ssh: Ssh) -> Plan:
        return plan_of(self._project, ssh, Wishes(""))


def _not_had(host: Host, trouble: HostTrouble) -> NotFound:
    return NotFound(f"The output is on {host.name}: {trouble.what}.", next_step=trouble.next_step)
