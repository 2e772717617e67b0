"""A user with a host file and keys: one command, from nothing to results, and nothing is left on the nodes."""

from __future__ import annotations

from tests.nodes.conftest import FOLDER, User


def test_one_command_runs_the_tasks_on_all_nodes_and_leaves_nothing_there(user: User) -> None:
    # More than the node that is ready first can do before the last one is.
    user.tasks(*(f"hostname; sleep 0.5; echo {number}" for number in range(60)))

    done = user.distcomp("run", "tasks.txt", "--hosts", "hosts.txt")

    assert "60 finished" in done.stdout
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


def test_a_directory_that_is_not_on_the_nodes_is_sent_there(user: User) -> None:
    private = f"{FOLDER}/private"
    user.home.put(f"{private}/sim", "#!/bin/sh\ncat data/x; hostname\n", mode=0o755)
    user.write("private/data/x", "hello\n")
    user.write("private/tasks.txt", "".join(f"shell:0:0:0:./sim {number}\n" for number in range(9)))
    user.write("private/hosts.txt", "node[1-2]\n")

    left_out = user.distcomp("run", "tasks.txt", "--hosts", "hosts.txt", folder=private, exit_code=1)
    assert f"node[1-2] left out: {private} is not there" in left_out.stderr
    assert "--send . sends the directory there." in left_out.stderr

    done = user.distcomp("run", "tasks.txt", "--hosts", "hosts.txt", "--send", ".", folder=private)
    assert "9 finished" in done.stdout


def test_a_node_that_is_unlike_the_others_is_left_out(user: User) -> None:
    user.cluster["node2"].put(f"{FOLDER}/version", "2.0\n")
    for name in ("node1", "node3"):
        user.cluster[name].put(f"{FOLDER}/version", "1.0\n")
    user.tasks("hostname")

    done = user.distcomp("run", "tasks.txt", "--hosts", "hosts.txt", "--need-command", "cat version")

    assert "node2 left out: `cat version` says '2.0' there, '1.0' elsewhere" in done.stderr


def test_a_script_of_preparation_is_run_once_on_each_node(user: User) -> None:
    user.write("setup.sh", "echo ran >> /opt/job/ran\n")
    user.tasks("cat ran")
    for _ in range(2):
        user.distcomp("run", "tasks.txt", "--hosts", "hosts.txt", "--setup", "setup.sh", "--rerun")
    assert [node.lines(f"{FOLDER}/ran") for node in user.nodes] == [["ran"]] * 3


def test_a_script_of_preparation_that_fails_leaves_the_node_out(user: User) -> None:
    user.write("setup.sh", "test $(hostname) = node1 || { echo no licence here; exit 3; }\n")
    user.tasks("hostname")
    done = user.distcomp("run", "tasks.txt", "--hosts", "hosts.txt", "--setup", "setup.sh")
    assert "node[2-3] left out: the set-up script failed (exit code 3):" in done.stderr
    assert "no licence here" in done.stderr
