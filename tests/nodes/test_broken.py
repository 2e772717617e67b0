"""Networks, nodes and commands that break while tasks run: each is seen to, and each task has one end."""

from __future__ import annotations

import pytest

from tests.nodes.conftest import FOLDER, User
from tests.support.waiting import wait_until

SOON_S = 60
# By default a silent host is given up after 9 s, and a connection after 10.
IMPATIENT = 'ssh = "ssh -o ServerAliveInterval=1 -o ConnectTimeout=2"\n'


def phase(user: User, node: str) -> str:
    return next((row["phase"] for row in user.json("nodes", "status") if row["node"] == node), "")


def start_run_at_work(user: User, tasks: int, task_s: float = 0.5) -> int:
    """A run on all hosts, some of whose tasks have finished and most of whose have not: its pid."""
    user.tasks(*(f"sleep {task_s}; echo {number}" for number in range(tasks)))
    run = user.start("run", "tasks.txt", "--hosts", "hosts.txt")
    wait_until(lambda: user.counts()["finished"] > 3, "work goes on", SOON_S)
    return run


@pytest.mark.timeout(200)
def test_a_node_that_was_cut_off_works_again_when_it_is_back(user: User) -> None:
    user.write("distcomp.toml", IMPATIENT)
    user.distcomp("nodes", "start", "--hosts", "hosts.txt")
    user.tasks(*(f"sleep 1; echo {number}" for number in range(60)))
    user.distcomp("submit", "tasks.txt")
    node = user.cluster["node2"]
    wait_until(lambda: user.counts()["finished"] > 3, "work goes on")

    node.drop()
    wait_until(lambda: phase(user, "node2") == "away", "it is noticed", SOON_S)
    assert "the connection broke" in user.distcomp("nodes", "status").stdout
    node.heal()
    wait_until(lambda: phase(user, "node2") == "working", "it is back", SOON_S)

    wait_until(lambda: user.counts()["finished"] == 60, "each task has its end", SOON_S)
    assert user.distcomp("nodes", "stop").stdout == "node[1-3]: ended\n"
    assert [user.left_on(node) for node in user.nodes] == [[], [], []]


@pytest.mark.timeout(200)
def test_a_node_that_crashed_gets_a_new_worker_when_it_is_up_again(user: User) -> None:
    user.write("distcomp.toml", IMPATIENT)
    user.distcomp("nodes", "start", "--hosts", "hosts.txt")
    node = user.cluster["node3"]

    node.crash()
    wait_until(lambda: phase(user, "node3") == "away", "it is noticed", SOON_S)
    node.boot()
    wait_until(lambda: phase(user, "node3") == "working", "it is back", SOON_S)

    assert len(node.processes(" worker --node")) == 1
    user.distcomp("nodes", "stop")


def test_a_worker_that_is_killed_is_started_again(user: User) -> None:
    user.distcomp("nodes", "start", "--hosts", "hosts.txt")
    node = user.cluster["node1"]
    (before,) = node.processes(" worker --node")

    node.kill(before)

    def others() -> set[int]:
        return set(node.processes(" worker --node")) - {before}

    wait_until(others, "another one has its place")
    user.distcomp("nodes", "stop")


@pytest.mark.timeout(200)
def test_a_run_that_was_killed_goes_on_with_the_same_command(user: User) -> None:
    """Its workers keep what they have done until somebody comes for it."""
    run = start_run_at_work(user, 60)

    user.home.kill(run)
    wait_until(lambda: not user.home.processes(" -R "), "its ways to the nodes are gone")
    done = user.distcomp("run", "tasks.txt", "--hosts", "hosts.txt")

    assert "60 finished" in done.stdout
    assert [user.left_on(node) for node in user.nodes] == [[], [], []]


@pytest.mark.timeout(200)
def test_workers_that_nobody_comes_back_for_leave_and_lose_nothing(user: User) -> None:
    user.write("distcomp.toml", 'abandon_after = "2s"\n')
    run = start_run_at_work(user, 60)

    user.home.kill(run)

    wait_until(lambda: not any(n.processes(" worker --node") for n in user.nodes), "the workers leave", SOON_S)
    assert "60 finished" in user.distcomp("run", "tasks.txt", "--hosts", "hosts.txt").stdout


def test_ctrl_c_while_nodes_are_got_ready_ends_the_run_soon(user: User) -> None:
    user.write("setup.sh", "touch began; exec sleep 50\n")
    user.tasks("hostname")
    run = user.start("run", "tasks.txt", "--hosts", "hosts.txt", "--setup", "setup.sh")
    wait_until(lambda: all(node.processes("sleep 50") for node in user.nodes), "the script runs", SOON_S)

    user.home.kill(run, "INT")

    wait_until(lambda: run not in user.home.processes(), "it ends")
    assert "interrupted: the same command goes on from here" in user.said()
    wait_until(lambda: not any(node.processes("sleep 50") for node in user.nodes), "the script ends there, too")


def test_ctrl_c_ends_what_is_asked_of_nodes(user: User) -> None:
    """Soon, and without a word too many; also while others wait for their turn. Nothing of it goes on there."""
    user.write("distcomp.toml", "connections = 2\n")
    script = "setsid sleep 30 & sleep 30"
    command = ("distcomp", "-C", FOLDER, "nodes", "exec", "--hosts", "hosts.txt", "--", script)
    # Who is started in the background ignores it otherwise.
    asking = user.home.start("env", "--default-signal=INT", *command, log=f"{FOLDER}/said")
    wait_until(lambda: sum(bool(node.processes("sleep 30")) for node in user.nodes) == 2, "two nodes are at it")

    user.home.kill(asking, "INT")

    wait_until(lambda: asking not in user.home.processes(), "it ends", timeout_s=10)
    wait_until(lambda: not user.home.processes("ssh "), "nothing is left here", timeout_s=10)
    wait_until(lambda: not any(node.processes("sleep 30") for node in user.nodes), "nothing is left there", timeout_s=5)
    assert user.said() == ""


@pytest.mark.parametrize("signal", ["KILL", "HUP"])
def test_what_is_asked_of_nodes_ends_there_when_nobody_waits_for_it_any_more(user: User, signal: str) -> None:
    command = ("distcomp", "-C", FOLDER, "nodes", "check", "--hosts", "hosts.txt", "--need-command", "sleep 30")
    # Whoever is started for good ignores it otherwise.
    asking = user.home.start("env", "--default-signal=HUP", *command, log=f"{FOLDER}/said")
    wait_until(lambda: all(node.processes("sleep 30") for node in user.nodes), "the nodes are at it")

    user.home.kill(asking, signal)

    wait_until(lambda: not any(node.processes("sleep 30") for node in user.nodes), "nothing is left there", timeout_s=5)


def test_ctrl_c_ends_a_run_when_what_runs_has_ended(user: User) -> None:
    run = start_run_at_work(user, 200)

    user.home.kill(run, "INT")
    wait_until(lambda: run not in user.home.processes(), "it ends", SOON_S)

    assert "interrupted: the same command goes on from here" in user.said()
    assert user.json("status")["counts"]["running"] == 0
    assert [user.left_on(node) for node in user.nodes] == [[], [], []]


@pytest.mark.timeout(200)
def test_a_terminal_that_is_closed_ends_the_run_and_its_workers_and_the_same_command_goes_on(user: User) -> None:
    """What runs goes back: nobody is there to wait for it."""
    run = start_run_at_work(user, 40)

    user.home.kill(run, "HUP")
    wait_until(lambda: run not in user.home.processes(), "it ends", SOON_S)

    assert [user.left_on(node) for node in user.nodes] == [[], [], []]
    assert user.json("status")["counts"]["running"] == 0
    assert "40 finished" in user.distcomp("run", "tasks.txt", "--hosts", "hosts.txt").stdout


@pytest.mark.timeout(200)
def test_a_node_whose_sshd_is_down_when_a_run_ends_is_left_clean_too(user: User) -> None:
    """Nobody can log in to stop its worker. The connection that stands does."""
    run = start_run_at_work(user, 60, task_s=0.3)
    node = user.cluster["node1"]

    node.fault("sshdown")
    wait_until(lambda: run not in user.home.processes(), "it ends", SOON_S)

    assert "60 finished" in user.said()
    wait_until(lambda: not any(map(user.left_on, user.nodes)), "nothing is left there", SOON_S)
