"""How an attempt's memory went, in so few numbers that they can be kept with it."""

from __future__ import annotations

MOST = 16
"""Numbers kept."""
_FIRST_STEP_S = 1 / 16
_PERCENT = 100


class Course:
    """The most that was used in each of at most MOST equal spans since the start.

    How long an attempt will last is not known: when the spans are used up, each two become one.
    """

    __slots__ = ("_levels_bytes", "_step_s")

    def __init__(self) -> None:
        self._levels_bytes: list[int] = []
        self._step_s = _FIRST_STEP_S

    def note(self, age_s: float, used_bytes: int) -> None:
        """So much was used at that age of the attempt."""
        while age_s >= MOST * self._step_s:
            self._levels_bytes = _halved(self._levels_bytes)
            self._step_s *= 2
        levels, at = self._levels_bytes, int(age_s / self._step_s)
        if at < len(levels):
            levels[at] = max(levels[at], used_bytes)
            return
        # Between two looks, as if it had gone straight from the one to the other.
        before, missing = (levels[-1] if levels else 0), at + 1 - len(levels)
        levels += [before + (used_bytes - before) * step // missing for step in range(1, missing + 1)]

    def percent(self, peak_bytes: int) -> tuple[int, ...]:
        """In percent of the peak, from the start to the last look."""
        return tuple(min(_PERCENT, round(_PERCENT * level / max(1, peak_bytes))) for level in self._levels_bytes)


def _halved(levels: list[int]) -> list[int]:
    return [max(levels[at : at + 2]) for at in range(0, len(levels), 2)]
