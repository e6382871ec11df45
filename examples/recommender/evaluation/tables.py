"""Tables of examples/recommender/README.md, in Markdown."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from examples.recommender.evaluation.curve import BLEND, CEILING, FOLD_IN, POPULARITY, WEIGHTED
from examples.recommender.evaluation.folds import MEAN, PREDICTION, RIDGE

ROWS = (PREDICTION, FOLD_IN, BLEND, WEIGHTED, POPULARITY, MEAN, RIDGE, CEILING)
CONSTANT = (PREDICTION, POPULARITY, MEAN, RIDGE, CEILING)
SHOWN = {PREDICTION: "sound alone", FOLD_IN: "plays alone (fold-in)"}


def curve_table(figures: dict[str, Any], name: str) -> list[str]:
    """User AUC by listeners seen; what sees none has its value once, with its interval."""
    curve, seen = figures["curves"][name], figures["seen"]
    rows = [
        f"| {name}: listeners seen | {' | '.join(map(str, seen))} |",
        "|---|" + "---|" * len(seen),
    ]
    for method in ROWS:
        points = curve["user_auc"][method]
        if method in CONSTANT:
            cells = [_interval(points[0]), *[""] * (len(seen) - 1)]
        else:
            cells = [f"{mean:.3f}" for mean, _, _ in points]
        rows.append(f"| {SHOWN.get(method, method)} | {' | '.join(cells)} |")
    for pair in (f"{BLEND} minus {FOLD_IN}", f"{BLEND} minus {PREDICTION}"):
        cells = [_signed(point) for point in curve["differences"][pair]]
        rows.append(f"| *{pair}* | {' | '.join(cells)} |")
    return rows


def mixed_table(figures: dict[str, Any]) -> list[str]:
    """Each rule: share of new songs in the top 10, their recall, and what old items lose."""
    rows = [
        "| rule | set | new in top 10 | recall@10 of new songs | loss of nDCG@10 of old items |",
        "|---|---|---|---|---|",
    ]
    for number, rule in enumerate(figures["mixed"]["recordings"]["rules"]):
        for name in ("recordings", "renderings"):
            found = figures["mixed"][name]["rules"][number]
            cells = [
                _name(rule) if name == "recordings" else "",
                name,
                f"{found['share_new'][0]:.3f}",
                _interval(found["recall_new"]),
                _interval(found["ndcg_loss"], 4),
            ]
            rows.append(f"| {' | '.join(cells)} |")
    return rows


def length_table(figures: dict[str, Any]) -> list[str]:
    """Mean length of item factors and of blends."""
    seen, lengths = figures["seen"], figures["lengths"]
    head = [f"| listeners | {' | '.join(map(str, seen))} |", "|---|" + "---|" * len(seen)]
    names = {"item factors": "item factors of so many listeners", "blends": "blends of new songs"}
    return head + [
        f"| {shown} | {' | '.join(f'{value:.3f}' if value else '–' for value in lengths[name])} |"
        for name, shown in names.items()
    ]


def _name(rule: dict[str, Any]) -> str:
    if rule["length_quantile"] is None:
        return f"length of the blend, {rule['slots']} of 10 places kept"
    return f"length of the {100 * rule['length_quantile']:g} % quantile"


def _interval(point: Sequence[float], digits: int = 3) -> str:
    mean, low, high = point
    return f"{mean:.{digits}f} ({low:.{digits}f} – {high:.{digits}f})"


def _signed(point: Sequence[float]) -> str:
    # Rounded first, so that nothing is a negative zero.
    mean, low, high = (round(value, 3) + 0.0 for value in point)
    return f"{mean:+.3f} ({low:+.3f} to {high:+.3f})"
