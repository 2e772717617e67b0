"""What is summed up of the use of a node."""

from __future__ import annotations

import pytest

from distcomp.worker.usemeter import UseMeter

GIB = 2**30


def test_use_is_summed_while_anything_runs_and_only_then() -> None:
    meter = UseMeter()
    meter.note(100, 1, 0, 8 * GIB, 3, 4)
    meter.note(102, 1, 4 * GIB, 8 * GIB, 2, 4)
    meter.note(104, 0, 0, 8 * GIB, 1, 4)
    meter.note(999, 0, 0, 8 * GIB, 4, 4)

    use = meter.use
    assert (use.span_s, use.memory_byte_s, use.total_byte_s) == (4, 2 * 2 * GIB + 2 * 2 * GIB, 4 * 8 * GIB)
    assert (use.core_s, use.total_core_s) == (2 * 2 + 2 * 1, 4 * 4)
    assert (use.memory_fraction, use.cores_fraction) == (0.25, 0.375)


def test_peaks_are_parts_of_what_there_is() -> None:
    meter = UseMeter()
    meter.note(0, 1, 6 * GIB, 8 * GIB, 4, 4)
    meter.note(1, 1, 2 * GIB, 8 * GIB, 5, 4)
    assert meter.use.peak_memory_fraction == pytest.approx(0.75)
    assert meter.use.peak_cores_fraction == 1, "more than may be used is no more than all"
