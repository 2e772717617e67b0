"""A node that fails alone, as users see it: they are told, others do its work, and it comes back when it is mended."""

from __future__ import annotations

from tests.nodes.conftest import FOLDER, User
from tests.support.waiting import wait_until

SCRATCH = f"{FOLDER}/scratch"
NOTICE = "node1 is given no more tasks: "
WHY = "attempts in a row failed here, while other nodes did better; the last: exit code 1: "


def tasks(user: User, first: int, number: int) -> None:
    user.tasks(*(f"head -c 20000 /dev/zero > {SCRATCH}/{n} && sleep 0.3" for n in range(first, first + number)))


def test_a_node_whose_scratch_disk_is_full(user: User) -> None:
    """Its attempts fail at once, so that it would take task after task. None of them is charged for it."""
    user.write("distcomp.toml", 'lease = "2s"\nretry_backoff = "0s"\n')
    for node in user.nodes:
        node.run("mkdir", SCRATCH)
    full = user.cluster["node1"]
    full.run("mount", "-t", "tmpfs", "-o", "size=16k", "scratch", SCRATCH)
    user.distcomp("nodes", "start", "--hosts", "hosts.txt")
    tasks(user, 0, 160)

    done = user.distcomp("run", "tasks.txt", "--hosts", "hosts.txt")

    assert "160 finished" in done.stdout
    assert user.ran_on().keys() == {"node2", "node3"}
    (said,) = [line for line in done.stderr.splitlines() if NOTICE in line]
    assert WHY in said
    assert "No space left on device; `distcomp nodes clear node1` when it is mended" in said
    assert {row["node"]: row["state"] for row in user.json("workers")}["node1"] == "quarantined"

    full.run("umount", SCRATCH)
    assert user.distcomp("nodes", "clear", "node1").stdout == "1 released from quarantine\n"
    tasks(user, 160, 40)
    user.distcomp("submit", "tasks.txt")
    wait_until(lambda: user.ran_on()["node1"] > 0, "it is given tasks again")
    user.distcomp("nodes", "stop")
