"""Nodes that are lent until a certain time."""

from __future__ import annotations

from time import monotonic

from tests.nodes.conftest import User
from tests.support.waiting import wait_until


def test_workers_are_gone_in_time_and_what_would_last_longer_goes_back(user: User) -> None:
    """Short tasks come to their end; the long one is given back, at no charge, and is there for the next time."""
    user.tasks("sleep 600", *(f"sleep 0.5; echo {number}" for number in range(200)))
    began_s = monotonic()

    done = user.distcomp("run", "tasks.txt", "--hosts", "hosts.txt", "--until", "9s", exit_code=None)

    assert monotonic() - began_s < 9 + 3
    assert done.returncode == 3, done.stderr
    print(done.stdout, done.stderr)
    assert [user.left_on(node) for node in user.nodes] == [[], [], []]
    status = user.json("status")
    assert status["counts"]["running"] == status["counts"]["failed"] == 0
    assert 0 < status["counts"]["finished"] < 200
    assert status["attempts"]["drained"] == 1
