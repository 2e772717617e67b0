"""Nodes in the place of a worker of one's own, where no ssh leads to any of them."""

from __future__ import annotations

from pathlib import Path

import pytest

from distcomp.api.cluster import plan_of
from distcomp.cli.hosted import Hosted, NoNode
from distcomp.nodes.fleet import Fleet
from distcomp.nodes.hosts import Host
from distcomp.nodes.plan import Wishes
from distcomp.nodes.ssh import Ssh
from distcomp.project import Project
from tests.support.waiting import wait_until


def test_that_no_node_works_is_an_error_unless_the_user_wanted_them_to_end(tmp_path: Path) -> None:
    """A node that is still being got ready when the user interrupts is left out by that."""
    project = Project.open(tmp_path, create=True, flags={"store": "redis://localhost:1"})
    project.make()
    with Ssh("false") as ssh:
        fleet = Fleet(ssh, lambda _host, _standing: None)
        fleet.add([Host("node1")], plan_of(project, ssh, Wishes(str(tmp_path))))
        wait_until(lambda: fleet.wait_until_known(0), "it is known that there is no way to it")
        labour = Hosted(fleet)

        with pytest.raises(NoNode):
            labour.look()
        labour.stop()
        labour.look()

        fleet.close()
