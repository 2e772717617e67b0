"""What was thrown away and how well the nodes were used: after a run, in `status` and with `results`."""

from __future__ import annotations

import json
import sys

import pytest

from distcomp.cli.waste import use_line, waste_line
from distcomp.model import Cause, Use
from tests.support.sandbox import Sandbox

GROWS = "import time; held = bytes([1]) * (80 * 2**20); time.sleep(3.5)"


def test_a_run_a_status_and_results_tell_of_use_and_waste(kept: Sandbox) -> None:
    kept.write("tasks.txt", f'{sys.executable} -c "{GROWS}"\nsleep 0.2; exit 3\n')
    options = ("--plain", "--retries", "0", "--set", "memory=400M")
    summary = json.loads(kept.distcomp("run", "tasks.txt", *options, "--json", exit_code=1).stdout)
    assert summary["attempts"] == {"finished": 1, "exit": 1}
    assert 0.2 <= summary["spent_s"]["exit"] < 3.5 <= summary["spent_s"]["finished"]
    assert summary["use"]["span_s"] > 0.5
    assert summary["use"]["peak_memory_fraction"] == pytest.approx(0.22, abs=0.05)

    assert kept.json("status")["use"] == summary["use"]
    for command in (("status",), ("results",)):
        done = kept.distcomp(*command)
        assert "came to nothing: exit: 1 attempt, " in done.stdout + done.stderr
        assert " at most; cores " in done.stdout + done.stderr


def test_nothing_is_said_where_nothing_was_wasted_or_little_was_seen() -> None:
    assert waste_line({Cause.FINISHED: 3}, {Cause.FINISHED: 9.0}) == ""
    assert use_line(Use(span_s=0.1, memory_byte_s=1, total_byte_s=2)) == ""


def test_waste_is_told_in_all_and_by_cause() -> None:
    line = waste_line(
        {Cause.FINISHED: 9, Cause.EVICTED: 2, Cause.OOM: 1},
        {Cause.FINISHED: 90.0, Cause.EVICTED: 6.0, Cause.OOM: 4.0},
    )
    assert line == "10s of 1m40s (10 %) came to nothing: evicted: 2 attempts, 6s; oom: 1 attempt, 4s"


def test_use_is_mean_and_peak() -> None:
    use = Use(
        span_s=10, memory_byte_s=61, total_byte_s=100, core_s=8, total_core_s=160, peak_memory_fraction=0.93,
        peak_cores_fraction=1,
    )  # fmt: skip
    assert use_line(use) == "memory 61 % on average, 93 % at most; cores 5 % on average, 100 % at most"
