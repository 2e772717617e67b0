"""The state folder is removed while somebody uses it: that is said, and nothing is left."""

from __future__ import annotations

import shutil

import pytest

from tests.support.sandbox import Sandbox
from tests.support.waiting import wait_until


@pytest.mark.parametrize("command", ["run", "worker"])
def test_who_works_says_so_and_leaves_nothing(sandbox: Sandbox, command: str) -> None:
    sandbox.distcomp("submit", "--plain", "-", stdin="".join(f"sleep 600; : {n}\n" for n in range(3)))
    process = sandbox.start(command)
    wait_until(lambda: sandbox.processes("sleep 600"), "tasks run")
    shutil.rmtree(sandbox.folder / ".distcomp")
    output, _ = process.communicate(timeout=60)
    assert process.returncode == 2
    assert "was removed while it was in use.\n  Its tasks and results are gone with it" in output
    assert "Traceback" not in output
    wait_until(lambda: not sandbox.processes(), "neither worker nor server nor task is left")
    assert list(sandbox.folder.iterdir()) == []


def test_a_server_that_was_to_stay_ends_when_a_new_project_begins_in_its_place(sandbox: Sandbox) -> None:
    sandbox.distcomp("server", "start")
    shutil.rmtree(sandbox.folder / ".distcomp")
    assert sandbox.processes("distcomp-store")
    sandbox.distcomp("submit", "--", "true")
    assert sandbox.processes() == {}
