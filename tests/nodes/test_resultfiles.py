"""What tasks make on nodes that share no disk comes home: of attempts that count, and of no others."""

from __future__ import annotations

import json

import pytest

from tests.nodes.conftest import FOLDER, User
from tests.support.waiting import wait_until

PRIVATE = f"{FOLDER}/private"


@pytest.fixture
def private(user: User) -> str:
    """A directory on the user's host alone, with an empty folder for results."""
    user.write("private/out/README", "results go here\n")
    user.write("private/hosts.txt", "node[1-2]\n")
    return PRIVATE


def jsonl(user: User, *tasks: dict[str, object]) -> None:
    user.write("private/tasks.jsonl", "".join(f"{json.dumps(task)}\n" for task in tasks))


def at_home(user: User, name: str) -> str:
    return "\n".join(user.home.lines(f"{PRIVATE}/{name}"))


def test_what_tasks_made_where_files_were_sent_is_brought_home(user: User, private: str) -> None:
    """What was sent and is unchanged is not; a second run brings what is new."""
    user.home.put(f"{private}/sim", "#!/bin/sh\nhostname > out/$1.txt; echo x > other\n", mode=0o755)
    user.write("private/out/sent.txt", "sent\n")
    user.write("private/tasks.txt", "".join(f"shell:0:0:0:./sim {number}; sleep 0.2\n" for number in range(9)))
    command = ("run", "tasks.txt", "--hosts", "hosts.txt", "--send", ".", "--collect", "out/*.txt")

    done = user.distcomp(*command, folder=private)

    assert "9 files collected, 54 B" in done.stderr
    assert user.home.run("sh", "-c", f"cat {private}/out/?.txt | sort -u").stdout == "node1\nnode2\n"
    assert user.home.run("ls", private).stdout.split() == ["hosts.txt", "out", "sim", "tasks.txt"]
    user.write("private/tasks.txt", "shell:0:0:0:./sim 10; sleep 0.2\n")
    assert "1 file collected" in user.distcomp(*command, folder=private).stderr


def test_files_of_an_attempt_that_failed_do_not_come_though_they_are_newer(user: User, private: str) -> None:
    """The first attempt is on one node, which is an hour ahead, the second one, which finishes, on the other."""
    script = "echo $DISTCOMP_ATTEMPT > out/x; test $DISTCOMP_ATTEMPT = 2 || { touch -d '1 hour' out/x; exit 1; }"
    jsonl(user, {"command": script, "outputs": ["out/x"]}, {"command": "hostname > out/y; hostname > out/z"})
    user.write("private/distcomp.toml", 'retry_backoff = "0s"\n')

    done = user.distcomp("run", "tasks.jsonl", "--hosts", "hosts.txt", "--send", ".", folder=private)

    assert "2 finished" in done.stdout
    assert "1 file collected, 2 B" in done.stderr
    assert at_home(user, "out/x") == "2"
    assert user.home.run("ls", f"{private}/out").stdout.split() == ["README", "x"]


def test_a_late_result_of_a_node_that_was_taken_for_dead_brings_no_files(user: User, private: str) -> None:
    """It is frozen while the task runs, which finishes on the other node meanwhile."""
    user.write("private/distcomp.toml", 'lease = "2s"\n')
    script = f"hostname > out/x; until test -e {FOLDER}/go; do sleep 0.1; done; touch -d '1 hour' out/x"
    jsonl(user, {"command": script, "outputs": ["out/*"]})
    user.write("private/first.txt", "node1\n")
    user.distcomp("nodes", "start", "--hosts", "first.txt", "--send", ".", folder=private)
    user.distcomp("submit", "tasks.jsonl", folder=private)
    wait_until(lambda: user.counts(PRIVATE)["running"] == 1, "it runs on node1")
    node = user.cluster["node1"]

    node.freeze()
    user.cluster["node2"].run("touch", f"{FOLDER}/go")
    user.distcomp("nodes", "start", "--hosts", "hosts.txt", "node2", "--send", ".", folder=private, exit_code=None)
    wait_until(lambda: user.counts(PRIVATE)["finished"] == 1, "it has finished on node2")
    node.thaw()
    node.run("touch", f"{FOLDER}/go")
    wait_until(lambda: not node.processes("until test"), "the attempt on node1 is over")

    assert user.distcomp("nodes", "collect", folder=private).stdout == "1 file collected, 6 B\n"
    assert at_home(user, "out/x") == "node2"
    user.distcomp("nodes", "stop", folder=private)


def test_files_that_changed_after_the_end_of_their_task_are_left_there_and_said(user: User, private: str) -> None:
    jsonl(user, {"command": "echo 1 > out/x; echo 1 > out/y", "outputs": ["out/?"]})
    user.write("private/hosts.txt", "node1\n")
    user.distcomp("nodes", "start", "--hosts", "hosts.txt", "--send", ".", folder=private)
    user.distcomp("submit", "tasks.jsonl", folder=private)
    wait_until(lambda: user.counts(PRIVATE)["finished"] == 1, "it has finished")
    there = "/root/.local/share/distcomp/projects/*/work/out/x"
    user.cluster["node1"].run("sh", "-c", f"for file in {there}; do echo 22 > $file; done")

    done = user.distcomp("nodes", "collect", folder=private)

    assert done.stdout == "1 file collected, 2 B\n  1 file left there: changed since the end of the task\n"
    assert user.home.run("ls", f"{private}/out").stdout.split() == ["README", "y"]
    assert user.distcomp("nodes", "collect", "out/x", folder=private).stdout == "1 file collected, 3 B\n"
    user.distcomp("nodes", "stop", folder=private)


def test_of_files_of_one_name_the_one_changed_last_is_kept_and_it_is_said(user: User, private: str) -> None:
    """Each task runs on a node of its own, and both write the same file; one here is newer than either."""
    user.write("private/distcomp.toml", "max_tasks = 1\n")
    user.write("private/out/mine", "from home\n")
    user.home.run("touch", "-d", "2 hours", f"{private}/out/mine")
    both = f"hostname > out/x; hostname > out/mine; until test -e {FOLDER}/go; do sleep 0.1; done"
    tasks: list[dict[str, object]] = [
        {"command": f"{both}; touch -d '{hours} hour' out/x", "outputs": ["out/*"]} for hours in (0, 1)
    ]
    jsonl(user, *tasks)
    user.distcomp("nodes", "start", "--hosts", "hosts.txt", "--send", ".", folder=private)
    user.distcomp("submit", "tasks.jsonl", folder=private)
    wait_until(lambda: user.counts(PRIVATE)["running"] == 2, "each node has one")
    for node in user.nodes:
        node.run("touch", f"{FOLDER}/go")
    wait_until(lambda: user.counts(PRIVATE)["finished"] == 2, "both have finished")

    said = user.distcomp("nodes", "collect", folder=private).stdout

    assert said.splitlines() == [
        "1 file collected, 12 B",
        "  1 file, out/x, came from another node too: the one changed last was kept",
        "  1 file, out/mine, kept as here, changed later than on the node: remove it to have the node's",
    ]
    assert at_home(user, "out/mine") == "from home"
    user.distcomp("nodes", "stop", folder=private)


def test_with_a_shared_directory_nothing_is_copied(user: User) -> None:
    """What a task makes is where it belongs already, and no node keeps a note of it."""
    shared = "/shared/results"
    user.home.run("rm", "-rf", shared)
    user.home.put(f"{shared}/hosts.txt", "node[1-3]\n")
    user.home.put(f"{shared}/tasks.txt", "".join(f"shell:0:0:0:hostname > out.{n}; sleep 0.2\n" for n in range(30)))

    done = user.distcomp("run", "tasks.txt", "--hosts", "hosts.txt", "--outputs", "out.*", folder=shared)

    assert "30 finished" in done.stdout
    assert "collected" not in done.stderr
    made = user.home.lines_of("sh", "-c", f"cat {shared}/out.*")
    assert len(made) == 30
    assert set(made) <= {"node1", "node2", "node3"}
    assert not any(node.lines_of("find", "/root/.local", "-name", "made.jsonl") for node in user.nodes)
