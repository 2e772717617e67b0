"""Short tasks: how close the platform comes to what fork and exec cost, against xargs in the same run."""

from __future__ import annotations

import math
import signal
import subprocess
import time

from benchmarks.support import DISTCOMP, Line, Project, children_cpu_s, cpu_s, project, wait_until
from distcomp.api import Client
from distcomp.model import TaskSpec

TASKS = 10_000
AT_ONCE = 4
ROUNDS = 3
LATENCIES = 40


def xargs(tasks: int) -> tuple[float, float]:
    """Tasks per second and CPU ms per task of `xargs -P4 -n1 sh -c true`."""
    numbers = "\n".join(str(number) for number in range(tasks))
    cpu_before_s, before_s = children_cpu_s(), time.perf_counter()
    subprocess.run(["xargs", f"-P{AT_ONCE}", "-n1", "sh", "-c", "true"], input=numbers, text=True, check=True)
    taken_s = time.perf_counter() - before_s
    return tasks / taken_s, (children_cpu_s() - cpu_before_s) / tasks * 1000


def distcomp(own: Project, tasks: int, round_number: int) -> tuple[float, float]:
    """Tasks per second and CPU ms per task, of worker, tasks and server, from the first end to the last.

    Each task has a comment of its own, as equal tasks are one task.
    """
    lines = "".join(f"shell:0:0:0:true # {round_number}.{number}\n" for number in range(tasks))
    subprocess.run([*DISTCOMP, "submit", "-"], cwd=own.folder, input=lines, text=True, check=True, capture_output=True)
    before, server = own.counts().get("finished", 0), own.server_pid()
    cpu_before_s = children_cpu_s() + cpu_s(server)
    worker = subprocess.Popen([*DISTCOMP, "worker"], cwd=own.folder, stderr=subprocess.DEVNULL)
    wait_until(lambda: own.counts().get("finished", 0) > before, "the first task has ended")
    before_s, early = time.perf_counter(), own.counts()["finished"] - before
    # Looking costs the CPU that the tasks want; but at the end a tenth of a second would be 2 % of the result.
    wait_until(lambda: own.counts()["finished"] >= before + tasks * 0.97, "nearly all tasks have ended", every_s=0.1)
    wait_until(lambda: own.counts()["finished"] >= before + tasks, "all tasks have ended", every_s=0.01)
    taken_s = time.perf_counter() - before_s
    worker.send_signal(signal.SIGTERM)
    worker.wait()
    return (tasks - early) / taken_s, (children_cpu_s() + cpu_s(server) - cpu_before_s) / tasks * 1000


def start_latencies_ms(own: Project) -> list[float]:
    """Milliseconds from a task's submission to the start of its attempt, on a worker that has nothing to do.

    The task says itself when it started, so the start of `date` is in it.
    """
    worker = subprocess.Popen([*DISTCOMP, "worker"], cwd=own.folder, stderr=subprocess.DEVNULL)
    latencies_ms = []
    try:
        with Client.open(own.folder) as client:
            wait_until(lambda: bool(client.workers()), "the worker is there")
            for number in range(LATENCIES):
                time.sleep(0.05)
                file = own.folder / f"started.{number}"
                submitted_ns = time.time_ns()
                client.submit([TaskSpec(f"date +%s%N > {file}")])
                wait_until(lambda file=file: file.exists() and bool(file.read_text()), "the task has run")  # type: ignore[misc]
                latencies_ms.append((int(file.read_text()) - submitted_ns) / 1e6)
    finally:
        worker.send_signal(signal.SIGTERM)
        worker.wait()
    return sorted(latencies_ms)


def run(tasks: int = TASKS) -> list[Line]:
    """The benchmark's lines of the table."""
    with project(f"max_tasks = {AT_ONCE}\n") as own:
        rounds = [(xargs(tasks), distcomp(own, tasks, number)) for number in range(ROUNDS)]
        latencies_ms = start_latencies_ms(own)
    ratios = sorted(ours[0] / peer[0] for peer, ours in rounds)
    middle = ROUNDS // 2
    peer_ms = sorted(peer[1] for peer, _ in rounds)[middle]
    ours_ms = sorted(ours[1] for _, ours in rounds)[middle]
    rates = ", ".join(f"{ours[0]:.0f}/{peer[0]:.0f}" for peer, ours in rounds)
    return [
        Line(f"rate of {tasks:,} `true` / xargs -P4", ratios[middle], ">=", 0.9, f"tasks/s: {rates}"),
        Line("CPU per task, all processes, ms", ours_ms, "<=", 1.4, f"xargs: {peer_ms:.2f}"),
        Line(
            "submission to start, idle worker, ms",
            latencies_ms[LATENCIES // 2],
            "<=",
            20,
            f"median of {LATENCIES}",
        ),
        Line(
            "submission to start, 95th percentile, ms",
            latencies_ms[math.ceil(0.95 * LATENCIES) - 1],
            "<=",
            20,
            f"worst {latencies_ms[-1]:.1f}",
        ),
    ]
