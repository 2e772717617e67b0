"""One million tasks of 150 bytes: seconds and bytes, against the bare RPUSH of the same lines in the same run."""

from __future__ import annotations

import os
import subprocess
import tempfile
import time
from pathlib import Path

import redis

from benchmarks.support import DISTCOMP, Line, Project, bare_server, project
from distcomp.api import Client
from distcomp.model import Cause, NodeRoom, Outcome, Usage
from distcomp.store.settlements import Finish
from distcomp.store.store import Store, StoreLimits, WorkerName

TASKS = 1_000_000
FINISHED_FRACTION = 0.1
BATCH = 1000
TASKS_LEASE_S = 3600.0
ALGORITHMS = ("lru", "fifo", "clock", "sieve", "s3fifo", "arc", "lirs", "lecar", "lhd", "twoq", "slru", "lfu")


def write_tasks(path: Path, tasks: int) -> None:
    """Task lines of 150 bytes, as a sweep would have them; each one different."""
    with path.open("w") as file:
        for number in range(tasks):
            command = (
                f"./cachesim /data/traces/{number // 96:06d}.oracleGeneral.zst {ALGORITHMS[number % 12]} "
                f"--size {(number // 12) % 8 / 8:.3f} --seed {number * 2654435761 % 2**32:010d} --ignore-obj-size "
            )
            file.write(f"shell:0:0:0:{command}".ljust(150, "x") + "\n")


def rpush_s(client: redis.Redis, path: Path) -> float:
    """Seconds to RPUSH the file's lines in batches with redis-py, reading included."""
    before_s = time.perf_counter()
    batch: list[bytes] = []
    with path.open("rb") as lines:
        for line in lines:
            batch.append(line.rstrip())
            if len(batch) == BATCH:
                client.rpush("floor", *batch)
                batch.clear()
    if batch:
        client.rpush("floor", *batch)
    taken_s = time.perf_counter() - before_s
    client.delete("floor")
    return taken_s


def submit(folder: Path, file: Path) -> tuple[float, int]:
    """Seconds and peak memory of `distcomp submit`, start of Python included."""
    before_s = time.perf_counter()
    process = subprocess.Popen([*DISTCOMP, "submit", str(file)], cwd=folder, stdout=subprocess.DEVNULL)
    _, status, usage = os.wait4(process.pid, 0)
    if status:
        raise RuntimeError(f"submit ended with {status}")
    return time.perf_counter() - before_s, usage.ru_maxrss * 1024


def finish(folder: Path, tasks: int) -> None:
    """Let so many tasks finish, as a worker reports them, but without running anything."""
    worker, room = WorkerName("benchmark", "1", "benchmark"), NodeRoom(BATCH, 1 << 40, BATCH, 1 << 40, BATCH)
    outcome = Outcome(Cause.FINISHED, worker.node, 1, 1, 2, Usage(wall_s=1, cpu_s=1, peak_bytes=10**8), exit_code=0)
    with Client.open(folder) as client, client.project.client() as connection:
        store = Store(connection, client.project.name, StoreLimits(lease_s=TASKS_LEASE_S))
        store.register(worker, b'{"node": "benchmark"}')
        for _ in range(tasks // BATCH):
            claims = store.claim(worker, room).claims
            words = store.settle([Finish(claim.task_id, claim.token, outcome) for claim in claims])
            if words != ["ok"] * BATCH:
                raise RuntimeError(f"of {BATCH} tasks {words.count('ok')} finished")
        store.leave(worker)


def again_s(own: Project, file: Path, finished: int) -> float:
    """Seconds to submit the file once more, of which so many tasks have finished: it changes nothing."""
    before = own.counts()
    taken_s, _ = submit(own.folder, file)
    if own.counts() != before or before.get("finished", 0) != finished:
        raise RuntimeError(f"of {finished} finished tasks there were {before}, and then {own.counts()}")
    return taken_s


def run(tasks: int = TASKS) -> list[Line]:
    """The benchmark's lines of the table."""
    with tempfile.TemporaryDirectory() as scratch, bare_server() as bare, project() as own:
        file = Path(scratch, "tasks.txt")
        write_tasks(file, tasks)
        floors_s = [rpush_s(bare, file)]
        before_bytes = own.server_memory_bytes()
        first_s, client_bytes = submit(own.folder, file)
        per_task_bytes = (own.server_memory_bytes() - before_bytes) / tasks
        floors_s.append(rpush_s(bare, file))
        same_s = again_s(own, file, 0)
        floors_s.append(rpush_s(bare, file))
        finished = int(tasks * FINISHED_FRACTION)
        finish(own.folder, finished)
        later_s = again_s(own, file, finished)
    floor_s = sorted(floors_s)[1]
    return [
        Line(
            f"submit {tasks:,} tasks / bare RPUSH", first_s / floor_s, "<=", 2.5, f"{first_s:.2f} s / {floor_s:.2f} s"
        ),
        Line("the same file again / the first time", same_s / first_s, "<=", 1.0, f"{same_s:.2f} s / {first_s:.2f} s"),
        Line(
            f"again, {finished:,} finished / the first time",
            later_s / first_s,
            "<=",
            1.0,
            f"{later_s:.2f} s / {first_s:.2f} s",
        ),
        Line("server memory per queued task, bytes", per_task_bytes, "<=", 220, "used_memory"),
        Line("memory of the client, MB", client_bytes / 1e6, "<=", 100, "peak RSS of distcomp submit"),
    ]
