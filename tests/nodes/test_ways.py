"""Ways to nodes and to the store as users have them: jump hosts, and a store of their own."""

from __future__ import annotations

import shlex
from itertools import accumulate

from tests.nodes.conftest import FOLDER, User
from tests.support.cluster.field import PASSWORD, PORT, Store
from tests.support.waiting import wait_until

JUMP = "Host node2 node3\n  ProxyJump node1\n"


def test_nodes_behind_a_jump_host_of_the_users_configuration(user: User) -> None:
    """Packets from the user's host reach them by no other way, and theirs do not reach it."""
    user.home.put("/root/.ssh/config", JUMP, mode=0o600)
    for node in ("node2", "node3"):
        user.cluster[node].fault("part", "node0")
    user.write("hosts.txt", "node[2-3]\n")
    user.tasks(*(f"hostname; sleep 1; echo {number}" for number in range(12)))

    done = user.distcomp("run", "tasks.txt", "--hosts", "hosts.txt", "--max-tasks", "2")

    assert "12 finished" in done.stdout
    assert set(user.ran_on()) == {"node2", "node3"}
    (task, *_) = [row["task_id"] for row in user.json("tasks")]
    assert user.distcomp("logs", task).stdout.startswith("node")
    user.home.run("rm", "/root/.ssh/config")
    assert [user.left_on(node) for node in user.nodes] == [[], [], []]


def test_a_key_that_only_the_users_agent_has(user: User) -> None:
    """It is in no file: without the agent nobody is let in, and it is said what is missing."""
    command = ("distcomp", "-C", FOLDER, "nodes", "exec", "--hosts", "hosts.txt", "--", "true")
    script = (
        "cd /root/.ssh && eval $(ssh-agent) >/dev/null && ssh-add -q id_ed25519 && mkdir -p /run/away &&"
        " mv id_* /run/away;"
        f" {shlex.join(command)}; unset SSH_AUTH_SOCK; {shlex.join(command)}; mv /run/away/id_* . ; kill $SSH_AGENT_PID"
    )
    said = user.home.run("bash", "-c", script).stdout
    assert said.startswith("node[1-3]: ok\nnode[1-3]: it does not let us in (")
    assert "an agent (ssh-add)" in said


def test_a_store_of_the_users_own_is_reached_by_nodes_themselves(user: User) -> None:
    """A server on node3, with a password in a file: no way through ssh is held, and the nodes get the password."""
    Store(user.cluster["node3"], "everysec").close()
    user.home.put(f"{FOLDER}/password", PASSWORD, mode=0o600)
    user.write("distcomp.toml", f'store = "redis://node3:{PORT}/?password_file={FOLDER}/password"\n')
    user.write("hosts.txt", "node[1-2]\n")
    user.tasks(*(f"until test -e {FOLDER}/go; do sleep 0.1; done; echo {number}" for number in range(6)))
    user.start("run", "tasks.txt", "--hosts", "hosts.txt", "--max-tasks", "3")
    workers = user.nodes[:2]
    wait_until(lambda: all(node.processes("until test") for node in workers), "both nodes are at work")

    assert user.home.processes(" -R ") == {}
    assert user.home.processes("distcomp-store") == {}
    for node in (user.home, *workers):
        assert PASSWORD not in node.command_lines_and_environments()
        node.run("touch", f"{FOLDER}/go")

    wait_until(lambda: "6 finished" in user.said(), "the run ends")
    assert [user.left_on(node) for node in workers] == [[], []]


COUNTING_SSH = """#!/bin/sh
# Notes when it begins and ends. A way to the store stays, and is one for each node whatever the setting says.
case "$*" in *ControlMaster=no* | *"-O exit"*) exec ssh "$@" ;; esac
echo 1 >>/tmp/at-once
ssh "$@"
code=$?
echo -1 >>/tmp/at-once
exit $code
"""


def most_at_once(user: User) -> int:
    """Since the last time."""
    most = max(accumulate(map(int, user.home.lines("/tmp/at-once"))))
    user.home.run("rm", "/tmp/at-once")
    return most


def test_no_more_nodes_are_reached_at_once_than_the_user_has_set(user: User) -> None:
    """By commands that look, by a run that gets nodes ready and ends them, and by a stop."""
    user.home.put("/tmp/ssh", COUNTING_SSH, mode=0o755)
    user.write("distcomp.toml", 'ssh = "/tmp/ssh"\nconnections = 2\n')
    user.distcomp("nodes", "exec", "--hosts", "hosts.txt", "--", "sleep 0.3")
    assert most_at_once(user) == 2

    user.tasks("hostname")
    assert "1 finished" in user.distcomp("run", "tasks.txt", "--hosts", "hosts.txt").stdout
    assert most_at_once(user) == 2

    assert user.distcomp("nodes", "start", "--hosts", "hosts.txt").stdout == "node[1-3]: working\n"
    assert user.distcomp("nodes", "stop").stdout == "node[1-3]: ended\n"
    assert most_at_once(user) == 2
