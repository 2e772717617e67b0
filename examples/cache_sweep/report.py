#!/usr/bin/env python3
"""Is FIFO-Reinsertion better than LRU? A table and a plot from the results of the sweep.

    distcomp results --csv -o results.csv
    python report.py results.csv --plot plot.svg

Two runs tie when they miss equally often, to the request. Means are over traces, each weighing the same.
Results that are missing are named, and left out together with what they would be compared with.
"""

from __future__ import annotations

import argparse
import csv
import itertools
import sys
from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean
from typing import NamedTuple

from cachesim import ALGORITHMS, full_name
from plot import draw

CHALLENGER, CHAMPION, BASELINE = "FIFO-Reinsertion", "LRU", "FIFO"


class Run(NamedTuple):
    """Which cache was simulated over which trace. The size is text, as 1 (object) and 1.0 (all objects) differ."""

    trace: str
    algo: str
    size: str


@dataclass(frozen=True)
class Results:
    """The misses of each run, and why runs are missing."""

    misses: Mapping[Run, int]
    missing: Mapping[Run, str]

    def sizes(self) -> list[str]:
        """The cache sizes, from small to large."""
        return sorted({run.size for run in self.misses}, key=float)

    def differences(self, algo: str, other: str, size: str) -> dict[str, float]:
        """By trace, how many more misses `algo` has than `other`, as a fraction of the misses of `other`."""
        runs = [run for run in self.misses if run.algo == algo and run.size == size]
        pairs = [(run, run._replace(algo=other)) for run in sorted(runs)]
        return {run.trace: self.misses[run] / self.misses[pair] - 1 for run, pair in pairs if pair in self.misses}


def read_results(rows: Iterable[Mapping[str, str]]) -> Results:
    """The results in the rows of a result table. A row without a miss ratio is of a task that did not finish."""
    misses: dict[Run, int] = {}
    missing: dict[Run, str] = {}
    for row in rows:
        size = row["size"] if row["size"].isdecimal() else str(float(row["size"]))
        run = Run(Path(row["trace"]).name.partition(".")[0], full_name(row["algo"]), size)
        if row.get("miss_ratio"):
            misses[run] = round(float(row["miss_ratio"]) * int(row["n_req"]))
        else:
            missing[run] = " ".join(filter(None, (row.get("state"), row.get("reason")))) or "no result"
    seen = misses.keys() | missing.keys()
    missing |= dict.fromkeys(whole_sweep(seen) - seen, "not in the table")
    return Results(misses, missing)


def whole_sweep(runs: Collection[Run]) -> set[Run]:
    """Every combination of the traces, algorithms and sizes of some runs."""
    traces, algorithms, sizes = ({run[part] for run in runs} for part in range(3))
    return {Run(*values) for values in itertools.product(traces, algorithms, sizes)}


def size_name(size: str) -> str:
    """A cache size as people read it: percent of the trace's objects, or a number of objects."""
    return f"{size} objects" if size.isdecimal() else f"{float(size) * 100:g} %"


def mean_percent(differences: Iterable[float]) -> str:
    """The mean of relative differences as people read it."""
    values = list(differences)
    return f"{fmean(values) * 100:+.1f} %" if values else "-"


def verdicts(differences: Iterable[float]) -> Counter[str]:
    """How often a relative difference in misses is a better, an equal and a worse result."""
    return Counter("better" if value < 0 else "worse" if value > 0 else "tie" for value in differences)


def answer(results: Results) -> Iterator[str]:
    """The lines that answer the question: a table by cache size, and a sentence."""
    sizes = results.sizes()
    by_size = {size_name(size): [*results.differences(CHALLENGER, CHAMPION, size).values()] for size in sizes}
    in_all = [*itertools.chain(*by_size.values())]
    yield f"Is {CHALLENGER} better than {CHAMPION}?"
    yield ""
    yield "  cache size   traces   better    tie   worse   misses, mean difference"
    for name, differences in (by_size | {"all sizes": in_all}).items():
        count = verdicts(differences)
        columns = f"{len(differences):8} {count['better']:8} {count['tie']:6} {count['worse']:7}"
        yield f"{name:>12} {columns} {mean_percent(differences):>25}"
    count = verdicts(in_all)
    yield ""
    yield (
        f"{CHALLENGER} misses less often than {CHAMPION} in {count['better']} of {len(in_all)} comparisons, "
        f"equally often in {count['tie']}, more often in {count['worse']}."
    )


def against_baseline(results: Results) -> Iterator[str]:
    """The lines of a table: how many more misses each algorithm has than FIFO, by cache size."""
    others = [name for name in ALGORITHMS if name != BASELINE]
    yield f"Misses compared with {BASELINE}, mean over traces"
    yield ""
    yield "  cache size" + "".join(f"{name:>{len(name) + 6}}" for name in others)
    for size in results.sizes():
        means = {name: mean_percent(results.differences(name, BASELINE, size).values()) for name in others}
        yield f"{size_name(size):>12}" + "".join(f"{mean:>{len(name) + 6}}" for name, mean in means.items())


def what_is_missing(results: Results) -> Iterator[str]:
    """A line for each run without a result, if any."""
    if results.missing:
        wanted = len(results.missing) + len(results.misses)
        yield f"Missing: {len(results.missing)} of {wanted} results, so this is not the whole answer."
    for run, why in sorted(results.missing.items()):
        yield f"  {' '.join(run)}: {why}"


def picture(results: Results) -> str:
    """The plot of both tables, as SVG."""
    sizes = results.sizes()
    lines = {
        name: [[*results.differences(name, BASELINE, size).values()] for size in sizes]
        for name in ALGORITHMS
        if name != BASELINE
    }
    return draw(
        size_names=[size_name(size) for size in sizes],
        dots_title=f"{CHALLENGER} compared with {CHAMPION}",
        dots=[results.differences(CHALLENGER, CHAMPION, size) for size in sizes],
        lines_title=f"All compared with {BASELINE}",
        lines={name: [fmean(each or [0]) for each in values] for name, values in lines.items()},
    )


def main() -> None:
    """Print the tables and write the plot; exit 1 if results are missing."""
    parser = argparse.ArgumentParser(description=str(__doc__).partition("\n")[0])
    parser.add_argument("results", type=Path, help="what `distcomp results --csv` wrote")
    parser.add_argument("--plot", type=Path, metavar="FILE.svg")
    options = parser.parse_args()
    with options.results.open(encoding="utf-8", newline="") as file:
        results = read_results(csv.DictReader(file))
    if results.misses:
        print("\n".join([*answer(results), "", *against_baseline(results), ""]))
        if options.plot:
            options.plot.write_text(picture(results), encoding="utf-8")
            print(f"The same as a picture: {options.plot}\n")
    print("".join(f"{line}\n" for line in what_is_missing(results)), end="")
    sys.exit(bool(results.missing) or not results.misses)


if __name__ == "__main__":
    main()
