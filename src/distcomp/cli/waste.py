"""What was thrown away, and how well the nodes were used, in a line each."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from distcomp.cli import render
from distcomp.model import Cause

if TYPE_CHECKING:
    from distcomp.model import Use

_LEAST_SPAN_S = 0.5
"""Of a shorter time there are too few looks to tell of."""


def waste_line(attempts: Mapping[Cause, int], spent_s: Mapping[Cause, float]) -> str:
    """Task-seconds of attempts that came to nothing, in all and by cause; "" when there were none."""
    lost = {cause: number for cause, number in attempts.items() if number and cause is not Cause.FINISHED}
    if not lost:
        return ""
    lost_s, total_s = sum(spent_s.get(cause, 0.0) for cause in lost), sum(spent_s.values())
    causes = "; ".join(
        f"{cause}: {render.number_of(number, 'attempt')}, {render.duration(spent_s.get(cause, 0.0))}"
        for cause, number in lost.items()
    )
    part = f" ({_percent(lost_s / total_s)})" if total_s else ""
    return f"{render.duration(lost_s)} of {render.duration(total_s)}{part} came to nothing: {causes}"


def use_line(use: Use) -> str:
    """Mean and peak use of memory and cores; "" when that is not known."""
    if use.span_s < _LEAST_SPAN_S:
        return ""
    mean_memory, mean_cores = use.memory_fraction, use.cores_fraction
    # The peak is of looks, and the mean goes straight from one to the next.
    most_memory, most_cores = max(mean_memory, use.peak_memory_fraction), max(mean_cores, use.peak_cores_fraction)
    return (
        f"memory {_percent(mean_memory)} on average, {_percent(most_memory)} at most"
        f"; cores {_percent(mean_cores)} on average, {_percent(most_cores)} at most"
    )


def _percent(fraction: float) -> str:
    percent = 100 * fraction
    return f"{percent:.0f} %" if percent >= 10 or percent == 0 else f"{percent:.2g} %"
