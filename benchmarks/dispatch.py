"""Short tasks: how close the platform comes to what fork and exec cost, against xargs in the same run."""

from __future__ import annotations

import signal
import subprocess
import time

from benchmarks.support import DISTCOMP, Line, Project, children_cpu_s, cpu_s, project, wait_until

TASKS = 10_000
AT_ONCE = 4
ROUNDS = 3


def xargs(tasks: int) -> tuple[float, float]:
    """Tasks per second and CPU ms per task of `xargs -P4 -n1 sh -c true`."""
    numbers = "\n".join(str(number) for number in range(tasks))
    cpu_before_s, before_s = children_cpu_s(), time.perf_counter()
    subprocess.run(["xargs", f"-P{AT_ONCE}", "-n1", "sh", "-c", "true"], input=numbers, text=True, check=True)
    taken_s = time.perf_counter() - before_s
    return tasks / taken_s, (children_cpu_s() - cpu_before_s) / tasks * 1000


def distcomp(own: Project, tasks: int, round_number: int) -> tuple[float, float]:
    """Tasks per second and CPU ms per task, of worker, tasks and server, from the worker's first claim to the last end.

    The tasks are equal but for a comment, as equal tasks are one task.
    """
    lines = "".join(f"shell:0:0:0:true # {round_number}.{number}\n" for number in range(tasks))
    subprocess.run([*DISTCOMP, "submit", "-"], cwd=own.folder, input=lines, text=True, check=True, capture_output=True)
    before = own.counts().get("finished", 0)
    server = own.server_pid()
    cpu_before_s = children_cpu_s() + cpu_s(server)
    worker = subprocess.Popen([*DISTCOMP, "worker"], cwd=own.folder, stderr=subprocess.DEVNULL)
    wait_until(lambda: own.counts().get("finished", 0) > before, "the first task has ended")
    before_s, early = time.perf_counter(), own.counts()["finished"] - before
    wait_until(lambda: own.counts()["finished"] >= before + tasks, "all tasks have ended")
    taken_s = time.perf_counter() - before_s
    worker.send_signal(signal.SIGTERM)
    worker.wait()
    return (tasks - early) / taken_s, (children_cpu_s() + cpu_s(server) - cpu_before_s) / tasks * 1000


def start_latency_ms(own: Project) -> float:
    """Milliseconds from a task's submission to the start of its attempt, on a worker that has nothing to do."""
    raise NotImplementedError


def run(tasks: int = TASKS) -> list[Line]:
    """The benchmark's lines of the table."""
    with project(f"max_tasks = {AT_ONCE}\n") as own:
        rounds = [(xargs(tasks), distcomp(own, tasks, number)) for number in range(ROUNDS)]
    ratios = sorted(ours[0] / peer[0] for peer, ours in rounds)
    middle = ROUNDS // 2
    peer_ms = sorted(peer[1] for peer, _ in rounds)[middle]
    ours_ms = sorted(ours[1] for _, ours in rounds)[middle]
    rates = ", ".join(f"{ours[0]:.0f}/{peer[0]:.0f}" for peer, ours in rounds)
    return [
        Line(f"rate of {tasks:,} `true` / xargs -P4", ratios[middle], ">=", 0.9, f"tasks/s: {rates}"),
        Line("CPU per task, all processes, ms", ours_ms, "<=", 1.4, f"xargs: {peer_ms:.2f}"),
    ]
