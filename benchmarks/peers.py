"""The same short tasks on HyperQueue or Dask: `python -P benchmarks/peers.py hyperqueue|dask TASKS WORKERS`.

Run by a Python that has them (`pip install hyperqueue distributed`); prints tasks per second, CPU ms per task of all
processes, and CPU us per task of the scheduler alone, or -1 where it shares a process with the workers.
"""

from __future__ import annotations

import resource
import subprocess
import sys
import tempfile
import time


def hyperqueue(tasks: int, workers: int) -> tuple[float, float]:
    """Server and workers are threads of this process. One job with a task each, as from a file of commands."""
    from hyperqueue import Job
    from hyperqueue.cluster import LocalCluster, WorkerConfig

    with tempfile.TemporaryDirectory() as folder, LocalCluster(folder) as cluster:
        for _ in range(workers):
            cluster.start_worker(WorkerConfig(cores=1))
        client, job = cluster.client(), Job(max_fails=0)
        for _ in range(tasks):
            job.program(["sh", "-c", "true"], stdout=None, stderr=None)
        began_s = time.perf_counter()
        client.wait_for_jobs([client.submit(job)])
        return time.perf_counter() - began_s, -1


def dask(tasks: int, workers: int) -> tuple[float, float]:
    """The scheduler is in this process, each worker is one of its own."""
    from distributed import Client, LocalCluster, wait

    with (
        LocalCluster(n_workers=workers, threads_per_worker=1, dashboard_address=None) as cluster,
        Client(cluster) as client,
    ):
        began_s, cpu_before_s = time.perf_counter(), time.process_time()
        wait(client.map(_run, range(tasks), pure=False))
        return time.perf_counter() - began_s, (time.process_time() - cpu_before_s) / tasks * 1e6


def _run(_number: int) -> int:
    return subprocess.run(["sh", "-c", "true"], check=True).returncode


def _cpu_s() -> float:
    used = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(usage.ru_utime + usage.ru_stime for usage in used)


if __name__ == "__main__":
    peer = {"hyperqueue": hyperqueue, "dask": dask}[sys.argv[1]]
    number = int(sys.argv[2])
    taken_s, scheduler_us = peer(number, int(sys.argv[3]))
    print(number / taken_s, _cpu_s() / number * 1000, scheduler_us)
