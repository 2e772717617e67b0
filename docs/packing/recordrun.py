"""Records a run for the picture in docs/packing.md: `python docs/packing/recordrun.py` writes run.json. Needs root.

A store and a worker in a memory cgroup run tasks that really take memory; what is written down is what distcomp itself
keeps of each attempt.
"""

from __future__ import annotations

import json
import math
import random
from pathlib import Path

from benchmarks.batches import Task
from benchmarks.crew import crew
from distcomp.api import Client

HERE = Path(__file__).parent
NODE_BYTES = 3 << 29
TASKS = 36
SHAPES = ("ramp", "ramp", "jump", "saw", "flat")
PATIENCE_S = 300.0


def tasks() -> list[Task]:
    """Of several shapes, 3 to 8 s long; peaks log-normal around a ninth of the node, half of it at most."""
    dice = random.Random(5)  # noqa: S311 - for tasks that can be made again, not for secrets
    made = []
    for number in range(TASKS):
        peak = min(0.5, math.exp(dice.gauss(math.log(1 / 9), 0.8)))
        made.append(Task(dice.choice(SHAPES), int(peak * NODE_BYTES), round(dice.uniform(3, 8), 2), number))
    return made


def main() -> None:
    """Run them and write down every attempt: task, start, end (s), cause, peak (MiB), course (percent of the peak)."""
    with crew(NODE_BYTES, "") as own:
        own.submit(*tasks())
        ended = own.ended(PATIENCE_S)
        with Client.open(own.folder) as client:
            attempts = [
                (number, one) for number, task in enumerate(ended) for one in client.explain(task.task_id).attempts
            ]
        kills = own.node.kernel_kills()
    first_ms = min(one.started_at_ms for _, one in attempts)
    rows = [
        [
            number,
            round((one.started_at_ms - first_ms) / 1000, 2),
            round((one.ended_at_ms - first_ms) / 1000, 2),
            one.cause,
            one.usage.peak_bytes >> 20,
            list(one.course),
        ]
        for number, one in sorted(attempts, key=lambda attempt: attempt[1].started_at_ms)
    ]
    lines = ",\n".join(json.dumps(row) for row in rows)
    text = f'{{"node_mib": {NODE_BYTES >> 20}, "kernel_kills": {kills}, "attempts": [\n{lines}\n]}}\n'
    (HERE / "run.json").write_text(text)


if __name__ == "__main__":
    main()
