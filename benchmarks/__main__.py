"""Prints the table: `python -m benchmarks [NAME...]`. Exit code 1 when a bound is not kept."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Callable, Sequence

from benchmarks import cluster, dispatch, idle, packing, queue, replay, shorttasks, simulate, storms, traces
from benchmarks.support import LeftOut, Row

BENCHMARKS: dict[str, Callable[[], Sequence[Row]]] = {
    "dispatch": dispatch.run,
    "queue": queue.run,
    "idle": idle.run,
    "packing": packing.run,
    "packing-slowly": packing.run_slowly,
    "storms": storms.run,
    "replay": replay.run,
    "traces": traces.run,
    "simulate": simulate.run,
    "cluster": cluster.run,
    "shorttasks": shorttasks.run,
}


def main(names: list[str]) -> int:
    """Run the named benchmarks, or all; print a line for each figure as soon as it is there."""
    unknown = set(names) - set(BENCHMARKS)
    if unknown:
        print(f"no benchmark {', '.join(sorted(unknown))}; there are {', '.join(BENCHMARKS)}", file=sys.stderr)
        return 2
    print(f"{os.cpu_count()} cores, Python {sys.version.split()[0]}, load {os.getloadavg()[0]:.1f}")
    print(f"{'':4} {'what':55} {'value':>9} {'bound':>9}  detail", flush=True)
    kept = True
    for name in names or BENCHMARKS:
        try:
            lines = BENCHMARKS[name]()
        except LeftOut as reason:
            print(f"left out: {name}: {reason}", flush=True)
            continue
        for line in lines:
            kept = kept and line.is_kept
            print(line, flush=True)
    return 0 if kept else 1


def _terminate(*_: object) -> None:
    """As after Ctrl-C: what a benchmark has set up goes with it."""
    raise KeyboardInterrupt


if __name__ == "__main__":
    signal.signal(signal.SIGTERM, _terminate)
    sys.exit(main(sys.argv[1:]))
