"""What sound is worth, in listeners: the recommender measured on held-out artists.

    python -m examples.recommender.evaluate                      # redraw the picture from the JSON
    python -m examples.recommender.evaluate --runs runs/linear   # measure as well

`make linear` leaves what is measured: five folds, each with the factors and the encoder that heard
none of its artists. Logs without timestamps (HetRec has none) are seen in a random order.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

import numpy as np

from examples.recommender.evaluation import curve, mixed, picture, tables
from examples.recommender.evaluation.folds import Fold, load_fold

ROOT = Path(__file__).parents[2]
RESULT = ROOT / "docs/figures/sound_in_listeners.json"
PICTURE = RESULT.with_suffix(".svg")
SETS, N_FOLDS = ("recordings", "renderings"), 5


def measure(folds: list[Fold]) -> dict[str, Any]:
    """Curve and mixed catalogue of each set; the blend of a fold is chosen on the other folds."""
    # Uploads are recordings, and so the blend is chosen on them.
    recordings = [
        curve.measure_songs(fold, fold.songs["recordings"], n, curve.FAMILIES)
        for n, fold in enumerate(folds)
    ]
    chosen_on = [values for values, _ in recordings]
    chosen = {
        family: [curve.choose(chosen_on, family, n) for n in range(len(folds))]
        for family in curve.FAMILIES
    }
    renderings = [
        curve.measure_songs(
            fold,
            fold.songs["renderings"],
            n,
            {family: (found[n],) for family, found in chosen.items()},
        )
        for n, fold in enumerate(folds)
    ]
    measured = {"recordings": recordings, "renderings": renderings}
    return {
        "seen": list(curve.SEEN),
        "chosen": chosen,
        "chosen_on_all": {family: curve.choose(chosen_on, family) for family in curve.FAMILIES},
        "curves": {name: _curve(measured[name], chosen) for name in SETS},
        "lengths": curve.lengths(folds),
        "mixed": {name: _mixed(folds, name) for name in SETS},
    }


def _curve(measured: list[tuple[dict[Any, Any], Any]], chosen: dict[str, list[float]]) -> Any:
    by_fold, groups, n_artists = [], [], 0
    for fold, (values, artists) in enumerate(measured):
        named = {name: songs for name, songs in values.items() if isinstance(name, str)}
        named |= {family: values[family, chosen[family][fold]] for family in chosen}
        by_fold.append(named)
        # Numbered through: only artists with enough listeners are measured.
        index = np.unique(artists, return_inverse=True)[1]
        groups.append(index + n_artists)
        n_artists += index.max() + 1
    joined = {name: np.concatenate([fold[name] for fold in by_fold]) for name in by_fold[0]}
    return curve.summarize(joined, np.concatenate(groups))


def _mixed(folds: list[Fold], name: str) -> dict[str, Any]:
    catalogues = [mixed.mix(fold, name, n) for n, fold in enumerate(folds)]
    users = [user for fold in folds for user in fold.factors.users]
    groups = np.unique(users, return_inverse=True)[1]
    rules = {rule: [mixed.judge(some, *rule) for some in catalogues] for rule in mixed.RULES}
    aucs = np.mean([some.user_auc for some in catalogues], 0)
    return {
        "n_new": round(float(np.mean([some.n_new for some in catalogues])), 1),
        "n_old": round(float(np.mean([some.n_old for some in catalogues])), 1),
        "user_auc_of_fold_and_mapped": np.round(aucs, 4).tolist(),
        "rules": [mixed.summarize(rule, values, groups) for rule, values in rules.items()],
    }


def main() -> None:
    parser = argparse.ArgumentParser(
        prog="python -m examples.recommender.evaluate", description=__doc__
    )
    parser.add_argument("--runs", type=Path, help="measure again, from the folds in this folder")
    parser.add_argument("--bundle", default="cf-estimator", help="the encoder in a fold")
    sets = [f"runs/linear/{kind}/{name}" for kind in ("cf-estimator", "whole") for name in SETS]
    parser.add_argument("--prepared", type=Path, nargs="+", default=[ROOT / name for name in sets])
    logs = ROOT.parent / "shared/data/lastfm-hetrec2011/user_artists.csv"
    parser.add_argument("--logs", type=Path, default=logs)
    parser.add_argument("--tables", action="store_true", help="print the tables of README.md")
    given = parser.parse_args()
    if given.runs:
        folds = [
            load_fold(given.runs / f"fold{n}", given.bundle, given.prepared, given.logs)
            for n in range(N_FOLDS)
        ]
        RESULT.write_text(json.dumps(measure(folds), indent=1) + "\n")
    figures = json.loads(RESULT.read_text())
    PICTURE.write_text(picture.draw(figures))
    if given.tables:
        for rows in (
            *(tables.curve_table(figures, name) for name in SETS),
            tables.mixed_table(figures),
            tables.length_table(figures),
        ):
            print("\n".join([*rows, ""]))


if __name__ == "__main__":
    main()
