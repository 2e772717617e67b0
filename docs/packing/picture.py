"""Draws run.svg from run.json: `python docs/packing/picture.py`. Memory over time, an area for each attempt."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

HERE = Path(__file__).parent
WIDTH, HEIGHT, LEFT, BOTTOM, TOP = 900, 380, 62, 40, 26
STEP_S = 0.1
COLOURS = ("#4e79a7", "#76b7b2", "#59a14f", "#8cd17d", "#a0cbe8", "#b6992d", "#9d7660", "#79706e")
RETURNED = "#e15759"
KEEP_FREE = 0.03

Scale = Callable[[float], float]


@dataclass(frozen=True)
class Attempt:
    """One of run.json."""

    task: int
    began_s: float
    ended_s: float
    cause: str
    peak_mib: float
    course: Sequence[int]

    @property
    def is_returned(self) -> bool:
        """Given back, to run again."""
        return self.cause != "finished"

    def mib(self, at_s: float) -> float:
        """In use then: straight from the middle of one part of its course to that of the next."""
        if not self.began_s <= at_s <= self.ended_s:
            return 0.0
        levels = [0, *self.course, self.course[-1]] if self.course else [0, 100]
        at = (at_s - self.began_s) / max(0.01, self.ended_s - self.began_s) * (len(levels) - 1)
        low = min(int(at), len(levels) - 2)
        return self.peak_mib * (levels[low] + (at - low) * (levels[low + 1] - levels[low])) / 100


def main() -> None:
    """Draw it."""
    recorded = json.loads((HERE / "run.json").read_text())
    attempts = [Attempt(*row) for row in recorded["attempts"]]
    (HERE / "run.svg").write_text("\n".join(svg(attempts, recorded["node_mib"])) + "\n")


def svg(attempts: Sequence[Attempt], node_mib: float) -> Iterator[str]:
    """The picture's lines."""
    end_s = max(attempt.ended_s for attempt in attempts)

    def x(at_s: float) -> float:
        return round(LEFT + (WIDTH - LEFT - 10) * at_s / end_s, 1)

    def y(mib: float) -> float:
        return round(HEIGHT - BOTTOM - (HEIGHT - BOTTOM - TOP) * mib / node_mib, 1)

    yield f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" font-family="sans-serif"'
    yield ' font-size="12">'
    yield f'<rect width="{WIDTH}" height="{HEIGHT}" fill="#fff"/>'
    marks: list[str] = []
    floor = [0.0] * (int(end_s / STEP_S) + 2)
    for number, attempt in enumerate(attempts):
        inside = [at for at in range(len(floor)) if attempt.began_s <= at * STEP_S <= attempt.ended_s]
        if not inside:
            continue
        lower = [(x(at * STEP_S), y(floor[at])) for at in inside]
        for at in inside:
            floor[at] += attempt.mib(at * STEP_S)
        upper = [(x(at * STEP_S), y(floor[at])) for at in inside]
        yield from _area(attempt, [*lower, *reversed(upper)], COLOURS[number % len(COLOURS)])
        if attempt.is_returned:
            marks.append(_cross(upper[-1][0], (upper[-1][1] + lower[-1][1]) / 2))
    yield from marks
    yield from _frame(x, y, end_s, node_mib, len(marks))
    yield "</svg>"


def _area(attempt: Attempt, outline: Sequence[tuple[float, float]], colour: str) -> Iterator[str]:
    points = " ".join(f"{px},{py}" for px, py in outline)
    colour = RETURNED if attempt.is_returned else colour
    what = f"{attempt.cause}, {attempt.peak_mib} MiB, {attempt.began_s} to {attempt.ended_s} s"
    yield f'<polygon points="{points}" fill="{colour}" stroke="#fff" stroke-width=".6">'
    yield f"<title>task {attempt.task}: {what}</title></polygon>"


def _cross(px: float, py: float) -> str:
    return f'<path d="M{px - 4:.1f},{py - 4:.1f}l8,8m0,-8l-8,8" stroke="#7a0c0e" stroke-width="2.2"/>'


def _frame(x: Scale, y: Scale, end_s: float, node_mib: float, returns: int) -> Iterator[str]:
    top, line = y(node_mib), y(node_mib * (1 - KEEP_FREE))
    yield f'<path d="M{LEFT},{top}H{WIDTH - 10}" stroke="#333"/>'
    yield f'<path d="M{LEFT},{line}H{WIDTH - 10}" stroke="#333" stroke-dasharray="4 3"/>'
    what = f"the node has {node_mib} MiB; dashed: {node_mib * KEEP_FREE:.0f} MiB of them kept free"
    yield f'<text x="{LEFT}" y="{top - 8}">{what}</text>'
    yield f'<path d="M{LEFT},{TOP}V{y(0)}H{WIDTH - 10}" stroke="#333" fill="none"/>'
    for mib in range(0, int(node_mib), 512):
        yield f'<text x="{LEFT - 6}" y="{y(mib) + 4}" text-anchor="end">{mib} MiB</text>'
    for at_s in range(0, int(end_s) + 1, 5):
        yield f'<text x="{x(at_s)}" y="{y(0) + 16}" text-anchor="middle">{at_s} s</text>'
    yield _cross(WIDTH - 312, HEIGHT - 9)
    yield f'<text x="{WIDTH - 302}" y="{HEIGHT - 5}">given back for memory ({returns} times), run again later</text>'


if __name__ == "__main__":
    main()
