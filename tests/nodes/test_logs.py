"""What tasks print on nodes is read where the user is."""

from __future__ import annotations

from tests.nodes.conftest import FOLDER, User
from tests.support.waiting import wait_until


def task_ids(user: User) -> list[str]:
    return [row["task_id"] for row in user.json("tasks")]


def test_what_tasks_printed_is_fetched_when_it_is_asked_for(user: User) -> None:
    user.tasks(*(f"echo out {number} of $(hostname); echo err {number} >&2" for number in range(12)))
    user.distcomp("run", "tasks.txt", "--hosts", "hosts.txt")
    for number, task in enumerate(task_ids(user)[:4]):
        assert user.distcomp("logs", task).stdout.startswith(f"out {number} of node")
        assert user.distcomp("logs", "--err", task).stdout == f"err {number}\n"


def test_a_large_output_is_fetched_whole(user: User) -> None:
    user.write("hosts.txt", "node1\n")
    user.tasks("seq 100000; seq 3 >&2")
    user.distcomp("run", "tasks.txt", "--hosts", "hosts.txt")
    (task,) = task_ids(user)
    assert user.distcomp("logs", task).stdout.split() == [str(number) for number in range(1, 100_001)]
    assert user.distcomp("logs", "--err", task).stdout == "1\n2\n3\n"


def test_a_running_task_is_followed_to_its_end(user: User) -> None:
    user.write("hosts.txt", "node2\n")
    user.distcomp("nodes", "start", "--hosts", "hosts.txt")
    user.tasks(f"echo begun; until test -e {FOLDER}/go; do sleep 0.1; done; echo over")
    user.distcomp("submit", "tasks.txt")
    (task,) = task_ids(user)
    follow = user.start("logs", "--follow", task)
    wait_until(lambda: user.said() == "begun", "the first line is here while the task runs")

    user.cluster["node2"].run("touch", f"{FOLDER}/go")

    wait_until(lambda: follow not in user.home.processes(), "it ends with the task")
    assert user.said() == "begun\nover"
    user.distcomp("nodes", "stop")


def test_a_node_that_cannot_be_reached_is_named(user: User) -> None:
    user.write("hosts.txt", "node1\n")
    user.tasks("echo 1")
    user.distcomp("run", "tasks.txt", "--hosts", "hosts.txt")
    user.cluster["node1"].fault("sshdown")
    done = user.distcomp("logs", task_ids(user)[0], exit_code=4)
    assert "The output is on node1: it refuses connections: no sshd." in done.stderr
    user.cluster["node1"].fault("sshup")
