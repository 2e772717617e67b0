"""Frames of a terminal as one SVG that plays them: no script in it, so it plays wherever pictures are shown."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from html import escape
from itertools import groupby

from terminal import Cell, Style

_CELL_WIDTH, _LINE_HEIGHT, _BASELINE, _MARGIN, _BAR = 8.4, 19, 14, 14, 30
_FOREGROUND, _BACKGROUND = "#d6d9de", "#1b1e24"
_PALETTE = (
    *("#3b4048", "#e06c75", "#8fbf6f", "#dfb469", "#61a5e8", "#c07bd8", "#56b6c2", "#c8ccd4"),
    *("#6b727d", "#ef8088", "#a5d685", "#f0c878", "#7fbaf5", "#d394ea", "#6fcbd6", "#f2f4f8"),
)
_STYLE = """
text { font: 14px ui-monospace, SFMono-Regular, Menlo, Consolas, "DejaVu Sans Mono", monospace; white-space: pre }
"""


@dataclass(frozen=True, slots=True)
class Frame:
    """What is seen from `at_s` on; `cursor` is (row, column), None where it is hidden."""

    at_s: float
    lines: tuple[tuple[Cell, ...], ...]
    cursor: tuple[int, int] | None = None


def to_svg(frames: Sequence[Frame], duration_s: float, title: str) -> str:
    """An SVG that shows each frame in its time, and starts anew after `duration_s`.

    The frames lie side by side, and the strip moves by one frame at a time. Equal lines are there once.
    """
    columns, rows = len(frames[0].lines[0]), max(_used_rows(frame) for frame in frames)
    width = columns * _CELL_WIDTH + 2 * _MARGIN
    height = rows * _LINE_HEIGHT + _BAR + _MARGIN
    numbers: dict[tuple[Cell, ...], int] = {}
    strip = []
    for position, frame in enumerate(frames):
        parts = [
            f'<use href="#l{numbers.setdefault(line, len(numbers))}" y="{row * _LINE_HEIGHT}"/>'
            for row, line in enumerate(frame.lines[:rows])
            if any(character.strip() or style.background for character, style in line)
        ]
        strip.append(f'<g transform="translate({position * width:.1f} 0)">{"".join(parts)}{_cursor(frame)}</g>')
    symbols = "\n".join(f'<g id="l{number}">{_line(line)}</g>' for line, number in numbers.items())
    view = f'viewBox="0 0 {width:.1f} {height}" role="img" xml:space="preserve"'
    return f"""<svg xmlns="http://www.w3.org/2000/svg" {view}>
<title>{escape(title)}</title>
<style>{_STYLE}{_keyframes(frames, duration_s, width)}</style>
<defs>
{symbols}
</defs>
<rect width="{width:.1f}" height="{height}" rx="8" fill="{_BACKGROUND}"/>
<circle cx="20" cy="15" r="5" fill="#e06c75"/><circle cx="37" cy="15" r="5" fill="#dfb469"/>
<circle cx="54" cy="15" r="5" fill="#8fbf6f"/>
<svg fill="{_FOREGROUND}" x="{_MARGIN}" y="{_BAR}" width="{width - 2 * _MARGIN:.1f}" height="{rows * _LINE_HEIGHT}">
<g class="strip">
{chr(10).join(strip)}
</g>
</svg>
</svg>
"""


def _keyframes(frames: Sequence[Frame], duration_s: float, width: float) -> str:
    """The last frame is also what stays where nothing moves: in a picture, or for readers who want it so."""
    last = (len(frames) - 1) * width
    steps = "".join(
        f"{100 * frame.at_s / duration_s:.3f}%{{transform:translateX(-{position * width:.1f}px)}}\n"
        for position, frame in enumerate(frames)
    )
    return f"""
.strip {{ transform: translateX(-{last:.1f}px) }}
@media (prefers-reduced-motion: no-preference) {{
  .strip {{ animation: play {duration_s:.2f}s steps(1, end) infinite }}
}}
@keyframes play {{
{steps}100%{{transform:translateX(-{last:.1f}px)}}
}}
"""


def _used_rows(frame: Frame) -> int:
    return 1 + max((row for row, line in enumerate(frame.lines) if any(c.strip() for c, _ in line)), default=0)


def _cursor(frame: Frame) -> str:
    if frame.cursor is None:
        return ""
    row, column = frame.cursor
    return (
        f'<rect x="{column * _CELL_WIDTH:.1f}" y="{row * _LINE_HEIGHT + 2}" width="{_CELL_WIDTH}" height="16" '
        f'fill="{_FOREGROUND}" opacity="0.7"/>'
    )


def _line(line: Sequence[Cell]) -> str:
    """Backgrounds first, then runs of equally styled text, each at its place whatever the font."""
    backgrounds, texts = [], []
    column = 0
    for style, cells in groupby(line, key=lambda cell: cell[1]):
        run = list(cells)
        text = "".join(character for character, _ in run)
        foreground, background = _colours(style)
        x, length = column * _CELL_WIDTH, len(run) * _CELL_WIDTH
        if background:
            backgrounds.append(f'<rect x="{x:.1f}" width="{length:.1f}" height="{_LINE_HEIGHT}" fill="{background}"/>')
        if text.strip():
            stripped = text.lstrip()
            x += (len(text) - len(stripped)) * _CELL_WIDTH
            stripped = stripped.rstrip()
            texts.append(
                f'<text x="{x:.1f}" y="{_BASELINE}" textLength="{len(stripped) * _CELL_WIDTH:.1f}"'
                f"{_attributes(style, foreground)}>{escape(stripped, quote=False)}</text>"
            )
        column += len(run)
    return "".join(backgrounds + texts)


def _colours(style: Style) -> tuple[str, str]:
    """Foreground, and background or ""."""
    foreground, background = _hex(style.foreground) or _FOREGROUND, _hex(style.background)
    return (background or _BACKGROUND, foreground) if style.reverse else (foreground, background)


def _hex(colour: int | str | None) -> str:
    if colour is None or isinstance(colour, str):
        return colour or ""
    if colour < 16:
        return _PALETTE[colour]
    if colour < 232:
        levels = (0, 95, 135, 175, 215, 255)
        red, green, blue = (levels[(colour - 16) // step % 6] for step in (36, 6, 1))
        return f"#{red:02x}{green:02x}{blue:02x}"
    return "#" + f"{8 + 10 * (colour - 232):02x}" * 3


def _attributes(style: Style, foreground: str) -> str:
    attributes = f' fill="{foreground}"' if foreground != _FOREGROUND else ""
    attributes += ' font-weight="bold"' if style.bold else ""
    attributes += ' font-style="italic"' if style.italic else ""
    attributes += ' text-decoration="underline"' if style.underline else ""
    return attributes + (' opacity="0.6"' if style.dim else "")
