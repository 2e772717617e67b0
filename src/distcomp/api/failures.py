"""Failed tasks by what they have in common: the cause, and the last words."""

from __future__ import annotations

from collections.abc import Iterable

from distcomp.api.records import FailureGroup
from distcomp.model import Cause, Outcome

MOST_READ = 20_000
"""Of more failures than these the first have to do."""
MOST_LOOKED_AT = 200
"""For a glance, which must cost the same whatever has failed."""
WORDS_KEPT = 300


def grouped(failures: Iterable[tuple[str, Outcome | None]]) -> tuple[FailureGroup, ...]:
    """Groups of failed tasks, given by id and outcome (None: it never ran); the most frequent first."""
    found: dict[tuple[Cause, str, str], list[str]] = {}
    for task_id, outcome in failures:
        cause, reason = (outcome.cause, outcome.reason) if outcome else (Cause.LOST, "")
        found.setdefault((cause, reason, _last_words(outcome)), []).append(task_id)
    groups = (FailureGroup(*key, tasks=len(ids), example=ids[0]) for key, ids in found.items())
    return tuple(sorted(groups, key=lambda group: -group.tasks))


def _last_words(outcome: Outcome | None) -> str:
    """The last line of stderr, unless the reason has it already."""
    lines = outcome.stderr_tail.strip().splitlines() if outcome else []
    words = lines[-1].strip()[:WORDS_KEPT] if lines else ""
    return "" if outcome and words in outcome.reason else words
