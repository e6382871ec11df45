"""Figure of a new song finding its listeners: measured from an evaluation's folds, or redrawn.

    python -m docs.figures.new_song                                # redraw the SVG from the JSON
    python -m docs.figures.new_song --runs runs/linear             # measure as well

Measuring repeats the evaluation of docs/cf-estimator.md with the encoders that `make linear`
leaves in its folds: the recordings of each fold's held-out artists are embedded by the encoder that
never heard these artists, and every user is ranked by predicted vector · user factor. The JSON
holds curves and the ranks of one clip's listeners: no id, name or file of the data.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

Figures = dict[str, Any]

HERE = Path(__file__).parent
RESULT, PICTURE = HERE / "new_song.json", HERE / "new_song.svg"
ROOT = HERE.parents[1]
N_FOLDS, MIN_LISTENERS = 5, 10
# Percent of the users, best scores first, at which the curves are read.
TOP_PERCENT = list(range(0, 101, 2))


def measure(runs: Path, bundle: str, prepared: Path, logs: Path) -> Figures:
    """User AUC and lift curve of each method over all folds, and the ranks of one clip's listeners.

    Parameters
    ----------
    runs : folder with `fold0` to `fold4`, each with `split.csv`, `factors` and the bundle
    bundle : path of the encoder in a fold
    prepared : recordings of `prepare`, as the encoder hears them
    logs : who listens to whom
    """
    folds = [measure_fold(runs / f"fold{fold}", bundle, prepared, logs) for fold in range(N_FOLDS)]
    user_auc, found = {}, {}
    for method in CURVES:
        user_auc[method] = np.concatenate([fold["user_auc"][method] for fold in folds])
        shares = [_lift(fold["percent"][method], fold["listens"]) for fold in folds]
        found[method] = [round(float(share), 4) for share in np.concatenate(shares).mean(0)]
    median = int(user_auc["network"].argsort(kind="stable")[len(user_auc["network"]) // 2])
    # Folds differ in their users: some have listened to held-out artists alone.
    ranks = [row for fold in folds for row in fold["percent"]["network"]]
    listens = [row for fold in folds for row in fold["listens"]]
    listener_percent = ranks[median][listens[median]]
    return {
        "n_clips": len(user_auc["network"]),
        "n_artists": sum(fold["n_artists"] for fold in folds),
        "n_users": len(listens[median]),
        "top_percent": TOP_PERCENT,
        "methods": {
            method: {"user_auc": round(float(user_auc[method].mean()), 4), "found": found[method]}
            for method in CURVES
        },
        "median_clip": {
            "user_auc": round(float(user_auc["network"][median]), 4),
            "listener_percent": sorted(round(float(rank), 2) for rank in listener_percent),
        },
    }


def measure_fold(folder: Path, bundle: str, prepared: Path, logs: Path) -> dict[str, Any]:
    """User AUC (n_clips,), ranks in percent and listeners (n_clips, n_users) of one fold."""
    from models.bundle import read
    from training.audio.windows import Prepared
    from training.cf.als import Factorization
    from training.cf.logs import read_logs
    from training.estimator.artist_split import load_split
    from training.evaluation.ranking_metrics import clip_measures, held_out
    from training.quantization.agreement import open_cpu

    factors, split = Factorization.load(folder / "factors"), load_split(folder / "split.csv")
    recordings = Prepared.load(prepared)
    parts = recordings.tracks.merge(split[["track_id", "part"]], on="track_id")
    test = parts[(parts["part"] == "test") & (parts["item_id"] != "")]
    clips, enough = held_out(
        test["item_id"], read_logs(logs, item_column="artist_id"), factors, MIN_LISTENERS
    )
    encoder = read(folder / bundle)
    session = open_cpu(encoder.graph_bytes(encoder.card.graph()))
    waveforms = recordings.waveforms(test["row"].to_numpy(np.int64)[enough])
    network = np.concatenate(
        [session.run(["embedding"], {"waveform": waveform[None]})[0] for waveform in waveforms]
    )
    rows = factors.items.get_indexer(parts.loc[parts["part"] != "test", "item_id"])
    targets = _unit(factors.item_factors[rows[rows >= 0]])
    predictions = {
        "ceiling": clips.folded_in[clips.item_index],
        "network": network,
        "mean vector": np.tile(targets.mean(0), (len(network), 1)),
    }
    return {
        "n_artists": len(clips.items),
        "listens": clips.item_users[clips.item_index].toarray() > 0,
        "user_auc": {
            method: clip_measures(predicted, clips, factors)["user_auc"]
            for method, predicted in predictions.items()
        },
        "percent": {
            method: _rank_percent(predicted @ factors.user_factors.T)
            for method, predicted in predictions.items()
        },
    }


def _unit(vectors: NDArray[np.float32]) -> NDArray[np.float32]:
    lengths: NDArray[np.float32] = np.linalg.norm(vectors, axis=1, keepdims=True)
    return vectors / lengths


def _rank_percent(scores: NDArray[np.float32]) -> NDArray[np.float64]:
    """Rank of each user by descending score, in percent of the users, shape as `scores`."""
    ranks = (-scores).argsort(1, kind="stable").argsort(1, kind="stable") + 1
    return np.asarray(100 * ranks / scores.shape[1], np.float64)


def _lift(percent: NDArray[np.float64], listens: NDArray[np.bool_]) -> NDArray[np.float64]:
    """Share of each clip's listeners among the top users, (n_clips, len(TOP_PERCENT))."""
    shares = [((percent <= top) & listens).sum(1) / listens.sum(1) for top in TOP_PERCENT]
    return np.stack(shares, 1)


ORANGE, GREY, DARK, LIGHT = "#c2410c", "#57534e", "#292524", "#d6d3d1"
CURVES = {
    "ceiling": ("ceiling: listeners known", "#a8a29e", "6 3"),
    "network": ("cf-estimator: audio alone", ORANGE, ""),
    "mean vector": ("mean vector: no audio", GREY, "2 3"),
}
WIDTH, HEIGHT = 830, 356
# Left, top, width and height of each panel's plotting area.
STRIP = (20, 112, 350, 90)
CHART = (450, 62, 350, 240)


def draw(figures: Figures) -> str:
    """The SVG: one clip's listeners among all users, and the lift curves over all clips."""
    return "\n".join(
        [
            f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" '
            f'font-family="sans-serif" font-size="12" fill="{DARK}">',
            f'<rect width="{WIDTH}" height="{HEIGHT}" fill="#fff"/>',
            *_strip(figures),
            *_chart(figures),
            "</svg>\n",
        ]
    )


def _strip(figures: Figures) -> list[str]:
    left, top, width, height = STRIP
    clip = figures["median_clip"]
    ranks = clip["listener_percent"]
    best_tenth = sum(rank <= 10 for rank in ranks)
    best_half = sum(rank <= 50 for rank in ranks)
    ticks = "".join(f"M{left + width * rank / 100:.1f} {top}v{height}" for rank in ranks)
    return [
        _text(left, 30, "One new song and its listeners", size=14, weight=600),
        _text(left, 54, f"{figures['n_users']:,} users, sorted by predicted vector · user factor."),
        _text(left, 72, f"Marked: the {len(ranks)} listeners of the artist, whom the encoder"),
        _text(
            left, 90, f"never heard. Recording with the median user AUC ({clip['user_auc']:.2f})."
        ),
        f'<rect x="{left}" y="{top}" width="{width}" height="{height}" fill="#f5f5f4"/>',
        f'<path d="{ticks}" stroke="{ORANGE}" stroke-width="1.6"/>',
        _text(left, top + height + 18, "highest score", fill=GREY),
        _text(left + width, top + height + 18, "lowest score", fill=GREY, anchor="end"),
        _text(left, top + height + 50, f"{best_tenth} of {len(ranks)} listeners are among the top"),
        _text(left, top + height + 68, f"10 % of users, {best_half} among the top 50 %. At random"),
        _text(
            left, top + height + 86, f"it would be {len(ranks) / 10:.0f} and {len(ranks) / 2:.0f}."
        ),
    ]


def _chart(figures: Figures) -> list[str]:
    left, top, width, height = CHART
    title = f"All {figures['n_clips']:,} recordings of {figures['n_artists']} held-out artists"
    parts = [_text(left, 30, title, size=14, weight=600)]
    for percent in range(0, 101, 25):
        x, y = left + width * percent / 100, top + height * (1 - percent / 100)
        parts += [
            f'<path d="M{left} {y:g}h{width}M{x:g} {top}v{height}" stroke="{LIGHT}" fill="none"/>',
            _text(x, top + height + 16, f"{percent} %", fill=GREY, anchor="middle"),
            _text(left - 6, y + 4, f"{percent} %", fill=GREY, anchor="end"),
        ]
    parts += [
        f'<path d="M{left} {top + height}l{width} {-height}" stroke="{LIGHT}" fill="none"/>',
        _text(left + width / 2, top + height + 36, "users, best scores first", anchor="middle"),
        _text(left, top - 12, "listeners found among the users with the best scores", fill=GREY),
    ]
    for row, (method, (label, colour, dashes)) in enumerate(CURVES.items()):
        curve = figures["methods"][method]
        points = " ".join(
            f"{left + width * percent / 100:.1f},{top + height * (1 - share):.1f}"
            for percent, share in zip(figures["top_percent"], curve["found"], strict=True)
        )
        y = top + height - 58 + 18 * row
        style = f'stroke="{colour}" stroke-width="2.2" stroke-dasharray="{dashes}" fill="none"'
        parts += [
            f'<polyline points="{points}" {style}/>',
            f'<path d="M{left + 66} {y - 4}h26" {style}/>',
            _text(left + 98, y, f"{label}, user AUC {curve['user_auc']:.3f}"),
        ]
    return parts


def _text(
    x: float,
    y: float,
    text: str,
    *,
    size: int = 12,
    weight: int = 400,
    fill: str = DARK,
    anchor: str = "start",
) -> str:
    return (
        f'<text x="{x:g}" y="{y:g}" font-size="{size}" font-weight="{weight}" fill="{fill}" '
        f'text-anchor="{anchor}">{text}</text>'
    )


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m docs.figures.new_song", description=__doc__)
    parser.add_argument("--runs", type=Path, help="measure again, from the folds in this folder")
    parser.add_argument("--bundle", default="cf-estimator", help="the encoder in a fold")
    parser.add_argument(
        "--prepared", type=Path, default=ROOT / "runs/linear/cf-estimator/recordings"
    )
    logs = ROOT.parent / "shared/data/lastfm-hetrec2011/user_artists.csv"
    parser.add_argument("--logs", type=Path, default=logs)
    given = parser.parse_args()
    if given.runs:
        figures = measure(given.runs, given.bundle, given.prepared, given.logs)
        RESULT.write_text(json.dumps(figures, indent=1) + "\n")
    PICTURE.write_text(draw(json.loads(RESULT.read_text())))


if __name__ == "__main__":
    main()
