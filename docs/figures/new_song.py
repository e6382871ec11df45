"""Figure of a new song finding its listeners: measured from the data, or redrawn from JSON.

    python -m docs.figures.new_song                                # redraw the SVG from the JSON
    python -m docs.figures.new_song --data ../shared/data --work runs/new-song    # measure as well

Measuring repeats the evaluation of docs/cf-estimator.md (fold 0) with the shipped bundle: the MIDI
excerpts of the held-out artists are rendered (a second a clip and core; needs `fluidsynth` and
`fluid-soundfont-gm`) and embedded, and every user is ranked by predicted vector · user factor. The
JSON holds curves and the ranks of one clip's listeners: no id, name or file of the data.
"""

from __future__ import annotations

import argparse
import json
import tarfile
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

if TYPE_CHECKING:
    from training.cf.als import Factorization

Figures = dict[str, Any]

HERE = Path(__file__).parent
RESULT, PICTURE = HERE / "new_song.json", HERE / "new_song.svg"
BUNDLE = HERE.parents[1] / "models" / "cf-estimator"
MIN_LISTENERS = 10
# Percent of the users, best scores first, at which the curves are read.
TOP_PERCENT = list(range(0, 101, 2))


def measure(data: Path, work: Path, factors_dir: Path | None = None) -> Figures:
    """User AUC and lift curve of each method, and the ranks of one clip's listeners.

    Parameters
    ----------
    data : folder with `midi-excerpts` and `lastfm-hetrec2011`
    work : where renderings are written, and kept for the next run
    factors_dir : folder of `factorize` that the shipped model was trained on; default: the logs
        are factorised again, which gives another CF space on another kind of CPU

    Raises
    ------
    OtherSpace
        If the card of the shipped model states another CF space than that of the factors.
    """
    from training.cf.als import Factorization, factorize
    from training.cf.logs import read_logs
    from training.cf.settings import AlsSettings
    from training.estimator.artist_split import items_of, split_by_artist
    from training.evaluation.ranking_metrics import clip_measures, held_out

    tracks = pd.read_csv(data / "midi-excerpts" / "tracks.csv", dtype=str, keep_default_na=False)
    split = split_by_artist(tracks.assign(item_id=tracks["artist_id"]))
    logs = data / "lastfm-hetrec2011" / "user_artists.csv"
    fitted_logs = read_logs(logs, item_column="artist_id", exclude_items=items_of(split, ["test"]))
    factors = (
        Factorization.load(factors_dir)
        if factors_dir
        else factorize(fitted_logs, AlsSettings(), check=False)
    )
    _require_space_of(factors)
    test = split[split["part"] == "test"]
    all_logs = read_logs(logs, item_column="artist_id")
    clips, enough = held_out(test["item_id"], all_logs, factors, MIN_LISTENERS)
    rows = factors.items.get_indexer(split.loc[split["part"] != "test", "item_id"])
    targets = _unit(factors.item_factors[rows])
    network = np.stack(list(_embed(test["track_id"][enough], data, work)))
    predictions = {
        "ceiling": clips.folded_in[clips.item_index],
        "network": network,
        "mean vector": np.tile(targets.mean(0), (len(network), 1)),
    }
    listens = clips.item_users[clips.item_index].toarray() > 0  # (n_clips, n_users)
    user_auc, percent = {}, {}
    for method, predicted in predictions.items():
        user_auc[method] = clip_measures(predicted, clips, factors)["user_auc"]
        percent[method] = _rank_percent(predicted @ factors.user_factors.T)
    median = int(user_auc["network"].argsort(kind="stable")[len(network) // 2])
    listener_percent = percent["network"][median][listens[median]]
    return {
        "n_clips": len(network),
        "n_artists": len(clips.items),
        "n_users": listens.shape[1],
        "top_percent": TOP_PERCENT,
        "methods": {
            method: {
                "user_auc": round(float(user_auc[method].mean()), 4),
                "found": _lift(percent[method], listens),
            }
            for method in predictions
        },
        "median_clip": {
            "user_auc": round(float(user_auc["network"][median]), 4),
            "listener_percent": sorted(round(float(rank), 2) for rank in listener_percent),
        },
    }


def _require_space_of(factors: Factorization) -> None:
    """Refuse factors of another CF space than the shipped model's, where its card states one."""
    from models.bundle import read
    from training.errors import OtherSpace

    card = read(BUNDLE).card
    if card.space not in (None, factors.space):
        remedy = "give --factors the folder that the model was trained on"
        raise OtherSpace(card.name, card.space, "the factors", factors.space, remedy)


def _unit(vectors: NDArray[np.float32]) -> NDArray[np.float32]:
    lengths: NDArray[np.float32] = np.linalg.norm(vectors, axis=1, keepdims=True)
    return vectors / lengths


def _rank_percent(scores: NDArray[np.float32]) -> NDArray[np.float64]:
    """Rank of each user by descending score, in percent of the users, shape as `scores`."""
    ranks = (-scores).argsort(1, kind="stable").argsort(1, kind="stable") + 1
    return np.asarray(100 * ranks / scores.shape[1], np.float64)


def _lift(percent: NDArray[np.float64], listens: NDArray[np.bool_]) -> list[float]:
    """Share of a clip's listeners among the top users, mean over clips, at `TOP_PERCENT`."""
    shares = [((percent <= top) & listens).sum(1) / listens.sum(1) for top in TOP_PERCENT]
    return [round(float(share.mean()), 4) for share in shares]


def _embed(track_ids: Iterable[str], data: Path, work: Path) -> Iterator[NDArray[np.float32]]:
    """The shipped model's float32 embedding of each excerpt, shape (40,)."""
    import onnxruntime as ort

    from models.audio.window_choice import WindowChoice
    from models.audio.windows import read_windows
    from models.bundle import read
    from training.audio.midi import render

    with tarfile.open(data / "midi-excerpts" / "midi.tar.xz") as archive:
        archive.extractall(work / "midi", filter="data")
    files = [work / "midi" / f"{track_id}.mid" for track_id in track_ids]
    for midi, reason in render(files, work / "audio"):
        if reason:
            raise SystemExit(f"{midi}: {reason}")
    bundle = read(BUNDLE)
    content = bundle.graph_bytes(bundle.card.graph())
    session = ort.InferenceSession(content, providers=["CPUExecutionProvider"])
    for midi in files:
        audio = work / "audio" / f"{midi.stem}.flac"
        windows = read_windows(audio, bundle.card.audio, WindowChoice())
        yield session.run(["embedding"], {"waveform": windows.samples})[0][0]


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
        _text(left, 72, f"Marked: the {len(ranks)} listeners of the artist, who is in no part of"),
        _text(
            left, 90, f"the training data. Clip with the median user AUC ({clip['user_auc']:.2f})."
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
    title = f"All {figures['n_clips']:,} clips of {figures['n_artists']} held-out artists"
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
    parser.add_argument("--data", type=Path, help="measure again, from this folder")
    parser.add_argument("--work", type=Path, default=Path("runs/new-song"))
    parser.add_argument("--factors", type=Path, help="the factors that the model was trained on")
    given = parser.parse_args()
    if given.data:
        figures = measure(given.data, given.work, given.factors)
        RESULT.write_text(json.dumps(figures, indent=1) + "\n")
    PICTURE.write_text(draw(json.loads(RESULT.read_text())))


if __name__ == "__main__":
    main()
