#!/usr/bin/env python3
"""The study's answer to "is FIFO-Reinsertion better than LRU?", from the results of all parse_one.py tasks.

    distcomp results --csv -o results.csv
    python summarise.py results.csv          # or .jsonl

Better means a lower miss ratio; a tie is an equal one, to the four decimals of the raw files.
Only traces with all eight cache sizes are compared. Tasks without a result are named on stderr.
"""

from __future__ import annotations

import argparse
import csv
import json
import sys
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

from parse_one import SIZES_PERCENT

Row = Mapping[str, object]
BY_DATASET_PERCENT = ("0.1", "1", "10")


def read_rows(path: Path) -> list[Row]:
    """The rows of a result table, in CSV or (by its name) in JSON lines."""
    with path.open(encoding="utf-8", newline="") as file:
        if path.suffix == ".jsonl":
            return [json.loads(line) for line in file]
        return list(csv.DictReader(file))


def verdict(row: Row, percent: str) -> str:
    """How FIFO-Reinsertion did against LRU at one cache size: better, tie or worse."""
    reinsertion, lru = (float(str(row[f"{name}_{percent}"])) for name in ("fifo_reinsertion", "lru"))
    return "better" if reinsertion < lru else "tie" if reinsertion == lru else "worse"


def verdicts(rows: Iterable[Row], percent: str) -> Counter[str]:
    """How often FIFO-Reinsertion was better, equal and worse at one cache size."""
    return Counter(verdict(row, percent) for row in rows)


def summary(rows: list[Row]) -> Iterator[str]:
    """The lines of the summary, given the rows that have a result."""
    full = [row for row in rows if int(str(row["sizes"])) == len(SIZES_PERCENT)]
    unparsable = sum(int(str(row["unparsable"])) for row in rows)
    yield f"{len(rows)} files, {unparsable} unparsable lines, {len(full)} traces with all {len(SIZES_PERCENT)} sizes"
    if full:
        yield from summary_by_size(full)
        yield from summary_by_dataset(full)


def summary_by_size(full: list[Row]) -> Iterator[str]:
    """One line for each cache size over all traces, and one for all sizes together."""
    in_all: Counter[str] = Counter()
    for percent in SIZES_PERCENT:
        count = verdicts(full, percent)
        in_all += count
        better, tie, worse = (count[name] / len(full) for name in ("better", "tie", "worse"))
        yield f"{percent:>4}%  n={len(full)}  FIFO-Reinsertion < LRU {better:.4f}  tie {tie:.4f}  > {worse:.4f}"
    n = in_all.total()
    yield f"all sizes: {in_all['better']}/{n} = {in_all['better'] / n:.4f}, tie {in_all['tie'] / n:.4f}"


def summary_by_dataset(full: list[Row]) -> Iterator[str]:
    """One line for each dataset and each of three cache sizes."""
    for dataset in sorted({str(row["dataset"]) for row in full}):
        rows = [row for row in full if row["dataset"] == dataset]
        for percent in BY_DATASET_PERCENT:
            count = verdicts(rows, percent)
            better, tie = (count[name] / len(rows) for name in ("better", "tie"))
            yield f"{dataset:<16} {percent:>3}% n={len(rows):5} better {better:.3f} tie {tie:.3f}"


def main() -> None:
    """Print the summary; exit 1 if some task has no result, as the summary is then not the whole answer."""
    parser = argparse.ArgumentParser(description=str(__doc__).splitlines()[0])
    parser.add_argument("results", type=Path, help="what `distcomp results` wrote: .csv or .jsonl")
    rows = read_rows(parser.parse_args().results)
    with_result = [row for row in rows if row.get("dataset")]
    print("\n".join(summary(with_result)))
    for row in rows:
        if not row.get("dataset"):
            print(f"no result: {row.get('command') or row}", file=sys.stderr)
    sys.exit(len(with_result) < len(rows))


if __name__ == "__main__":
    main()
