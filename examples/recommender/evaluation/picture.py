"""Picture: user AUC by the listeners seen, of sound, plays and their blend."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from docs.figures.new_song import DARK, GREY, LIGHT, ORANGE, _text
from examples.recommender.evaluation.curve import BLEND, CEILING, FOLD_IN
from examples.recommender.evaluation.folds import MEAN, PREDICTION, RIDGE

WIDTH, HEIGHT = 830, 392
LEFTS, TOP, PLOT_WIDTH, PLOT_HEIGHT = (62, 470), 66, 330, 236
LOW, HIGH = 0.5, 1.0
BLUE = "#1d4ed8"
LINES = {
    CEILING: ("ceiling: all listeners known", "#a8a29e", "6 3"),
    BLEND: ("blend of sound and plays", BLUE, ""),
    PREDICTION: ("sound alone", ORANGE, ""),
    FOLD_IN: ("plays alone", GREY, "5 3"),
    RIDGE: ("ridge on mel statistics", "#fdba74", "2 3"),
    MEAN: ("mean vector: neither", "#d6d3d1", "2 3"),
}
TITLES = {"recordings": "Recordings", "renderings": "Renderings"}


def draw(figures: dict[str, Any]) -> str:
    """The SVG: a panel for recordings, one for renderings, their legend below."""
    panels = [
        line
        for left, (name, title) in zip(LEFTS, TITLES.items(), strict=True)
        for line in _panel(left, title, figures["seen"], figures["curves"][name])
    ]
    return "\n".join(
        [
            f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" '
            f'font-family="sans-serif" font-size="12" fill="{DARK}">',
            f'<rect width="{WIDTH}" height="{HEIGHT}" fill="#fff"/>',
            *panels,
            *_legend(),
            "</svg>\n",
        ]
    )


def _panel(left: float, title: str, seen: Sequence[int], curve: dict[str, Any]) -> list[str]:
    worth = curve["worth_listeners"]
    parts = [
        _text(left, 22, f"{title}: sound is worth {worth[0]:.1f} listeners", size=14, weight=600),
        _text(
            left,
            42,
            f"({worth[1]:.1f} – {worth[2]:.1f}; {curve['n_songs']} songs of {curve['n_artists']} "
            "held-out artists)",
            fill=GREY,
        ),
    ]
    for number, n in enumerate(seen):
        x = _x(left, number, seen)
        parts += [
            f'<path d="M{x:.1f} {TOP}v{PLOT_HEIGHT}" stroke="{LIGHT}"/>',
            _text(x, TOP + PLOT_HEIGHT + 16, str(n), fill=GREY, anchor="middle"),
        ]
    for tenths in range(5, 11):
        y = _y(tenths / 10)
        parts += [
            f'<path d="M{left} {y:.1f}h{PLOT_WIDTH}" stroke="{LIGHT}"/>',
            _text(left - 6, y + 4, f"{tenths / 10:.1f}", fill=GREY, anchor="end"),
        ]
    parts.append(
        _text(left + PLOT_WIDTH / 2, TOP + PLOT_HEIGHT + 34, "listeners seen", anchor="middle")
    )
    parts.append(_text(left, TOP - 8, "user AUC", fill=GREY))
    for method, (_, colour, dashes) in LINES.items():
        parts += _line(left, seen, curve["user_auc"][method], colour, dashes)
    return parts


def _line(
    left: float, seen: Sequence[int], points: Sequence[Sequence[float]], colour: str, dashes: str
) -> list[str]:
    """Interval as a band, mean as a line."""
    xs = [_x(left, number, seen) for number in range(len(seen))]
    upper = [f"{x:.1f},{_y(high):.1f}" for x, (_, _, high) in zip(xs, points, strict=True)]
    lower = [f"{x:.1f},{_y(low):.1f}" for x, (_, low, _) in zip(xs, points, strict=True)]
    mean = [f"{x:.1f},{_y(value):.1f}" for x, (value, _, _) in zip(xs, points, strict=True)]
    return [
        f'<polygon points="{" ".join([*upper, *lower[::-1]])}" fill="{colour}" opacity="0.12"/>',
        f'<polyline points="{" ".join(mean)}" fill="none" stroke="{colour}" stroke-width="2.2" '
        f'stroke-dasharray="{dashes}"/>',
    ]


def _legend() -> list[str]:
    parts = []
    for number, (label, colour, dashes) in enumerate(LINES.values()):
        x, y = LEFTS[0] + 250 * (number % 3), HEIGHT - 28 + 18 * (number // 3)
        parts += [
            f'<path d="M{x} {y - 4}h26" stroke="{colour}" stroke-width="2.2" '
            f'stroke-dasharray="{dashes}"/>',
            _text(x + 32, y, label),
        ]
    return parts


def _x(left: float, number: int, seen: Sequence[int]) -> float:
    """Points at equal distances, since the first listeners tell most."""
    return left + PLOT_WIDTH * number / (len(seen) - 1)


def _y(auc: float) -> float:
    return TOP + PLOT_HEIGHT * (HIGH - auc) / (HIGH - LOW)
