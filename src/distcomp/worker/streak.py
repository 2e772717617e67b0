"""Failures one after another with no success between them: a sign that the node is bad, or that the tasks are."""

from __future__ import annotations

from collections.abc import Callable

from distcomp.model import Cause, Outcome

MOST_KEPT = 10_000
WORDS_SHOWN = 200
DOUBTFUL = 3
"""So many failures in a row are seldom chance; where they are the tasks' own, other nodes have them as well."""
QUIET_S = 30.0
"""Failures so far apart are no streak: the node may have been mended meanwhile."""


class Streak:
    """Follows how attempts end here. Only exits count: timeouts, memory and lost nodes have reasons of their own.

    Args:
        now_s: a monotonic clock.

    `failed` are the tasks of the streak, `last_words` why the last of them failed. `has_succeeded`: any attempt, ever.
    """

    def __init__(self, now_s: Callable[[], float]) -> None:
        self._now_s = now_s
        self._began_s = self._failed_s = now_s()
        self.failed: list[str] = []
        self.last_words = ""
        self.has_succeeded = False

    def note(self, task_id: str, outcome: Outcome) -> None:
        """An attempt has ended."""
        if outcome.cause is Cause.FINISHED:
            self.failed.clear()
            self.has_succeeded = True
        elif outcome.cause is Cause.EXIT:
            now_s = self._now_s()
            if not self.failed or now_s - self._failed_s > QUIET_S:
                self.failed.clear()
                self._began_s = now_s
            self._failed_s = now_s
            said = outcome.stderr_tail.strip().splitlines()[-1:]
            self.last_words = ": ".join([outcome.reason, *said])[:WORDS_SHOWN]
            if len(self.failed) < MOST_KEPT:
                self.failed.append(task_id)

    def may_be_the_nodes(self, outcome: Outcome, *, has_failed_before: bool) -> bool:
        """May this failure, which was noted, be the node's, and not the task's?

        It may where nothing has succeeded yet; and where several have failed in a row, if the task has not failed
        before, which would have been elsewhere.
        """
        is_row = len(self.failed) >= DOUBTFUL and not has_failed_before
        return outcome.cause is Cause.EXIT and (not self.has_succeeded or is_row)

    def is_long(self, after: int) -> bool:
        """Whether it has so many failures, and goes on. 0: never."""
        return 0 < after <= len(self.failed) and self._now_s() - self._failed_s <= QUIET_S

    @property
    def lasts_s(self) -> float:
        """How long ago the first of the failures was."""
        return self._now_s() - self._began_s
