"""The picture of the report, as SVG text: two panels that share their cache sizes. Needs nothing but Python."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from html import escape

WIDTH, HEIGHT = 1000, 440
TOP, BOTTOM = 70, 380
# Colours that stay apart for colour-blind eyes (Okabe and Ito).
BETTER, TIE, WORSE, MEAN = "#0072b2", "#999999", "#d55e00", "#222222"
LINE_COLOURS = ("#222222", "#0072b2", "#009e73", "#e69f00", "#cc79a7")
DOT_RADIUS = 4.5
FONT = 'font-family="sans-serif" font-size="13"'


@dataclass(frozen=True)
class Panel:
    """A rectangle of the picture: cache sizes side by side, relative differences upwards from `low` to `high`."""

    left: float
    right: float
    n_sizes: int
    low: float
    high: float

    def x(self, size_index: int) -> float:
        """The middle of a cache size."""
        return self.left + (self.right - self.left) * (size_index + 0.5) / self.n_sizes

    def y(self, difference: float) -> float:
        """The height of a relative difference."""
        return BOTTOM - (BOTTOM - TOP) * (difference - self.low) / (self.high - self.low)

    def ticks(self) -> list[float]:
        """Round relative differences, six or so, that cover the panel's range."""
        step = tick_step(self.high - self.low)
        return [index * step for index in range(math.ceil(self.low / step), math.floor(self.high / step + 1e-9) + 1)]


def tick_step(span: float) -> float:
    """A round step that divides `span` into at most eight."""
    power = 10.0 ** math.floor(math.log10(span / 8))
    return next(factor * power for factor in (1, 2, 5, 10) if factor * power * 8 >= span)


def panel_for(differences: Sequence[float], left: float, right: float, n_sizes: int) -> Panel:
    """A panel whose range holds all the values and zero, and ends at round numbers."""
    low, high = min([0.0, *differences]), max([0.0, *differences])
    if low == high:
        high = 0.01
    step = tick_step(high - low)
    return Panel(left, right, n_sizes, math.floor(low / step) * step, math.ceil(high / step) * step)


def text(x: float, y: float, content: str, style: str = "") -> str:
    """A piece of text, by default starting at x."""
    return f'<text x="{x:.1f}" y="{y:.1f}" {style}>{escape(content)}</text>'


def line(x1: float, y1: float, x2: float, y2: float, style: str) -> str:
    """A straight line."""
    return f'<line x1="{x1:.1f}" y1="{y1:.1f}" x2="{x2:.1f}" y2="{y2:.1f}" {style}/>'


def frame(panel: Panel, title: str, explanation: str, size_names: Sequence[str]) -> Iterator[str]:
    """What both panels have: titles, grid with percentages, names of the cache sizes."""
    yield text(panel.left - 50, TOP - 40, title, 'font-weight="bold"')
    yield text(panel.left - 50, TOP - 20, explanation, 'fill="#555555"')
    for tick in panel.ticks():
        colour = "#555555" if abs(tick) < 1e-9 else "#dddddd"
        yield line(panel.left, panel.y(tick), panel.right, panel.y(tick), f'stroke="{colour}"')
        yield text(panel.left - 8, panel.y(tick) + 4, f"{tick * 100:+.3g}".replace("+0", "0"), 'text-anchor="end"')
    for index, name in enumerate(size_names):
        yield text(panel.x(index), BOTTOM + 20, name, 'text-anchor="middle"')
    middle = (panel.left + panel.right) / 2
    yield text(middle, BOTTOM + 42, "cache size, of the trace's objects", 'text-anchor="middle" fill="#555555"')


def swarm(panel: Panel, differences: Mapping[str, float]) -> Iterator[tuple[str, float, float]]:
    """For each trace (name, sideways shift, height) such that no two dots overlap."""
    placed: list[tuple[float, float]] = []
    steps = sorted((side * step for step in range(40) for side in (-1, 1)), key=abs)
    for trace, difference in sorted(differences.items(), key=lambda item: item[1]):
        y = panel.y(difference)
        shift = next(
            step * DOT_RADIUS
            for step in steps
            if all(math.dist((step * DOT_RADIUS, y), dot) > 2 * DOT_RADIUS for dot in placed)
        )
        placed.append((shift, y))
        yield trace, shift, y


def dots_of(panel: Panel, index: int, differences: Mapping[str, float]) -> Iterator[str]:
    """One cache size of the left panel: a dot for each trace, and a bar for their mean."""
    for trace, shift, y in swarm(panel, differences):
        difference = differences[trace]
        colour = BETTER if difference < 0 else WORSE if difference > 0 else TIE
        name = f"<title>{escape(trace)}: {difference * 100:+.2f} %</title>"
        yield f'<circle cx="{panel.x(index) + shift:.1f}" cy="{y:.1f}" r="{DOT_RADIUS}" fill="{colour}">{name}</circle>'
    if differences:
        mean = panel.y(sum(differences.values()) / len(differences))
        yield line(panel.x(index) - 22, mean, panel.x(index) + 22, mean, f'stroke="{MEAN}" stroke-width="2.5"')


def curve(panel: Panel, values: Sequence[float], colour: str) -> Iterator[str]:
    """One algorithm of the right panel: a line through the cache sizes."""
    points = [(panel.x(index), panel.y(value)) for index, value in enumerate(values)]
    path = " ".join(f"{x:.1f},{y:.1f}" for x, y in points)
    yield f'<polyline points="{path}" fill="none" stroke="{colour}" stroke-width="2"/>'
    yield from (f'<circle cx="{x:.1f}" cy="{y:.1f}" r="3" fill="{colour}"/>' for x, y in points)


def coloured(lines: Mapping[str, Sequence[float]]) -> Iterator[tuple[tuple[str, Sequence[float]], str]]:
    """The lines, each with its colour."""
    return zip(lines.items(), LINE_COLOURS, strict=False)


def labels(panel: Panel, lines: Mapping[str, Sequence[float]]) -> Iterator[str]:
    """The names of the algorithms beside the ends of their lines, moved apart where they would overlap."""
    free_y = TOP - 20.0
    for (name, values), colour in sorted(coloured(lines), key=lambda item: -item[0][1][-1]):
        end = panel.y(values[-1])
        y = free_y = max(end, free_y + 16)
        yield line(panel.x(panel.n_sizes - 1) + 5, end, panel.right + 6, y, f'stroke="{colour}" stroke-width="0.7"')
        yield text(panel.right + 10, y + 4, name, f'fill="{colour}"')


def draw(
    size_names: Sequence[str],
    dots_title: str,
    dots: Sequence[Mapping[str, float]],
    lines_title: str,
    lines: Mapping[str, Sequence[float]],
) -> str:
    """The picture. Differences are in misses, as fractions: -0.1 is 10 % fewer.

    Args:
        size_names: the cache sizes.
        dots_title, dots: left panel: for each size, a difference by trace.
        lines_title, lines: right panel: by algorithm, a difference for each size; five algorithms at most.
    """
    left = panel_for([value for by_trace in dots for value in by_trace.values()], 70, 480, len(size_names))
    right = panel_for([value for values in lines.values() for value in values], 580, 860, len(size_names))
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" {FONT}>',
        f'<rect width="{WIDTH}" height="{HEIGHT}" fill="white"/>',
        *frame(left, dots_title, "% more or fewer misses; a dot is a trace, the bar the mean", size_names),
        *(part for index, by_trace in enumerate(dots) for part in dots_of(left, index, by_trace)),
        *frame(right, lines_title, "% more or fewer misses, mean over traces", size_names),
        *(part for (_, values), colour in coloured(lines) for part in curve(right, values, colour)),
        *labels(right, lines),
        "</svg>",
    ]
    return "\n".join(parts) + "\n"
