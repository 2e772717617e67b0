"""Short tasks on eight workers of two nodes: what one costs the store's server, over a network of its own.

Real workers with a slot each, on hosts that tests/support/cluster makes, as root. All share this machine's cores, so
the rate says little, but the server's CPU time does. Peers run the same tasks on eight workers of one slot, without a
network between them: HyperQueue and Dask, by the Python that DISTCOMP_BENCH_PEERS names, if it has them.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from benchmarks.support import LeftOut, Line, Note, Row, wait_until
from tests.support.cluster import lacking, running_cluster
from tests.support.cluster.field import Field, Store

NODES = 2
WORKERS_PER_NODE = 4
TASKS = 6000
PEER_TASKS = 3000
PEERS = {"HyperQueue": "hyperqueue", "Dask": "dask"}
PATIENCE_S = 120


def over_network(tasks: int) -> tuple[float, float]:
    """Tasks per second of all workers together, and microseconds of the server per task."""
    with running_cluster(nodes=1 + NODES, memory="1G") as cluster:
        store = Store(cluster["node0"], "everysec")
        field = Field(cluster, store, "short", max_tasks=1)
        store.node.put(f"{field.folder}/tasks.txt", "".join(f"true # {number}\n" for number in range(tasks)))
        for node in cluster.nodes[1:]:
            for number in range(WORKERS_PER_NODE):
                field.start_worker(node, name=f"{node}-{number}")
        wait_until(lambda: len(field.workers()) == NODES * WORKERS_PER_NODE, "all workers are there")
        before_s = _server_cpu_s(store)
        field.distcomp("submit", "--plain", "tasks.txt")
        wait_until(lambda: field.finished() > 0, "the first task has ended")
        began_s, early = time.perf_counter(), field.finished()
        wait_until(lambda: field.finished() >= tasks, "all tasks have ended", PATIENCE_S, every_s=0.1)
        rate = (tasks - early) / (time.perf_counter() - began_s)
        used_s = _server_cpu_s(store) - before_s
        store.close()
    return rate, used_s / tasks * 1e6


def _server_cpu_s(store: Store) -> float:
    used = store.client.info("cpu")
    return float(used["used_cpu_user"]) + float(used["used_cpu_sys"])


def peer(name: str) -> list[Row]:
    """The lines of one of the others."""
    python = os.environ.get("DISTCOMP_BENCH_PEERS", sys.executable)
    script = Path(__file__).with_name("peers.py")
    command = [python, "-P", str(script), PEERS[name], str(PEER_TASKS), str(NODES * WORKERS_PER_NODE)]
    with tempfile.TemporaryDirectory() as folder:  # HyperQueue puts outputs into the current directory
        done = subprocess.run(command, cwd=folder, text=True, capture_output=True, timeout=PATIENCE_S, check=False)
    if done.returncode != 0:
        return [Note(f"the same tasks on {name}", float("nan"), "it is not installed: see DISTCOMP_BENCH_PEERS")]
    rate, cpu_ms, scheduler_us = map(float, done.stdout.split()[-3:])
    alone = f"; scheduler and client {scheduler_us:.0f} us" if scheduler_us >= 0 else ""
    return [Note(f"the same tasks on {name}, tasks/s", rate, f"{cpu_ms:.2f} ms of CPU per task in all{alone}")]


def run(tasks: int = TASKS) -> list[Row]:
    """The benchmark's lines of the table."""
    if reason := lacking():
        raise LeftOut(reason)
    rate, server_us = over_network(tasks)
    workers = NODES * WORKERS_PER_NODE
    detail = f"{rate:.0f} tasks/s in all"
    return [
        Line("server's us per short task, 8 workers of 2 nodes", server_us, "<=", 200, detail),
        Note("such workers that saturate the server", 1e6 / server_us / (rate / workers), "at the rate they had here"),
        *(line for name in PEERS for line in peer(name)),
    ]
