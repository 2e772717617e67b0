"""Replays workloads through packing.py on a virtual clock: other policies, other parameters, other nodes.

Attempts take memory along known curves and share cores; a kernel kills when memory is out, unless the node has a limit
at which attempts wait. A simulated second costs microseconds.
"""

from __future__ import annotations

from distcomp.simulate.engine import Report, Simulation
from distcomp.simulate.families import BENCHMARK_NODE, FAMILIES, STUDY_NODE, family
from distcomp.simulate.fleet import format_nodes, parse_nodes
from distcomp.simulate.replay import Forecast, Measured, alike, forecast, tasks_of
from distcomp.simulate.run import POLICIES, PolicyChoice, ours, simulate
from distcomp.simulate.workload import NodeSpec, Task, lower_bound_s

__all__ = [
    "BENCHMARK_NODE",
    "FAMILIES",
    "POLICIES",
    "STUDY_NODE",
    "Forecast",
    "Measured",
    "NodeSpec",
    "PolicyChoice",
    "Report",
    "Simulation",
    "Task",
    "alike",
    "family",
    "forecast",
    "format_nodes",
    "lower_bound_s",
    "ours",
    "parse_nodes",
    "simulate",
    "tasks_of",
]
