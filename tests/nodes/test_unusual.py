"""Nodes as they come: other users, login shells that talk, long paths, no room. It works, or the outcome is clear."""

from __future__ import annotations

import platform
import shutil

import pytest

from distcomp.nodes.aboard.facts import glibc
from distcomp.nodes.foreign import Target, fetch
from tests.nodes.conftest import FOLDER, PLAIN_HOME, User
from tests.support.cluster import Node
from tests.support.pythons import another_python_on
from tests.support.waiting import wait_until

PROJECTS = "/root/.local/share/distcomp/projects"


def as_plain_user(user: User) -> tuple[Node, Node]:
    user.write("hosts.txt", "user@node[1-2]\n")
    return user.cluster["node1"], user.cluster["node2"]


def test_a_plain_user_whose_login_shell_talks_and_whose_home_lies_deep(user: User) -> None:
    """Sockets' names are short, so the socket is elsewhere then; what a shell prints is no answer of ours."""
    nodes = as_plain_user(user)
    for node in nodes:
        node.put(f"{PLAIN_HOME}/.bashrc", "echo Welcome to $(hostname)\n")
    deep = f"{PLAIN_HOME}/{'deep/' * 18}distcomp"
    user.write("distcomp.toml", f'node_folder = "{deep}"\n')
    user.tasks("id -un; sleep 0.3", "hostname; sleep 0.3")

    done = user.distcomp("run", "tasks.txt", "--hosts", "hosts.txt", "--send", "tasks.txt")

    assert "2 finished" in done.stdout
    (task, *_) = [row["task_id"] for row in user.json("tasks")]
    assert user.distcomp("logs", task).stdout == "user\n"
    for node in nodes:
        assert node.processes("distcomp") == {}
        assert node.run("find", "/tmp", "-xdev", "-name", "distcomp-*").stdout == ""
        node.run("rm", "-rf", f"{PLAIN_HOME}/deep")


def test_a_python_task_runs_where_the_python_of_the_submitter_is_not(user: User) -> None:
    """Here it is one below /root, which a plain user there cannot look into."""
    as_plain_user(user)
    user.write("where.py", "import sys\nprint(sys.executable)\n")
    user.write("tasks.txt", "python:0:0:0:where.py\n")
    done = user.distcomp("run", "tasks.txt", "--hosts", "hosts.txt", "--send", "where.py")
    assert "1 finished" in done.stdout


def test_a_node_whose_home_may_not_be_written_is_left_out(user: User) -> None:
    first, _ = as_plain_user(user)
    first.run("sh", "-c", f"mkdir {PLAIN_HOME}/.local && chown root {PLAIN_HOME}/.local")
    user.tasks("hostname")
    done = user.distcomp("run", "tasks.txt", "--hosts", "hosts.txt", "--send", "tasks.txt")
    assert f"node1 left out: {PLAIN_HOME}/.local/share: Permission denied" in done.stderr
    assert "or name a folder elsewhere in the setting `node_folder`" in done.stderr
    assert "1 finished" in done.stdout


def test_a_node_without_disk_is_left_out(user: User) -> None:
    node = user.cluster["node1"]
    node.fault("fill")
    user.tasks("hostname")
    done = user.distcomp("run", "tasks.txt", "--hosts", "hosts.txt")
    node.fault("unfill")
    assert "node1 left out: it has only" in done.stderr
    assert "1 finished" in done.stdout


def test_a_python_that_is_too_old_or_missing_is_said(user: User) -> None:
    user.write("distcomp.toml", 'node_python = "python3.10"\n')
    user.tasks("hostname")
    done = user.distcomp("run", "tasks.txt", "--hosts", "hosts.txt", exit_code=1)
    assert "node[1-3] left out: python3.10 is no Python 3.11 or newer" in done.stderr


def test_a_node_with_another_python_works_with_what_is_fetched_here(user: User) -> None:
    """By pip, wherever that finds it: neither the nodes nor the user's host have a way to the internet here."""
    user.write("hosts.txt", "node1\n")
    user.tasks("hostname")
    wheels = user.cluster.shared / "wheels"
    shutil.rmtree(wheels, ignore_errors=True)
    wheels.mkdir()
    pip = ("env", "PIP_NO_INDEX=1", "PIP_FIND_LINKS=/shared/wheels")
    run = ("distcomp", "-C", FOLDER, "run", "tasks.txt", "--hosts", "hosts.txt")
    with another_python_on(user.cluster["node1"]) as version:
        name = ".".join(map(str, version[:2]))

        without = user.home.run(*pip, *run, exit_code=1)
        fetch(Target(version, platform.machine(), tuple(glibc())), wheels)
        done = user.home.run(*pip, *run)

    assert f"node1 left out: it has Python {name} on " in without.stderr
    assert "pip cannot fetch what that needs" in without.stderr
    assert "1 finished" in done.stdout
    assert user.left_on(user.cluster["node1"]) == []


@pytest.mark.parametrize(("tls", "url"), [("no", "redis://"), ("yes", "rediss://")])
def test_nodes_may_reach_the_store_over_the_network(user: User, tls: str, url: str) -> None:
    """Then no way through ssh is held, and the workers have an account of their own; and the certificate, with TLS."""
    user.tasks(f"until test -e {FOLDER}/go; do sleep 0.1; done")
    user.write("distcomp.toml", f'listen_tls = "{tls}"\n')
    user.distcomp("nodes", "start", "--hosts", "hosts.txt", "--listen", user.home.address)
    user.distcomp("submit", "tasks.txt")
    wait_until(lambda: user.counts()["running"] == 1, "the task runs")

    assert user.home.processes(" -R ") == {}
    for node in user.nodes:
        assert f"{url}worker-job@10.10.1.1:6379/0?" in node.run("sh", "-c", f"cat {PROJECTS}/*/*.toml").stdout
        node.run("touch", f"{FOLDER}/go")
    wait_until(lambda: user.counts()["finished"] == 1, "its end is reported")
    assert user.distcomp("nodes", "stop").stdout == "node[1-3]: ended\n"
    assert [user.left_on(node) for node in user.nodes] == [[], [], []]


def test_a_frozen_node_holds_nobody_up_for_long(user: User) -> None:
    node = user.cluster["node1"]
    user.write("distcomp.toml", 'ssh = "ssh -o ConnectTimeout=3"\n')
    node.freeze()
    user.tasks("hostname")
    done = user.distcomp("run", "tasks.txt", "--hosts", "hosts.txt")
    node.thaw()
    assert "node1 left out: no answer" in done.stderr
    assert "1 finished" in done.stdout


def test_two_projects_share_nodes_and_do_not_know_each_other(user: User) -> None:
    other = f"{FOLDER}/other"
    for node in user.cluster.nodes:
        node.run("mkdir", "-p", f"{other}/.distcomp")
    user.write("other/hosts.txt", "node[1-3]\n")
    user.distcomp("nodes", "start", "--hosts", "hosts.txt")
    user.distcomp("nodes", "start", "--hosts", "hosts.txt", folder=other)
    assert [len(node.processes(" worker --node")) for node in user.nodes] == [2, 2, 2]

    user.distcomp("nodes", "stop", folder=other)
    assert [len(node.processes(" worker --node")) for node in user.nodes] == [1, 1, 1]
    user.distcomp("nodes", "stop")
    assert [user.left_on(node) for node in user.nodes] == [[], [], []]


def test_the_password_is_in_a_private_file_and_on_no_command_line(user: User) -> None:
    user.distcomp("nodes", "start", "--hosts", "hosts.txt")
    (secret,) = user.home.lines(f"{FOLDER}/.distcomp/secret")
    for node in user.nodes:
        assert node.run("sh", "-c", f"stat -c %a {PROJECTS}/*/password").stdout == "600\n"
        assert node.run("sh", "-c", f"cat {PROJECTS}/*/password").stdout == secret
    for node in user.cluster.nodes:
        assert secret not in node.command_lines_and_environments()
    user.distcomp("nodes", "stop")
