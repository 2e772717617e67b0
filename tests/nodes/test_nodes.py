"""`distcomp nodes`: workers that go on by themselves, and what is known of the machines they are on."""

from __future__ import annotations

import json

from tests.nodes.conftest import FOLDER, User
from tests.support.waiting import wait_until

ATTEND = "nodes attend"


def test_workers_are_started_work_and_are_stopped(user: User) -> None:
    """Each command comes to its end; the workers go on in between, with nobody logged in."""
    started = user.distcomp("nodes", "start", "--hosts", "hosts.txt")
    assert started.stdout == "node[1-3]: working\n"
    assert [len(node.processes(" worker --node")) for node in user.nodes] == [1, 1, 1]

    user.tasks(*(f"echo {number}" for number in range(30)))
    user.distcomp("submit", "tasks.txt")
    wait_until(lambda: user.counts()["finished"] == 30, "the workers run what was submitted")

    assert user.distcomp("nodes", "stop").stdout == "node[1-3]: ended\n"
    assert [user.left_on(node) for node in user.nodes] == [[], [], []]
    wait_until(lambda: not user.home.processes(ATTEND), "nobody attends to nodes any more")


def test_a_second_start_changes_nothing_and_one_node_can_be_stopped_alone(user: User) -> None:
    user.distcomp("nodes", "start", "--hosts", "hosts.txt")
    before = [list(node.processes(" worker --node")) for node in user.nodes]
    assert user.distcomp("nodes", "start").stdout == "node[1-3]: working\n"
    assert [list(node.processes(" worker --node")) for node in user.nodes] == before

    assert user.distcomp("nodes", "stop", "node2").stdout == "node2: ended\n"
    assert [len(node.processes(" worker --node")) for node in user.nodes] == [1, 0, 1]
    user.distcomp("nodes", "stop")


def test_a_run_uses_the_workers_that_are_there(user: User) -> None:
    user.write("two.txt", "node[1-2]\n")
    user.distcomp("nodes", "start", "--hosts", "two.txt")
    user.tasks("sleep 2; hostname")
    done = user.distcomp("run", "tasks.txt", "--hosts", "hosts.txt")
    assert "the workers that `distcomp nodes start` started do the work" in done.stderr
    assert "node3 not among them" in done.stderr
    assert "1 finished" in done.stdout
    assert len(user.cluster["node1"].processes(" worker --node")) == 1
    user.distcomp("nodes", "stop")


def test_nodes_that_a_run_works_with_are_left_to_it(user: User) -> None:
    user.tasks(f"until test -e {FOLDER}/go; do sleep 0.1; done")
    run = user.start("run", "tasks.txt", "--hosts", "hosts.txt")
    wait_until(lambda: any(node.processes("until test") for node in user.nodes), "the task runs", 60)
    done = user.distcomp("nodes", "start", exit_code=5)
    assert "The nodes are attended to by `distcomp run` (pid " in done.stderr
    for node in user.nodes:
        node.run("touch", f"{FOLDER}/go")
    wait_until(lambda: run not in user.home.processes(), "the run ends")


def test_a_drain_waits_for_what_runs_and_a_stop_gives_it_back(user: User) -> None:
    """A drain also does so if it is asked for again, by the same user or another one."""
    user.write("hosts.txt", "node1\n")
    user.distcomp("nodes", "start", "--hosts", "hosts.txt")
    user.tasks(f"touch {FOLDER}/began; until test -e {FOLDER}/go; do sleep 0.1; done")
    user.distcomp("submit", "tasks.txt")
    node = user.cluster["node1"]
    wait_until(lambda: user.counts()["running"] == 1, "the task runs")

    assert user.distcomp("nodes", "stop").stdout == "node1: ended\n"
    assert user.json("status")["counts"]["todo"] == 1

    user.distcomp("nodes", "start")
    wait_until(lambda: user.counts()["running"] == 1, "the task runs again")
    interrupted = user.start("nodes", "drain")
    wait_until(lambda: user.json("workers")[0]["state"] == "draining", "the worker starts nothing more")
    user.home.kill(interrupted, "TERM")
    draining = [user.start("nodes", "drain"), user.start("nodes", "drain")]
    wait_until(lambda: len(node.processes("sys.stdin.buffer")) > 2, "the drain is asked for again, and goes on")
    node.run("touch", f"{FOLDER}/go")
    wait_until(lambda: not user.home.processes().keys() & {*draining}, "the drains have come to their end")
    assert user.said().splitlines() == ["node1: ended"] * 2
    assert user.json("status")["counts"]["finished"] == 1


def test_a_check_is_a_matrix_of_nodes_and_what_was_looked_at(user: User) -> None:
    user.write("hosts.txt", "node[1-2]\n10.10.1.2\nnowhere.invalid\n")
    done = user.distcomp("nodes", "check", "--hosts", "hosts.txt", "--need-command", "hostname", exit_code=1)
    lines = [line.split() for line in done.stdout.splitlines()]
    assert lines[0] == [
        "node",
        "reach",
        "python",
        "disk",
        "memory",
        "cores",
        "clock",
        "directory",
        "distcomp",
        "hostname",
    ]
    assert ["nowhere.invalid", "no"] in lines
    assert "it is the same machine as" in done.stdout
    assert "`hostname` says" in done.stdout


def test_a_check_tells_of_clocks_that_differ_and_of_files_that_are_missing(user: User) -> None:
    """A clock keeps no node from work; a file that is needed does."""
    user.cluster["node1"].fault("skew", 3600)
    user.cluster["node2"].fault("skew", -3600)
    for node in user.nodes[:2]:
        node.put(f"{FOLDER}/traces", "")
    need = ("--hosts", "hosts.txt", "--need-file", f"{FOLDER}/traces")

    rows = user.distcomp("nodes", "check", *need, "--json", exit_code=1)

    found = {row["node"]: row for row in json.loads(rows.stdout)}
    clocks = {name: {c["check"]: c["shown"] for c in row["checks"]}["clock"] for name, row in found.items()}
    assert clocks == {"node1": "1h ahead", "node2": "1h behind", "node3": "same"}
    assert {name: row["passed"] for name, row in found.items()} == {"node1": True, "node2": True, "node3": False}
    user.tasks("hostname")
    done = user.distcomp("run", "tasks.txt", *need)
    assert f"node3 left out: {FOLDER}/traces is not there" in done.stderr
    assert "1 finished" in done.stdout


def test_a_command_runs_on_all_nodes_and_equal_outputs_are_shown_once(user: User) -> None:
    done = user.distcomp("nodes", "exec", "--hosts", "hosts.txt", "--", "pwd")
    assert done.stdout == f"node[1-3]: ok\n  {FOLDER}\n"
    done = user.distcomp("nodes", "exec", "--hosts", "hosts.txt", "--", "test $(hostname) != node2", exit_code=1)
    assert done.stdout == "node[1,3]: ok\nnode2: exit code 1\n"


def test_a_command_that_takes_too_long_is_ended_there_with_all_that_it_started(user: User) -> None:
    """In a session of its own, too, and whatever holds what it prints to."""
    command = ("--hosts", "hosts.txt", "--timeout", "1s", "--", "echo began; setsid sleep 1000 & sleep 1000 | cat")
    done = user.distcomp("nodes", "exec", *command, exit_code=1)
    assert done.stdout == (
        "node[1-3]: exit code 124\n  began\n  ended, as it took longer than 1 s (--timeout gives it more)\n"
    )
    assert [node.processes("sleep 1000") for node in user.nodes] == [{}, {}, {}]


def test_what_a_command_leaves_on_purpose_stays(user: User) -> None:
    """A daemon that holds nothing of the command's."""
    user.distcomp("nodes", "exec", "--hosts", "hosts.txt", "--", "setsid sleep 1000 >/dev/null 2>&1 &")
    left = [node.processes("sleep 1000") for node in user.nodes]
    assert [len(found) for found in left] == [1, 1, 1]
    for node, found in zip(user.nodes, left, strict=True):
        node.kill(min(found))


def test_the_log_of_a_worker_can_be_read_from_here(user: User) -> None:
    user.tasks("true")
    user.distcomp("run", "tasks.txt", "--hosts", "hosts.txt")
    assert "worker of job left node2" in user.distcomp("nodes", "logs", "node2").stdout


def test_old_versions_go_unless_a_worker_uses_them_or_they_were_used_last(user: User) -> None:
    user.write("hosts.txt", "node1\n")
    node, programs = user.cluster["node1"], "/root/.local/share/distcomp/programs"
    user.distcomp("nodes", "start", "--hosts", "hosts.txt")
    (own,) = node.lines_of("sh", "-c", "basename $(cat /root/.local/share/distcomp/projects/job-*/program)")
    node.run("rm", "-rf", *(f"{programs}/{name}" for name in node.lines_of("ls", programs) if name != own))
    for age in range(1, 6):
        node.run("mkdir", f"{programs}/0.0.{age}-00")
        node.put(f"{programs}/0.0.{age}-00/x", "x" * 1024)
        node.run("touch", "-d", f"{age} days ago", f"{programs}/0.0.{age}-00")
    # As if the worker had been started by an earlier version.
    node.run("sh", "-c", f"printf %s {programs}/0.0.4-00 > $(echo /root/.local/share/distcomp/projects/job-*/program)")
    node.run("mkdir", f"{programs}/.old-killed")

    done = user.distcomp("nodes", "install")

    assert done.stdout == f"node1: ok\n  {programs}/{own} (was there)\n  2 old versions removed, 2 KiB\n"
    assert node.lines_of("ls", "-A", programs) == ["0.0.1-00", "0.0.2-00", "0.0.4-00", own]
    user.distcomp("nodes", "stop")
    node.run("sh", "-c", f"rm -rf {programs}/0.0.*")
