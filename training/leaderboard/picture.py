"""Picture of a leaderboard: mean gain over the baseline by CPU time of a clip, as SVG."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from html import escape
from math import ceil, floor, log10

from training.leaderboard.figures import Figures
from training.leaderboard.ranking import find_entry, mean_gain

ORANGE, GREY, DARK, LIGHT = "#c2410c", "#57534e", "#292524", "#d6d3d1"
WIDTH, HEIGHT = 830, 470
# Left, top, width and height of the plotting area.
CHART = (62, 56, 740, 350)
SIZE = 12
# Mean width of a letter, as a share of the font size, which places of labels are chosen by.
LETTER = 0.56
STEPS = (1, 2, 5)


@dataclass(frozen=True)
class Point:
    """An entry in the picture: cost in ms, gain in points, and its place in pixels."""

    name: str
    ms: float
    gain: float
    x: float = 0.0
    y: float = 0.0


@dataclass(frozen=True)
class Box:
    """A rectangle in pixels."""

    left: float
    top: float
    width: float
    height: float

    def overlap(self, other: Box) -> float:
        """Area that both cover."""
        width = min(self.left + self.width, other.left + other.width) - max(self.left, other.left)
        height = min(self.top + self.height, other.top + other.height) - max(self.top, other.top)
        return max(width, 0) * max(height, 0)


def draw(figures: Figures) -> str:
    """The SVG of the entries that have a cost and a gain; the baseline is the line at 0."""
    left, top, width, height = CHART
    points = find_points(figures)
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" '
        f'font-family="sans-serif" font-size="{SIZE}" fill="{DARK}">',
        f'<rect width="{WIDTH}" height="{HEIGHT}" fill="#fff"/>',
        _text(left, 26, f"Mean gain over {figures.baseline}, by CPU time of a clip", bold=True),
        _text(left, top - 12, "points, mean over tasks", fill=GREY),
        _text(left + width / 2, top + height + 44, "ms a clip on one core", anchor="middle"),
    ]
    if points:
        gains, places = _gain_ticks(points), _ms_ticks(points)
        parts += _axes(gains, places, figures.baseline)
        parts += _entries([_place(point, gains, places) for point in points])
    return "\n".join([*parts, "</svg>\n"])


def find_points(figures: Figures) -> list[Point]:
    """Cost of every entry, and its gain on the folds that all were judged on; by cost."""
    figures = figures.on_same_folds()
    baseline = find_entry(figures, figures.baseline)
    points = []
    for entry in figures.entries:
        gain = mean_gain(figures, entry, baseline) if baseline else None
        if entry.cost and gain and entry.name != figures.baseline:
            points.append(Point(entry.name, entry.cost.ms["float32"], gain.value))
    return sorted(points, key=lambda point: (point.ms, point.name))


def _gain_ticks(points: Sequence[Point]) -> list[float]:
    """Round values from below the lowest gain, or 0, to above the highest."""
    low, high = (limit([0.0, *(point.gain for point in points)]) for limit in (min, max))
    step = _round_step(max(high - low, 1.0) / 5)
    return [step * index for index in range(floor(low / step), ceil(high / step) + 1)]


def _round_step(value: float) -> float:
    """The smallest of 1, 2, 5 times a power of ten that is not below a value."""
    power = 10.0 ** floor(log10(value))
    return next(step * power for step in (*STEPS, 10) if step * power >= value * (1 - 1e-9))


def _ms_ticks(points: Sequence[Point]) -> list[float]:
    """1, 2, 5 times powers of ten, from below the lowest cost to above the highest."""
    low, high = (limit(point.ms for point in points) for limit in (min, max))
    powers = range(floor(log10(low)) - 1, ceil(log10(high)) + 1)
    values = [step * 10.0**power for power in powers for step in STEPS]
    first = max(index for index, value in enumerate(values) if value <= low)
    last = min(index for index, value in enumerate([*values, 10 * values[-1]]) if value >= high)
    return values[first : max(last, first + 1) + 1]


def _axes(gains: Sequence[float], places: Sequence[float], baseline: str) -> list[str]:
    left, top, width, height = CHART
    parts = []
    for gain in gains:
        y = _y(gain, gains)
        colour = LIGHT if gain else GREY
        label = f"{gain:+g}".replace("-", "−") if gain else "0"
        parts += [
            f'<path d="M{left} {y:.1f}h{width}" stroke="{colour}" fill="none"/>',
            _text(left - 6, y + 4, label, fill=GREY, anchor="end"),
        ]
    for ms in places:
        x = _x(ms, places)
        parts += [
            f'<path d="M{x:.1f} {top}v{height}" stroke="{LIGHT}" fill="none"/>',
            _text(x, top + height + 18, f"{ms:g}", fill=GREY, anchor="middle"),
        ]
    name = _text(left + width - 4, _y(0, gains) - 5, baseline, fill=GREY, anchor="end")
    return [*parts, name]


def _x(ms: float, places: Sequence[float]) -> float:
    left, _, width, _ = CHART
    return left + width * (log10(ms) - log10(places[0])) / (log10(places[-1]) - log10(places[0]))


def _y(gain: float, gains: Sequence[float]) -> float:
    _, top, _, height = CHART
    return top + height * (gains[-1] - gain) / (gains[-1] - gains[0])


def _place(point: Point, gains: Sequence[float], places: Sequence[float]) -> Point:
    return Point(point.name, point.ms, point.gain, _x(point.ms, places), _y(point.gain, gains))


def _entries(points: Sequence[Point]) -> list[str]:
    """A dot for each entry, and its name where it covers least of the dots and other names."""
    taken = [Box(point.x - 5, point.y - 5, 10, 10) for point in points]
    parts = []
    for point in points:
        parts.append(f'<circle cx="{point.x:.1f}" cy="{point.y:.1f}" r="4" fill="{ORANGE}"/>')
        box = min(_label_boxes(point), key=lambda box: _cost_of(box, taken))
        taken.append(box)
        if abs(box.top + box.height / 2 - point.y) > SIZE:
            end = box.top if box.top > point.y else box.top + box.height
            x = min(max(point.x, box.left), box.left + box.width)
            parts.append(
                f'<path d="M{point.x:.1f} {point.y:.1f}L{x:.1f} {end:.1f}" stroke="{GREY}" '
                'stroke-width="0.6" fill="none"/>'
            )
        parts.append(_text(box.left, box.top + SIZE - 2, point.name))
    return parts


def _label_boxes(point: Point) -> list[Box]:
    """Places of a label: beside the dot, then above and below it, ever further away."""
    width = LETTER * SIZE * len(point.name)
    shifts = [0, *(sign * row * (SIZE + 3) for row in range(1, 8) for sign in (-1, 1))]
    lefts = (point.x + 9, point.x - 9 - width)
    return [Box(left, point.y - SIZE / 2 + dy, width, SIZE) for dy in shifts for left in lefts]


def _cost_of(box: Box, taken: Sequence[Box]) -> float:
    """Area that is covered already, or outside of the plotting area."""
    outside = box.width * box.height - box.overlap(Box(*CHART))
    return outside + sum(box.overlap(other) for other in taken)


def _text(
    x: float, y: float, text: str, *, bold: bool = False, fill: str = DARK, anchor: str = "start"
) -> str:
    style = 'font-size="14" font-weight="600" ' if bold else ""
    return (
        f'<text x="{x:.1f}" y="{y:.1f}" {style}fill="{fill}" text-anchor="{anchor}">'
        f"{escape(text, quote=False)}</text>"
    )
