"""Nodes that are lent until a certain time."""

from __future__ import annotations

from tests.nodes.conftest import User
from tests.support.waiting import wait_until


def test_workers_are_gone_in_time_and_what_would_last_longer_goes_back(user: User) -> None:
    """The long task is given back, at no charge, and is there for the next time, with all that was not begun."""
    user.tasks("sleep 600", *(f"sleep 0.5; echo {number}" for number in range(1000)))

    done = user.distcomp("run", "tasks.txt", "--hosts", "hosts.txt", "--until", "10s", exit_code=1)

    assert "the nodes have left, as their time is over: the same command goes on from here" in done.stdout
    assert [user.left_on(node) for node in user.nodes] == [[], [], []]
    status = user.json("status")
    assert status["counts"]["running"] == status["counts"]["failed"] == 0
    assert 0 < status["counts"]["finished"] < 1000
    assert status["attempts"].keys() == {"finished", "drained"}


def test_workers_that_go_on_by_themselves_leave_in_time_and_nobody_waits_for_them(user: User) -> None:
    user.tasks("sleep 600")
    user.distcomp("submit", "tasks.txt")
    user.distcomp("nodes", "start", "--hosts", "hosts.txt", "--until", "8s")

    wait_until(lambda: not user.home.processes("nodes attend"), "nobody attends to nodes any more")

    assert {row["phase"] for row in user.json("nodes", "status")} == {"ended"}
    assert [user.left_on(node) for node in user.nodes] == [[], [], []]
    assert user.json("status")["counts"]["todo"] == 1
