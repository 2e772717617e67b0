"""A user with a host file and keys: one command, from nothing to results, and nothing is left on the nodes."""

from __future__ import annotations

from tests.nodes.conftest import User


def test_one_command_runs_the_tasks_on_all_nodes_and_leaves_nothing_there(user: User) -> None:
    user.tasks(*(f"hostname; sleep 0.2; echo {number}" for number in range(40)))

    done = user.distcomp("run", "tasks.txt", "--hosts", "hosts.txt")

    assert "40 finished" in done.stdout
    assert set(user.ran_on()) == {"node1", "node2", "node3"}
    assert [user.left_on(node) for node in user.nodes] == [[], [], []]


def test_the_same_command_again_runs_only_what_is_new(user: User) -> None:
    user.tasks("echo 1")
    user.distcomp("run", "tasks.txt", "--hosts", "hosts.txt")
    user.tasks("echo 1", "echo 2")

    done = user.distcomp("run", "tasks.txt", "--hosts", "hosts.txt")

    assert "1 new (job 2), 1 known (1 finished)" in done.stderr
    assert "2 finished" in done.stdout


def test_a_host_that_cannot_be_used_is_left_out_and_said(user: User) -> None:
    user.write("hosts.txt", "node1\nnowhere.invalid\nnode2:2222\n")
    user.tasks("hostname")

    done = user.distcomp("run", "tasks.txt", "--hosts", "hosts.txt")

    assert "1 finished" in done.stdout
    assert "nowhere.invalid left out: its name is unknown" in done.stderr
    assert "node2-2222 left out: it refuses connections: no sshd" in done.stderr


def test_without_any_node_nothing_is_run(user: User) -> None:
    user.write("hosts.txt", "nowhere.invalid\n")
    user.tasks("hostname")
    done = user.distcomp("run", "tasks.txt", "--hosts", "hosts.txt", exit_code=1)
    assert "No node can work." in done.stderr


def test_an_unknown_host_key_is_an_error_that_says_what_to_do(user: User) -> None:
    user.write("distcomp.toml", 'ssh = "ssh -o UserKnownHostsFile=/dev/null"')
    user.write("hosts.txt", "node1\n")
    user.tasks("hostname")
    done = user.distcomp("run", "tasks.txt", "--hosts", "hosts.txt", exit_code=1)
    assert "node1 left out: its host key is unknown" in done.stderr
    assert "Accept it once: ssh node1" in done.stderr
