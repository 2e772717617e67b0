"""MooseFS on the hosts of a cluster: its master on node0, a chunkserver on each other, mounted on all of them."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

from tests.support.cluster import Cluster, Node
from tests.support.waiting import wait_until

MOUNT = "/mnt/mfs"
# The master alone keeps half a gigabyte.
MEMORY = "1200M"
_EXPORTS = "* / rw,alldirs,admin,maproot=0:0\n* . rw\n"
_CHUNKSERVER = "MASTER_HOST = node0\nHDD_LEAVE_SPACE_DEFAULT = 64MiB\nMASTER_RECONNECTION_DELAY = 1\n"


def start_moosefs(cluster: Cluster) -> None:
    """Start it, and wait until every host can write there. A reset of the cluster ends it."""
    master, *servers = cluster.nodes
    for node in cluster.nodes:
        node.fault("memory", MEMORY)
    _start_master(master)
    with ThreadPoolExecutor() as pool:
        list(pool.map(_start_server, servers))
        list(pool.map(_mount, cluster.nodes))
    wait_until(lambda: _can_write(master), "MooseFS has chunkservers enough to write to")


def stop_moosefs(cluster: Cluster) -> None:
    """End it, and give the hosts the memory that they had."""
    for node in cluster.nodes:
        node.run("umount", "-l", MOUNT, exit_code=None)
    cluster.reset()
    for node in cluster.nodes:
        node.fault("memory", cluster.memory)


def _start_master(node: Node) -> None:
    node.put("/etc/mfs/mfsmaster.cfg", "")
    node.put("/etc/mfs/mfsexports.cfg", _EXPORTS)
    node.put("/etc/mfs/mfstopology.cfg", "10.10.1.0/24 1\n")
    node.run("sh", "-c", "rm -rf /var/lib/mfs/*.mfs; cp /var/lib/mfs/metadata.mfs.empty /var/lib/mfs/metadata.mfs")
    node.run("sh", "-c", "mkdir -p /run/mfs && chown -R mfs: /var/lib/mfs /run/mfs")
    node.run("mfsmaster", "start")


def _start_server(node: Node) -> None:
    node.put("/etc/mfs/mfschunkserver.cfg", _CHUNKSERVER)
    node.put("/etc/mfs/mfshdd.cfg", "/var/tmp/chunks\n")
    node.run("sh", "-c", "rm -rf /var/tmp/chunks; mkdir -p /var/tmp/chunks /run/mfs /var/lib/mfs")
    node.run("chown", "-R", "mfs:", "/var/tmp/chunks", "/run/mfs", "/var/lib/mfs")
    node.run("mfschunkserver", "start")


def _mount(node: Node) -> None:
    node.run("mkdir", "-p", MOUNT)
    node.run("mfsmount", MOUNT, "-H", "node0", "-o", "mfsioretries=5")


def _can_write(node: Node) -> bool:
    done = node.run("sh", "-c", f"echo 1 > {MOUNT}/probe && cat {MOUNT}/probe", exit_code=None)
    return done.stdout == "1\n"
