"""What the platform costs while it waits: starts of the program, a worker whose tasks sleep."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from pathlib import Path

from benchmarks.support import DISTCOMP, Line, Note, Project, Row, cpu_s, project, wait_until

SLEEPERS = 50
WATCH_S = 10.0
STARTS = 9
COLD_STARTS = 3
FEW, MANY = 1_000, 1_000_000


def start(own: Project, *arguments: str, rounds: int = STARTS) -> tuple[float, float]:
    """Median seconds and CPU seconds of a command, start of Python included."""
    times = []
    for _ in range(rounds):
        before_s = time.perf_counter()
        process = subprocess.Popen([*DISTCOMP, *arguments], cwd=own.folder, stdout=subprocess.DEVNULL)
        _, status, usage = os.wait4(process.pid, 0)
        if status:
            raise RuntimeError(f"{arguments} ended with {status}")
        times.append((time.perf_counter() - before_s, usage.ru_utime + usage.ru_stime))
    middle = rounds // 2
    return sorted(wall for wall, _ in times)[middle], sorted(cpu for _, cpu in times)[middle]


def starts() -> list[Row]:
    """`--help`, and `status` with few and with many tasks: with a server that runs, and with none.

    In the latter case `status` starts it, which reads all data, and turns it off again: that grows with the tasks.
    """
    with project() as few, project() as many:
        for own, tasks in ((few, FEW), (many, MANY)):
            lines = "".join(f"shell:0:0:0:./program {number}\n" for number in range(tasks))
            subprocess.run(
                [*DISTCOMP, "submit", "-"], cwd=own.folder, input=lines, text=True, check=True, capture_output=True
            )
        few_s, _ = start(few, "status")
        many_s, _ = start(many, "status")
        _, help_cpu_s = start(few, "--help")
        cold_s = []
        for own in (few, many):
            own.distcomp("server", "stop")
            cold_s.append(start(own, "status", rounds=COLD_STARTS)[0])
    return [
        Line(
            f"status with {MANY:,} tasks / with {FEW:,}", many_s / few_s, "<=", 1.2, f"{many_s:.3f} s / {few_s:.3f} s"
        ),
        Note(
            f"status with {MANY:,} tasks, no server runs, s",
            cold_s[1],
            f"it starts one, which reads all; with {FEW:,}: {cold_s[0]:.2f} s",
        ),
        Line("`distcomp --help`, CPU s", help_cpu_s, "<=", 0.25),
    ]


def first_start_s(own: Project, name: str) -> float:
    """Median seconds from `distcomp run` to the start of what it is to run, which says itself when that was."""
    file, times_s = own.folder / "started", []
    for number in range(STARTS):
        before_s = time.time()
        own.distcomp("run", "--", f"date +%s.%N > started # {name} {number}")
        times_s.append(float(file.read_text()) - before_s)
    return sorted(times_s)[STARTS // 2]


def first_starts() -> list[Row]:
    """What a user waits for until the first task runs: with a server that runs, and with none."""
    with project() as own:
        status_s, _ = start(own, "status")
        warm_s = first_start_s(own, "warm")
        own.distcomp("server", "stop")
        cold_s = first_start_s(own, "cold")
    return [
        Line(
            "`distcomp run` to its first start / status",
            warm_s / status_s,
            "<=",
            1.75,
            f"{warm_s:.3f} s / {status_s:.3f} s",
        ),
        Note("`distcomp run` to its first start, no server runs, s", cold_s),
    ]


def sleepers() -> list[Line]:
    """A worker with sleeping tasks."""
    with project(f"max_tasks = {SLEEPERS}\n") as own:
        lines = "".join(f"shell:0:0:0:sleep {1000 + number}\n" for number in range(SLEEPERS))
        subprocess.run(
            [*DISTCOMP, "submit", "-"], cwd=own.folder, input=lines, text=True, check=True, capture_output=True
        )
        worker = subprocess.Popen([*DISTCOMP, "worker"], cwd=own.folder, stderr=subprocess.DEVNULL)
        try:
            wait_until(lambda: own.counts().get("running", 0) == SLEEPERS, "all tasks sleep")
            time.sleep(2)
            before_s = cpu_s(worker.pid)
            time.sleep(WATCH_S)
            busy_percent = (cpu_s(worker.pid) - before_s) / WATCH_S * 100
            status = Path(f"/proc/{worker.pid}/status").read_text()
            rss_bytes = next(int(line.split()[1]) * 1024 for line in status.splitlines() if line.startswith("VmRSS"))
        finally:
            worker.send_signal(signal.SIGHUP)  # at once; two signals of one kind may arrive as one
            worker.wait()
    return [
        Line(f"worker with {SLEEPERS} sleeping tasks, % of a core", busy_percent, "<=", 2, f"over {WATCH_S:g} s"),
        Line(f"worker with {SLEEPERS} sleeping tasks, MB", rss_bytes / 1e6, "<=", 80, "RSS"),
    ]


def run() -> list[Row]:
    """The benchmark's lines of the table."""
    return [*starts(), *first_starts(), *sleepers()]
