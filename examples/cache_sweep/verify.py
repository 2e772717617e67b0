#!/usr/bin/env python3
"""Compare miss ratios with known answers, to six decimals; exit 1 if some differ.

    verify.py FOLDER                  simulate what FOLDER/expected.csv lists, over the traces in FOLDER
    verify.py FOLDER RESULTS.csv      compare a table of results instead, as far as both list the same

FOLDER holds NAME.u32.xz files, and in expected.csv what another program found for them: columns trace, algo,
cache_size (objects) and miss_ratio.

The shipped answers come from libcachesim. In an S3-FIFO cache of 10 to 19 objects it keeps nothing at all, as its
queue for new objects then has one place and it asks for two. Ours works there, so these are counted apart.
"""

from __future__ import annotations

import argparse
import csv
import os
import sys
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from pathlib import Path
from typing import NamedTuple

from cachesim import ALGORITHMS, full_name, read_trace

MIN_S3FIFO_OBJECTS = 20


class Run(NamedTuple):
    """One simulation; the cache size in objects."""

    trace: str
    algo: str
    cache_size: int


MissRatios = Mapping[Run, float]


def read_miss_ratios(path: Path) -> dict[Run, float]:
    """The miss ratios in a table, without rows that have none."""
    with path.open(encoding="utf-8", newline="") as file:
        return {
            Run(Path(row["trace"]).name.partition(".")[0], full_name(row["algo"]), int(row["cache_size"])): float(ratio)
            for row in csv.DictReader(file)
            if (ratio := row["miss_ratio"])
        }


def simulate_trace(folder: Path, name: str, runs: Iterable[Run]) -> dict[Run, float]:
    """The miss ratios of runs over one trace."""
    trace = read_trace(folder / f"{name}.u32.xz")
    n_objects = max(trace)
    return {run: round(ALGORITHMS[run.algo](trace, n_objects, run.cache_size) / len(trace), 6) for run in runs}


def simulate(folder: Path, runs: Iterable[Run]) -> dict[Run, float]:
    """The miss ratios of runs over traces in a folder, computed on all cores."""
    by_trace: dict[str, list[Run]] = {}
    for run in runs:
        by_trace.setdefault(run.trace, []).append(run)
    found: dict[Run, float] = {}
    with ProcessPoolExecutor(os.cpu_count()) as pool:
        for of_one_trace in pool.map(partial(simulate_trace, folder), by_trace.keys(), by_trace.values()):
            found |= of_one_trace
    return found


def outcome(run: Run, known: float, found: float) -> str:
    """How a found miss ratio compares with the known one: equal, apart (see above) or different."""
    if found == known:
        return "equal"
    return "apart" if run.algo == "S3-FIFO" and run.cache_size < MIN_S3FIFO_OBJECTS else "different"


def comparison(known: MissRatios, found: MissRatios) -> Iterator[str]:
    """A table of outcomes by algorithm, then each run that is different or apart."""
    outcomes = {run: outcome(run, known[run], found[run]) for run in sorted(known) if run in found}
    yield f"{'':16}   equal   different   apart"
    for algo in ALGORITHMS:
        count = Counter(result for run, result in outcomes.items() if run.algo == algo)
        yield f"{algo:16} {count['equal']:7} {count['different']:11} {count['apart']:7}"
    for run, result in outcomes.items():
        if result != "equal":
            yield f"{result}: {run.trace} {run.algo} {run.cache_size}: {found[run]:.6f}, known is {known[run]:.6f}"


def main() -> None:
    """Print the comparison."""
    parser = argparse.ArgumentParser(description=str(__doc__).partition("\n")[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("results", type=Path, nargs="?", help="what `distcomp results --csv` wrote")
    options = parser.parse_args()
    known = read_miss_ratios(options.folder / "expected.csv")
    found = read_miss_ratios(options.results) if options.results else simulate(options.folder, known)
    lines = list(comparison(known, found))
    print("\n".join(lines))
    sys.exit(any(line.startswith("different") for line in lines))


if __name__ == "__main__":
    main()
