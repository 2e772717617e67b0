"""The hosts of these tests are hosts, and their faults are faults."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.support.cluster import REPOSITORY, Cluster, Node, lacking
from tests.support.waiting import wait_until


def reaches(node: Node, other: Node) -> bool:
    knock = f"exec 3<>/dev/tcp/{other.address}/22"
    return node.run("timeout", "0.5", "bash", "-c", knock, exit_code=None).returncode == 0


def test_a_node_has_its_own_name_memory_and_files(cluster: Cluster) -> None:
    first, second = cluster["node1"], cluster["node2"]
    assert first.run("hostname").stdout == "node1\n"
    assert first.run("awk", "/MemTotal/ {print $2}", "/proc/meminfo").stdout == f"{512 * 1024}\n"
    first.put("/tmp/mine", "mine")
    assert (first.lines("/tmp/mine"), second.lines("/tmp/mine")) == (["mine"], [])
    assert first.run("ssh", "node2", "hostname").stdout == "node2\n"


def test_a_node_runs_this_distcomp(cluster: Cluster) -> None:
    """Wherever the repository and its Python are, in a clone below /tmp too."""
    where = "import distcomp; print(distcomp.__file__)"
    assert cluster["node1"].run("python", "-c", where).stdout.startswith(str(REPOSITORY))
    assert "distcomp run" in cluster["node1"].run("distcomp", "--help").stdout


def test_networks_fail_and_heal(cluster: Cluster) -> None:
    first, second, third = cluster.nodes[1:]
    first.drop()
    assert not reaches(first, second)
    first.heal()
    assert reaches(first, second)
    first.fault("part", "node2")
    assert (reaches(first, second), reaches(first, third)) == (False, True)
    first.heal()
    first.fault("delay", 100)
    started_s = time.monotonic()
    assert reaches(first, second)
    assert time.monotonic() - started_s >= 0.2
    first.heal()
    assert reaches(first, second)


def test_a_crashed_node_comes_back_with_its_disk_and_one_without_power_with_what_was_synced(cluster: Cluster) -> None:
    node = cluster["node1"]
    node.run("sh", "-c", "echo kept >/root/kept; sync; echo written >/root/written")
    node.crash()
    assert not node.is_up()
    node.boot()
    assert (node.lines("/root/kept"), node.lines("/root/written")) == (["kept"], ["written"])
    node.run("sh", "-c", "echo unsynced >/root/unsynced")
    node.lose_power()
    node.boot()
    assert (node.lines("/root/kept"), node.lines("/root/unsynced")) == (["kept"], [])


def test_a_clock_can_be_wrong(cluster: Cluster) -> None:
    node = cluster["node1"]
    node.fault("skew", 3600)
    ahead_s = int(node.run("date", "+%s").stdout) - time.time()
    assert 3590 < ahead_s < 3610


def test_a_reset_ends_what_runs_and_mends_what_is_broken(cluster: Cluster) -> None:
    cluster["node1"].start("sleep", "600", log="/tmp/log")
    cluster["node1"].drop()
    cluster["node2"].freeze()
    cluster["node3"].crash()
    cluster.reset()
    assert cluster["node1"].processes("sleep 600") == {}
    assert all(reaches(cluster["node0"], node) for node in cluster.nodes)


@pytest.mark.skipif(bool(lacking()), reason=lacking())
def test_a_killed_test_session_leaves_no_cluster() -> None:
    """However it ends: a guard of its own takes the cluster down."""
    script = (
        "import time\nfrom tests.support.cluster import running_cluster\n"
        "with running_cluster(1, '64M') as c:\n    print(c.name, flush=True)\n    time.sleep(600)\n"
    )
    process = subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE, text=True, cwd=REPOSITORY)
    assert process.stdout is not None
    name = process.stdout.readline().strip()
    traces = [Path("/tmp/distcomp-cluster") / name, Path("/sys/fs/cgroup/memory/distcomp-cluster") / name]
    assert all(trace.exists() for trace in traces)
    os.kill(process.pid, signal.SIGKILL)
    process.communicate()
    wait_until(lambda: not any(trace.exists() for trace in traces), "the guard takes the cluster down")
