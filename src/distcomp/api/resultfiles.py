"""Which attempts count and left result files on their nodes."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from distcomp.api.records import Filter
from distcomp.model import State

if TYPE_CHECKING:
    from distcomp.api.client import Client
    from distcomp.nodes.collecting import AttemptKey


def attempts_with_files(client: Client, jobs: Sequence[int] | None) -> Mapping[str, Sequence[AttemptKey]]:
    """By node: of each finished task the attempt that finished it, if it made result files.

    Attempts that were evicted, failed or lost, or whose result came too late, are not among them.

    Args:
        client: of the project.
        jobs: of the tasks; None: all.
    """
    by_node = defaultdict(list)
    for task in client.tasks(Filter(states=(State.FINISHED,), jobs=tuple(jobs or ()))):
        outcome = task.outcome
        if outcome is not None and outcome.made is not None and outcome.made.files:
            by_node[outcome.node].append((task.task_id, outcome.attempt, outcome.started_at_ms))
    return by_node
