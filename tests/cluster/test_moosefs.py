"""A project on MooseFS, mounted on all nodes: nothing is copied, and it is said which nodes have a task's data."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator

import pytest

from tests.support.cluster import Cluster, Node
from tests.support.cluster.moosefs import MOUNT, start_moosefs, stop_moosefs
from tests.support.needs import needs_moosefs

pytestmark = needs_moosefs
FOLDER = f"{MOUNT}/job"


@pytest.fixture
def user(cluster: Cluster) -> Iterator[Node]:
    start_moosefs(cluster)
    yield cluster["node0"]
    stop_moosefs(cluster)


def test_tasks_work_on_files_that_all_nodes_have_and_explain_says_where_they_lie(user: Node) -> None:
    user.put(f"{FOLDER}/hosts.txt", "node[1-3]\n")
    user.run("sh", "-c", f"mkdir {FOLDER}/out && cd {FOLDER} && seq 100000 > numbers && mfssetgoal 2 numbers")
    user.put(
        f"{FOLDER}/tasks.txt", "".join(f"shell:0:0:0:tail -n {n} numbers > out/{n}; hostname\n" for n in range(1, 31))
    )

    done = distcomp(user, "run", "tasks.txt", "--hosts", f"{FOLDER}/hosts.txt", "--outputs", "out/*")

    assert "30 finished" in done
    assert "collected" not in done
    assert user.run("sh", "-c", f"cat {FOLDER}/out/* | wc -l").stdout == "465\n"
    (task, *_) = json.loads(distcomp(user, "tasks", "--json"))
    explained = json.loads(distcomp(user, "explain", task["task_id"], "--json"))
    numbers, _ = explained["files"]
    addresses = re.findall(r"copy \d+: ([0-9.]+):", user.run("mfsfileinfo", f"{FOLDER}/numbers").stdout)
    holders = {f"node{int(address.rpartition('.')[2]) - 1}": 1 for address in addresses}
    assert numbers == {"file": f"{FOLDER}/numbers", "chunks": 1, "nodes": holders}
    assert len(holders) == 2
    assert f"{FOLDER}/numbers  {', '.join(sorted(holders))}" in distcomp(user, "explain", task["task_id"])


def distcomp(user: Node, *arguments: str) -> str:
    done = user.run("distcomp", "-C", FOLDER, *arguments)
    return done.stdout + done.stderr
