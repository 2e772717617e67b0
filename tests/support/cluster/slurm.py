"""Slurm on the hosts of a cluster: its controller on node0, a slurmd on each other."""

from __future__ import annotations

import secrets

from tests.support.cluster import Cluster, Node
from tests.support.waiting import wait_until

_CONFIG = """
ClusterName=tests
SlurmctldHost=node0
SlurmUser=root
AuthType=auth/munge
StateSaveLocation=/var/tmp/slurm
SlurmdSpoolDir=/var/tmp/slurmd
SlurmctldPidFile=/run/slurmctld.pid
SlurmdPidFile=/run/slurmd.pid
SlurmctldLogFile=/var/tmp/slurmctld.log
SlurmdLogFile=/var/tmp/slurmd.log
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
JobAcctGatherType=jobacct_gather/none
AccountingStorageType=accounting_storage/none
SelectType=select/cons_tres
SelectTypeParameters=CR_Core_Memory
SlurmdTimeout=10
InactiveLimit=0
KillWait=5
ReturnToService=2
MpiDefault=none
SlurmdParameters=config_overrides
NodeName={nodes} CPUs=2 RealMemory=400 State=UNKNOWN
PartitionName=main Nodes=ALL Default=YES MaxTime=INFINITE State=UP
"""
_CGROUPS = "CgroupPlugin=cgroup/v1\nCgroupMountpoint=/sys/fs/cgroup\n"


def start_slurm(cluster: Cluster) -> None:
    """Start it, and wait until every node is idle. A reset of the cluster ends it."""
    manager, *nodes = cluster.nodes
    config = _CONFIG.format(nodes=",".join(node.name for node in nodes))
    key = secrets.token_hex(32)
    for node in cluster.nodes:
        _prepare(node, config, key)
        node.run(*(["slurmctld", "-c"] if node is manager else ["slurmd", "-N", node.name]))
    wait_until(lambda: idle_nodes(manager) == len(nodes), "all of Slurm's nodes are idle")


def idle_nodes(manager: Node) -> int:
    """How many of Slurm's nodes have nothing to do."""
    found = manager.run("sinfo", "-h", "-t", "idle", "-o", "%D", exit_code=None).stdout.split()
    return int(found[0]) if found else 0


def _prepare(node: Node, config: str, key: str) -> None:
    node.put("/etc/slurm/slurm.conf", config)
    # Without it slurmd wants a controller of cgroup v2, where the machine has them in v1.
    node.put("/etc/slurm/cgroup.conf", _CGROUPS)
    node.put("/etc/munge/munge.key", key, mode=0o400)
    node.run("mkdir", "-p", "/var/tmp/slurm", "/var/tmp/slurmd", "/run/munge")
    node.run("chown", "-R", "munge:", "/etc/munge", "/run/munge", "/var/lib/munge", "/var/log/munge")
    node.run("runuser", "-u", "munge", "--", "munged")
