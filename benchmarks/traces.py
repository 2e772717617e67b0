"""The example's simulator against answers of another program, all to six decimals.

By default over the traces and answers that come with the example. `DISTCOMP_BENCH_TRACES` names another folder of
NAME.u32.xz and an expected.csv: see examples/cache_sweep/verify.py, which does the work.
"""

from __future__ import annotations

import os
import sys
from collections import Counter
from pathlib import Path

from benchmarks.support import LeftOut, Line, Note, Row

EXAMPLE = Path(__file__).parents[1] / "examples" / "cache_sweep"
VARIABLE = "DISTCOMP_BENCH_TRACES"
EXACT = ("LRU", "FIFO", "FIFO-Reinsertion", "SIEVE", "ARC")
"""Algorithms that are the same in both programs. In a tiny S3-FIFO cache the other one keeps nothing."""


def run() -> list[Row]:
    """The benchmark's lines of the table."""
    folder = Path(os.environ.get(VARIABLE, EXAMPLE / "traces"))
    if not (folder / "expected.csv").is_file():
        raise LeftOut(f"{VARIABLE}={folder} holds no expected.csv")
    sys.path.insert(0, str(EXAMPLE))
    import cachesim  # scripts, in no package
    import verify

    known = verify.read_miss_ratios(folder / "expected.csv")
    found = verify.simulate(folder, known)
    outcomes = Counter((run.algo, verify.outcome(run, ratio, found[run])) for run, ratio in known.items())
    traces = f"{len({run.trace for run in known})} traces"
    return [_row(algo, outcomes, traces) for algo in cachesim.ALGORITHMS]


def _row(algo: str, outcomes: Counter[tuple[str, str]], traces: str) -> Row:
    equal, different, apart = (outcomes[algo, outcome] for outcome in ("equal", "different", "apart"))
    name = f"{algo}: miss ratios other than the known ones"
    if algo in EXACT:
        return Line(name, different, "<=", 0, f"{equal} equal, {traces}")
    return Note(name, different, f"{equal} equal, {apart} apart (see verify.py), {traces}")
