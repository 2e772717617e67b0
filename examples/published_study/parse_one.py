#!/usr/bin/env python3
"""One task of the study: parse the raw results of one trace, print one JSON line.

    python -S parse_one.py result/cachesim/MSR/hm_0.IQI.bin.txt

A raw file has one line per algorithm and cache size, for example

    result/hm_0.zst LRU cache size      439, 3993316 req, miss ratio 0.5372, byte miss ratio 0.5372

The JSON line names the trace and the dataset (the file's folder), says how many cache sizes compare
LRU with FIFO-Reinsertion, how many lines could not be parsed, and, if all eight sizes of the study
are there, holds the miss ratio of both algorithms at each: `lru_0.1` is LRU at 0.1 % of the trace's objects.
"""

from __future__ import annotations

import json
import sys

# The study sized its caches by the trace: these percentages of its distinct objects.
SIZES_PERCENT = ("0.1", "0.3", "1", "3", "10", "20", "40", "80")
# "Clock" in the raw files is FIFO-Reinsertion with one bit; "clock2" is the one with two.
COMPARED = {"LRU": "lru", "Clock": "fifo_reinsertion"}


def parse_line(line: str) -> tuple[str, int, float]:
    """Algorithm, cache size in objects, and miss ratio of one raw line.

    Raises:
        ValueError: the line does not look like a result.
    """
    head, _, tail = line.partition(" cache size ")
    _, algorithm = head.split()
    size, _, ratios = tail.partition(",")
    _, _, ratio = ratios.partition(", miss ratio ")
    return algorithm, int(size), float(ratio.partition(",")[0])


def parse_file(path: str) -> dict[str, str | int | float]:
    """The result columns of one raw file."""
    miss_ratios: dict[str, dict[int, float]] = {name: {} for name in COMPARED}
    unparsable = 0
    with open(path, encoding="utf-8") as lines:
        for line in filter(str.strip, lines):
            try:
                algorithm, size, miss_ratio = parse_line(line)
            except ValueError:
                unparsable += 1
                continue
            if algorithm in COMPARED:
                miss_ratios[algorithm][size] = miss_ratio
    return describe(path, unparsable, miss_ratios)


def describe(path: str, unparsable: int, miss_ratios: dict[str, dict[int, float]]) -> dict[str, str | int | float]:
    """The columns for one file, given the miss ratio of each compared algorithm at each cache size in objects."""
    *_, dataset, file_name = ["", *path.split("/")]
    sizes = sorted(set.intersection(*map(set, miss_ratios.values())))
    columns: dict[str, str | int | float] = {
        "dataset": dataset,
        "trace": file_name.removesuffix(".txt"),
        "sizes": len(sizes),
        "unparsable": unparsable,
    }
    # Some traces were run at fewer sizes, and nothing in the file says which of the eight those are.
    if len(sizes) == len(SIZES_PERCENT):
        for percent, size in zip(SIZES_PERCENT, sizes, strict=True):
            for algorithm, column in COMPARED.items():
                columns[f"{column}_{percent}"] = miss_ratios[algorithm][size]
    return columns


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit("usage: parse_one.py FILE")
    print(json.dumps(parse_file(sys.argv[1])))
