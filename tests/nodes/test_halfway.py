"""Nodes that are got ready when their user, or a fault, comes between: nothing is left there, and all is told."""

from __future__ import annotations

import pytest

from tests.nodes.conftest import FOLDER, User
from tests.support.waiting import wait_until

SOON_S = 60


def interrupted_start(user: User, *names: str) -> None:
    """Its set-up never ends, and Ctrl-C comes while it runs on all nodes."""
    user.write("setup.sh", "exec sleep 1000\n")
    command = ("nodes", "start", *names, "--hosts", "hosts.txt", "--setup", "setup.sh")
    start = user.home.start("env", "--default-signal=INT", "distcomp", "-C", FOLDER, *command, log=f"{FOLDER}/said")
    wait_until(lambda: all(node.processes("sleep 1000") for node in user.nodes), "the nodes are got ready", SOON_S)
    user.home.kill(start, "INT")
    wait_until(lambda: start not in user.home.processes(), "the command ends", timeout_s=10)


def standings(user: User) -> list[str]:
    return [row["phase"] for row in user.json("nodes", "status")]


def test_ctrl_c_on_a_start_ends_the_waiting_and_stop_ends_the_start(user: User) -> None:
    interrupted_start(user)
    assert user.said().startswith("interrupted: the start goes on. ")
    assert standings(user) == ["coming"] * 3

    assert user.distcomp("nodes", "stop").stdout == "node[1-3]: ended\n"

    assert standings(user) == ["ended"] * 3
    assert [user.left_on(node) for node in user.nodes] == [[], [], []]
    assert not any(node.processes("sleep 1000") for node in user.nodes)
    wait_until(lambda: not user.home.processes("nodes attend"), "nobody attends to nodes any more")


def test_a_run_says_of_nodes_that_they_are_still_coming(user: User) -> None:
    interrupted_start(user)
    user.write("one.txt", "node1\n")
    user.tasks("hostname")
    run = user.start("run", "tasks.txt", "--hosts", "one.txt")
    wait_until(lambda: "  node1 still coming" in user.said(), "it says so")
    user.distcomp("nodes", "stop")
    wait_until(lambda: run not in user.home.processes(), "nobody is left to work for it", SOON_S)


@pytest.mark.timeout(200)
def test_a_run_that_is_interrupted_while_nodes_are_got_ready_leaves_nothing_and_goes_on(user: User) -> None:
    user.write("setup.sh", f"test -e {FOLDER}/go || exec sleep 1000\n")
    user.tasks("hostname")
    command = ("run", "tasks.txt", "--hosts", "hosts.txt", "--setup", "setup.sh")
    run = user.start(*command)
    wait_until(lambda: all(node.processes("sleep 1000") for node in user.nodes), "the nodes are got ready", SOON_S)
    user.home.kill(run, "INT")
    wait_until(lambda: run not in user.home.processes(), "it ends", SOON_S)
    assert [user.left_on(node) for node in user.nodes] == [[], [], []]

    for node in user.nodes:
        node.run("touch", f"{FOLDER}/go")
    assert "1 finished" in user.distcomp(*command).stdout
    assert [user.left_on(node) for node in user.nodes] == [[], [], []]


def test_nothing_is_left_on_nodes_that_are_left_out(user: User) -> None:
    user.write("setup.sh", "test $(hostname) != node2\n")
    user.tasks("hostname")
    wishes = ("--setup", "setup.sh", "--need-command", "test $(hostname) != node3")
    said = user.distcomp("run", "tasks.txt", "--hosts", "hosts.txt", *wishes).stderr
    assert "node2 left out: the set-up script failed (exit code 1)\n" in said
    assert "node3 left out: `test $(hostname) != node3` fails there" in said
    assert [user.left_on(node) for node in user.nodes] == [[], [], []]


def test_who_has_ended_is_not_asked_to_end_again(user: User) -> None:
    """A start of one node does not reach others, that may be gone by now."""
    user.distcomp("nodes", "start", "--hosts", "hosts.txt")
    user.distcomp("nodes", "stop")
    wait_until(lambda: not user.home.processes("nodes attend"), "nobody attends to nodes any more")
    user.cluster["node3"].drop()

    assert user.distcomp("nodes", "start", "node1").stdout == "node1: working\n"

    assert standings(user) == ["working", "ended", "ended"]
    user.distcomp("nodes", "stop", "node1")
    wait_until(lambda: not user.home.processes("nodes attend"), "nobody attends to nodes any more", timeout_s=8)
    assert standings(user) == ["ended", "ended", "ended"]
