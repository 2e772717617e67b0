"""A real program that holds what it caches: 60 tasks that declare nothing, in a node of 10 GiB, all answers exact.

It and its traces are large and not here: `BENCH_REPLAY=PROGRAM:TRACES` names them. The program is called with a trace,
an algorithm, a size in objects or as a part of all, and bytes per object; it prints a line of JSON with `miss_ratio`.
TRACES holds *.u32.xz and an `expected.csv` with trace, algo, size, n_req, n_obj and miss_ratio.
"""

from __future__ import annotations

import csv
import json
import os
import random
import shlex
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from benchmarks.node import Node
from benchmarks.support import DISTCOMP, LeftOut, Line, children_cpu_s
from benchmarks.watch import Watch
from distcomp.api import Client

NODE_BYTES = 10 * 2**30
TASKS = 60
SMALLEST_BYTES, LARGEST_BYTES = 3 * 10**8, 7 * 10**9
PER_OBJECT_BYTES = 150
"""What Python takes for an object beside its bytes, with its place in the cache."""
TIMES_FASTER = 3.0
OF_WHAT_CORES_ALLOW = 0.85


@dataclass(frozen=True, slots=True)
class Replay:
    """One task; `miss_ratio` is the answer it must give."""

    program: Path
    trace: Path
    algorithm: str
    size: str
    object_bytes: int
    miss_ratio: float

    @property
    def words(self) -> list[str]:
        """Its command."""
        what = [str(self.trace), self.algorithm, self.size, str(self.object_bytes)]
        return [sys.executable, str(self.program), *what]


def run() -> list[Line]:
    """The benchmark's lines of the table."""
    program, _, traces = os.environ.get("BENCH_REPLAY", "").partition(":")
    if not traces:
        raise LeftOut("BENCH_REPLAY=PROGRAM:TRACES does not say where the program and its traces are")
    tasks = draw(Path(program), Path(traces))
    one_s, cpu_s, one_wrong = one_at_a_time(tasks)
    ours_s, wrong, notes = packed(tasks)
    cores = len(os.sched_getaffinity(0))
    limit = one_s / (cpu_s / cores)
    bound = min(TIMES_FASTER, OF_WHAT_CORES_ALLOW * limit)
    detail = f"{one_s:.0f} s / {ours_s:.0f} s; {cpu_s:.0f} s of CPU on {cores} cores allow {limit:.2f}"
    return [
        Line(f"{TASKS} replays of 0.3 to 7 GB: as many as the largest allows", one_s / ours_s, ">=", bound, detail),
        Line("answers that are not exact", wrong + one_wrong, "<=", 0, notes),
    ]


def draw(program: Path, traces: Path, seed: int = 1) -> list[Replay]:
    """Tasks whose caches peak between the smallest and the largest size, evenly on a logarithmic scale."""
    dice = random.Random(seed)
    kinds = list(_kinds(traces))
    found: dict[tuple[object, ...], Replay] = {}
    while len(found) < TASKS:
        trace, algorithm, size, objects, miss_ratio = kinds[len(found) % len(kinds)]
        peak_bytes = SMALLEST_BYTES * (LARGEST_BYTES / SMALLEST_BYTES) ** dice.random()
        object_bytes = int(peak_bytes / objects) - PER_OBJECT_BYTES
        task = Replay(program, trace, algorithm, size, object_bytes, miss_ratio)
        found[trace, algorithm, size, object_bytes] = task
    return list(found.values())


def _kinds(traces: Path) -> Iterator[tuple[Path, str, str, int, float]]:
    """Trace, algorithm, size, objects held, and the answer: caches of a tenth, and such as hold all objects.

    With room for all, only the first request of each object misses.
    """
    with (traces / "expected.csv").open() as file:
        for row in csv.DictReader(file):
            trace = traces / f"{row['trace']}.u32.xz"
            objects, requests = int(row["n_obj"]), int(row["n_req"])
            if requests > 11_000_000 or row["size"] != "0.1":
                continue
            yield trace, row["algo"], "1.0", objects, round(objects / requests, 6)
            if objects > 500_000:
                yield trace, row["algo"], row["size"], int(row["cache_size"]), float(row["miss_ratio"])


def one_at_a_time(tasks: Sequence[Replay]) -> tuple[float, float, int]:
    """As many at once as the largest allows on the node: one. Its time, its CPU time, and wrong answers."""
    with Node(NODE_BYTES) as node:
        cpu_before_s, before_s = children_cpu_s(), time.monotonic()
        lines = "\n".join(shlex.join(task.words) for task in tasks)
        words = ["xargs", "-d", "\n", "-P1", "-n1", "sh", "-c", 'eval "$1"', "sh"]
        done = subprocess.run(node.command(words), input=lines, text=True, capture_output=True, check=True)
        taken_s, cpu_s = time.monotonic() - before_s, children_cpu_s() - cpu_before_s
    answers = [json.loads(line)["miss_ratio"] for line in done.stdout.splitlines()]
    wrong = sum(answer != task.miss_ratio for answer, task in zip(answers, tasks, strict=True))
    return taken_s, cpu_s, wrong


def packed(tasks: Sequence[Replay]) -> tuple[float, int, str]:
    """`distcomp run`: its time, wrong answers, and what happened."""
    with tempfile.TemporaryDirectory(prefix="dc-bench-") as name, Node(NODE_BYTES) as node:
        folder = Path(name)
        (folder / "tasks.txt").write_text("".join(f"shell:0:0:0:{shlex.join(task.words)}\n" for task in tasks))
        with Watch(node, folder / "log") as watch:
            before_s = time.monotonic()
            command = node.command([*DISTCOMP, "run", "tasks.txt"])
            subprocess.run(command, cwd=folder, stdin=subprocess.DEVNULL, capture_output=True, check=False)
            taken_s = time.monotonic() - before_s
        with Client.open(folder) as client:
            answers = {task.command: task.outcome.columns for task in client.tasks() if task.outcome}
            attempts = client.status().attempts
    wrong = sum((answers.get(shlex.join(task.words)) or {}).get("miss_ratio") != task.miss_ratio for task in tasks)
    ends = ", ".join(f"{number} {cause}" for cause, number in attempts.items())
    use = watch.mean_used_bytes / NODE_BYTES
    return taken_s, wrong, f"{ends}; {watch.kernel_kills} OOM kills by the kernel, {use:.0%} of memory used"
