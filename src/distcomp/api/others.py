"""Tasks that share a job with those of a submission, but are not in it: lines that were taken out of a file since."""

from __future__ import annotations

from collections.abc import Collection, Mapping

import msgspec

from distcomp.api.records import Progress
from distcomp.intake.submitted import Submitted
from distcomp.model import State

ENDED = (State.FINISHED, State.FAILED, State.CANCELLED)


class Others(msgspec.Struct, frozen=True):
    """How many of them had ended, by state, when the submission was made; and how many had not.

    `failed` has the ids of all tasks that had failed by then: none of the submission is among them, as those were put
    back.
    """

    ended: Mapping[State, int] = {}
    left: int = 0
    failed: frozenset[str] = frozenset()

    def without(self, progress: Progress) -> Progress:
        """The progress of the jobs without those of the others that had ended."""
        counts = {state: max(0, number - self.ended.get(state, 0)) for state, number in progress.counts.items()}
        return msgspec.structs.replace(progress, counts=counts)


def others_of(submitted: Submitted, counts: Mapping[State, int], retried: Collection[State]) -> Others:
    """Work out who the others are.

    Args:
        submitted: what came of the submission.
        counts: tasks of its jobs by state, right after it.
        retried: states of which its known tasks were put back into todo.
    """
    number = sum(counts.values()) - (submitted.tasks - submitted.equal)
    ended, left = {}, max(0, number)
    for state in ENDED:
        ours = 0 if state in retried else submitted.known.get(state, 0)
        # Ours may have ended meanwhile, where a worker is at it: the number of all others is certain.
        ended[state] = min(left, max(0, counts[state] - ours))
        left -= ended[state]
    return Others(ended, left)
