"""Packing by memory that nobody announced: batches in a node of 4 GiB, side by side with GNU parallel and xargs.

Run by run the contestants take turns, so that the machine's other work meets all of them. The yardstick is the least
time that the memory allows. `BENCH_RECORD` names a file for what was seen, as JSON.
"""

from __future__ import annotations

import json
import os
import statistics
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

from benchmarks import memoryload
from benchmarks.batches import Batch, adversarial, mixed
from benchmarks.clairvoyant import clairvoyant
from benchmarks.contestants import Run, distcomp, parallel, xargs
from benchmarks.support import Line

NODE_BYTES = 4 * 2**30
SEEDS = (1, 2, 3)
FREE_FRACTIONS = (0.125, 0.25, 0.5)
XARGS_AT_ONCE = 32
SLOWLY = 3


def run() -> list[Line]:
    """The benchmark's lines of the table."""
    rounds = [_round(mixed(seed, NODE_BYTES)) for seed in SEEDS]
    return [*_lines(rounds, "200 tasks"), *_adversarial_lines(adversarial(NODE_BYTES))]


def run_slowly() -> list[Line]:
    """The same batches with tasks three times as long: on two cores, memory bounds them and not the cores."""
    return _lines([_round(mixed(seed, NODE_BYTES).stretched(SLOWLY)) for seed in SEEDS], "200 long tasks")


def warm_up(size_bytes: int) -> None:
    """Touch so much memory once: a virtual machine may have given it back to its host, and takes seconds to get it."""
    words = [sys.executable, "-S", "-E", "-I", memoryload.__file__, "flat", str(size_bytes), "0"]
    subprocess.run(words, check=True, stdout=subprocess.DEVNULL)


def _round(batch: Batch) -> list[Run]:
    """Each contestant once; distcomp comes first."""
    contestants: list[Callable[[], Run]] = [lambda: distcomp(batch)]
    contestants += [lambda free=free: parallel(batch, free) for free in FREE_FRACTIONS]  # type: ignore[misc]
    contestants += [lambda: xargs(batch, XARGS_AT_ONCE), lambda: clairvoyant(batch)]
    return [_one(contestant) for contestant in contestants]


def _one(contestant: Callable[[], Run]) -> Run:
    warm_up(NODE_BYTES)
    done = contestant()
    watch = done.watch
    print(
        f"       {done.batch.name:12} {done.contestant:24} {done.wall_s:6.2f} s, {done.ratio:5.2f} x bound, "
        f"{done.returns:3} returned, {watch.kernel_kills:2} OOM kills, {watch.wasted_fraction:6.1%} wasted, "
        f"{done.mean_use:4.0%} of memory and {watch.busy_fraction:4.0%} of cores used, {done.wrong} wrong, "
        f"load {os.getloadavg()[0]:.1f}",
        flush=True,
    )
    _record(done)
    return done


def _record(done: Run) -> None:
    if not (name := os.environ.get("BENCH_RECORD")):
        return
    began_s = done.watch.samples[0].at_s
    seen = {
        "batch": done.batch.name,
        "node_bytes": done.batch.node_bytes,
        "bound_s": done.batch.bound_s,
        "contestant": done.contestant,
        "wall_s": done.wall_s,
        "samples": [[round(s.at_s - began_s, 3), s.used_bytes, s.running] for s in done.watch.samples],
        "attempts": [
            [a.task, round(a.started_s - began_s, 3), round(a.ended_s - began_s, 3), a.is_complete]
            for a in done.watch.attempts
        ],
    }
    with Path(name).open("a") as file:
        file.write(json.dumps(seen) + "\n")


def _lines(rounds: Sequence[Sequence[Run]], name: str) -> list[Line]:
    ours = [runs[0] for runs in rounds]
    parallels = [_best(runs[1:-2]) for runs in rounds]
    xargses = [runs[-2] for runs in rounds]
    knowing = [runs[-1] for runs in rounds]
    return [
        Line(f"{name}: makespan / bound", _median(ours), "<=", 1.55, _beside(ours, parallels, xargses, knowing)),
        Line("GNU parallel --memfree, best / distcomp", _against(parallels, ours), ">=", 1.3, "medians of 3 seeds"),
        Line("xargs -P, failed ones again / distcomp", _against(xargses, ours), ">=", 1.0, "medians of 3 seeds"),
        Line("distcomp / one that knows every curve, run", 1 / _against(knowing, ours), "<=", 1.2, _worked_out(ours)),
        Line("kernel OOM kills", _kills(ours), "<=", 0, f"parallel {_kills(parallels)}, xargs {_kills(xargses)}"),
        Line(
            "task-seconds thrown away, %",
            100 * max(run.watch.wasted_fraction for run in ours),
            "<=",
            10,
            "worst seed; returns: " + ", ".join(str(run.returns) for run in ours),
        ),
        Line("answers missing or wrong", sum(run.wrong for run in ours), "<=", 0),
    ]


def _best(runs: Sequence[Run]) -> Run:
    """The quickest of those that gave all answers."""
    return min(runs, key=lambda run: (run.wrong > 0, run.wall_s))


def _beside(*contestants: Sequence[Run]) -> str:
    names = [runs[0].contestant.partition(" ")[0] for runs in contestants]
    ratios = ["/".join(f"{run.ratio:.2f}" for run in runs) for runs in contestants]
    texts = [f"{name} {ratio}" for name, ratio in zip(names, ratios, strict=True)]
    bounds = "/".join(f"{run.batch.bound_s:.1f}" for run in contestants[0])
    return ", ".join(texts) + f"; bound {bounds} s"


def _worked_out(runs: Sequence[Run]) -> str:
    best = "/".join(f"{run.batch.clairvoyant_s / run.batch.bound_s:.2f}" for run in runs)
    return f"worked out, as if cores took no time: {best} x bound"


def _median(runs: Sequence[Run]) -> float:
    return statistics.median(run.ratio for run in runs)


def _against(theirs: Sequence[Run], ours: Sequence[Run]) -> float:
    return statistics.median(their.wall_s / our.wall_s for their, our in zip(theirs, ours, strict=True))


def _kills(runs: Sequence[Run]) -> int:
    return sum(run.watch.kernel_kills for run in runs)


def _adversarial_lines(batch: Batch) -> list[Line]:
    """Tasks that all seem small until they are not; nobody does better than two at a time once they have shown it."""
    two_at_a_time = _one(lambda: xargs(batch, 2))
    ours = _one(lambda: distcomp(batch))
    detail = f"{ours.wall_s:.1f} s / {two_at_a_time.wall_s:.1f} s, {ours.returns} returns, {ours.wrong} wrong, "
    return [
        Line(
            "adversarial batch / two at a time",
            ours.wall_s / two_at_a_time.wall_s,
            "<=",
            1.2,
            detail + f"{ours.watch.kernel_kills} OOM kills",
        )
    ]
