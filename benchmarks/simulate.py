"""The simulator: how all policies compare on made up workloads, and what a simulated hour costs.

Makespan over its lower bound, geometric mean over families and seeds. The models of others follow their rules as their
pages state them, with nothing of the programs themselves.
"""

from __future__ import annotations

import math
import time

from benchmarks.support import Line, Note, Row
from distcomp.simulate import POLICIES, STUDY_NODE, Report, simulate

FAMILIES = ("flat", "ramp", "jump", "mix", "giants")
SEEDS = (0, 1)
TASKS = 100
OURS = ("cheapest", "newest")
MOST_RATIO = 1.7
RESERVED_RATIO = 1.1
"""By so much it is slower to reserve each task's true peak than to find out: the study has 1.22."""


def run() -> list[Row]:
    """A line for each policy, and one for the speed."""
    ratios: dict[str, float] = {}
    rows: list[Row] = []
    for policy in POLICIES:
        reports = [simulate(name, [STUDY_NODE], policy, seed, TASKS) for name in FAMILIES for seed in SEEDS]
        ratios[policy] = math.exp(sum(math.log(report.ratio) for report in reports) / len(reports))
        name = f"simulated: {policy}, makespan / bound"
        if policy in OURS:
            rows.append(Line(name, ratios[policy], "<=", MOST_RATIO, _detail(reports)))
        else:
            rows.append(Note(name, ratios[policy], _detail(reports)))
    slower = ratios["reserve-true"] / ratios["cheapest"]
    rows.append(Line("simulated: true peaks reserved / ours", slower, ">=", RESERVED_RATIO))
    return [*rows, _speed()]


def _detail(reports: list[Report]) -> str:
    tasks = sum(report.tasks for report in reports)
    wasted_s = sum(report.wasted_s for report in reports)
    all_s = wasted_s + sum(report.kept_s for report in reports)
    returns = sum(report.returns for report in reports)
    open_ = sum(not report.is_complete for report in reports)
    return (
        f"{100 * wasted_s / all_s:.0f} % wasted, {returns / tasks:.2f} returns a task, "
        f"{sum(report.oom_kills for report in reports)} kernel kills"
        + (f", {open_} of {len(reports)} broken off" if open_ else "")
    )


def _speed() -> Line:
    nodes, before_s = 10, time.process_time()
    report = simulate("mix", [STUDY_NODE] * nodes, tasks_per_node=TASKS)
    taken_us = 1e6 * (time.process_time() - before_s)
    detail = f"{nodes} nodes, {report.tasks:,} tasks, {report.makespan_s:.0f} s simulated in {taken_us / 1e6:.1f} s"
    return Line("simulated: CPU time per node and second, us", taken_us / nodes / report.makespan_s, "<=", 100, detail)
