"""Nodes as people write them."""

from __future__ import annotations

import re
from collections.abc import Sequence

from distcomp.simulate.workload import NodeSpec
from distcomp.units import format_bytes, parse_size

_NODES = re.compile(r"(?:(\d{1,5})\s*x\s*)?([^/x,]+)/\s*(\d{1,5}(?:\.\d+)?)")


def parse_nodes(text: str) -> list[NodeSpec]:
    """Nodes in "10x64G/32, 2x256G/64": how many, memory, cores.

    Raises:
        ValueError: for the user.
    """
    nodes: list[NodeSpec] = []
    for part in text.split(","):
        match = _NODES.fullmatch(part.strip())
        if not match:
            raise ValueError(f"{part.strip()!r} is not a kind of node: write 10x64G/32 for ten of 64 GiB and 32 cores")
        spec = NodeSpec(parse_size(match[2], default_unit="G"), float(match[3]))
        if spec.memory_bytes <= 0 or spec.cores <= 0:
            raise ValueError(f"{part.strip()!r} has no memory or no cores")
        nodes += [spec] * int(match[1] or 1)
    if not nodes:
        raise ValueError(f"{text!r} has no nodes")
    return nodes


def format_nodes(nodes: Sequence[NodeSpec]) -> str:
    """The other way round: "10x64 GiB/32, 2x256 GiB/64"."""
    counts: dict[NodeSpec, int] = {}
    for node in nodes:
        counts[node] = counts.get(node, 0) + 1
    return ", ".join(f"{count}x{format_bytes(node.memory_bytes)}/{node.cores:g}" for node, count in counts.items())
