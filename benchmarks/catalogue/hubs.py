"""Hubs: whether a few artists are near to every song, and who of the users is named for a song.

Each fold's encoder predicts the songs of artists that neither it nor its factors have seen; they
are looked for among the fold's item factors, as in the shipped catalogue.

    python -m benchmarks.catalogue.hubs PREPARED LOGS FOLD... [--bundle 3x1/cf-estimator]

PREPARED is a folder of `tasteprint-train prepare`, a FOLD one with `factors/`, `split.csv` and a
bundle, as docs/cf-estimator.md makes them.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from models.bundle import read
from models.catalogue import Catalogue, CatalogueSource, Vectors, unit
from training.audio.prepared_sets import ClipFolder
from training.audio.windows import Prepared
from training.cf.als import Factorization
from training.cf.logs import read_logs
from training.evaluation.ranking_metrics import clip_measures, held_out
from training.networks.bundle_outputs import bundle_outputs

TOP = 10


@dataclass(frozen=True, eq=False)
class Fold:
    """Predictions of a fold's encoder, and the items that they are looked for among.

    Attributes
    ----------
    predicted, known : predictions for songs of held-out artists and of the others, (n, dim)
    artists : of the songs of held-out artists, shape (n,)
    listeners : of each item in all the logs, shape (n_items,)
    user_auc : of the audience, by what is subtracted from a prediction: each artist's mean
    """

    source: CatalogueSource
    items: NDArray[np.object_]
    factors: Vectors
    listeners: NDArray[np.int64]
    predicted: Vectors
    known: Vectors
    artists: NDArray[np.object_]
    user_auc: dict[str, NDArray[np.float64]]


def load_fold(folder: Path, bundle_path: Path, prepared: Path, logs_path: Path) -> Fold:
    """Read a fold, and run its encoder on the prepared windows unless it was."""
    bundle, clips = read(folder / bundle_path), ClipFolder(prepared, Prepared.load(prepared))
    factorization = Factorization.load(folder / "factors")
    logs = read_logs(logs_path, item_column="artist_id")
    tracks = clips.prepared.tracks.astype({"item_id": str, "track_id": str})
    split = pd.read_csv(folder / "split.csv", dtype=str, keep_default_na=False)
    part = tracks["track_id"].map(dict(zip(split["track_id"], split["part"], strict=True)))
    embeddings = bundle_outputs(bundle, clips)["embedding"]
    counts = pd.Series(logs.user_items.getnnz(0), logs.items)
    is_new = ((part == "test") & tracks["item_id"].isin(set(logs.items))).to_numpy()
    known = embeddings[(part == "train").to_numpy()]
    data, enough = held_out(tracks["item_id"][is_new], logs, factorization, 3)
    predicted = embeddings[is_new][enough]
    audience = {"nothing": predicted, "the mean": predicted - known.mean(0)}
    card = bundle.card
    return Fold(
        CatalogueSource(card.name, card.version, bundle.digest, card.space),
        np.array(factorization.items, object),
        factorization.item_factors,
        counts.reindex(factorization.items).to_numpy(np.int64),
        embeddings[is_new],
        known,
        tracks["item_id"][is_new].to_numpy(object),
        {
            name: pd.Series(clip_measures(vectors, data, factorization)["user_auc"])
            .groupby(data.item_index)
            .mean()
            .to_numpy()
            for name, vectors in audience.items()
        },
    )


def neighbours(fold: Fold, min_listeners: int) -> Iterator[tuple[str, NDArray[np.object_]]]:
    """What is centred → the nearest items of each song, shape (n_songs, TOP)."""
    kept = fold.listeners >= min_listeners
    ids, factors = fold.items[kept], fold.factors[kept]
    catalogue = Catalogue.build(fold.source, list(ids), factors, {}, fold.known.mean(0))
    own = catalogue.centre(fold.predicted, fold.source) @ catalogue.vectors.T
    common = unit(fold.predicted - catalogue.mean) @ catalogue.vectors.T
    for name, cosines in (
        ("nothing", unit(fold.predicted) @ unit(factors).T),
        ("both by the items' mean", common),
        ("each by its own mean", own),
    ):
        yield name, ids[np.argsort(-cosines, axis=1)[:, :TOP]]


def shares(nearest: Sequence[NDArray[np.object_]]) -> tuple[float, float]:
    """Of the item that is first, and among the first ten, for most songs: share of the songs."""
    rows = np.concatenate(nearest)
    first = pd.Series(rows[:, 0]).value_counts().iloc[0] / len(rows)
    ten = pd.Series(rows.ravel()).value_counts().iloc[0] / len(rows)
    return float(first), float(ten)


def report(folds: Sequence[Fold], min_listeners: Sequence[int]) -> str:
    songs, artists = sum(len(fold.artists) for fold in folds), set()
    for fold in folds:
        artists |= set(fold.artists)
    lines = [f"{songs} songs of {len(artists)} held-out artists, {len(folds)} folds", ""]
    lines += [
        "| items with | centred | first for | among ten for | worst fold: first | ten |",
        "|---|---|---|---|---|---|",
    ]
    for least in min_listeners:
        found: dict[str, list[NDArray[np.object_]]] = {}
        for fold in folds:
            for name, nearest in neighbours(fold, least):
                found.setdefault(name, []).append(nearest)
        for name, each in found.items():
            all_first, all_ten = shares(each)
            worst = np.max([shares([nearest]) for nearest in each], axis=0)
            row = [f"{least}+ listeners", name]
            row += [f"{share:.1%}" for share in (all_first, all_ten, *worst)]
            lines.append(f"| {' | '.join(row)} |")
    lines.append("")
    for name in folds[0].user_auc:
        values = np.concatenate([fold.user_auc[name] for fold in folds])
        lines.append(
            f"user AUC of the audience, {name} subtracted: {values.mean():.3f} ({len(values)} "
            "artists)"
        )
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("prepared", type=Path)
    parser.add_argument("logs", type=Path)
    parser.add_argument("folds", type=Path, nargs="+")
    parser.add_argument("--bundle", type=Path, default=Path("3x1/cf-estimator"))
    parser.add_argument("--min-listeners", type=int, nargs="+", default=[1, 3, 5, 10, 20])
    given = parser.parse_args()
    folds = [load_fold(fold, given.bundle, given.prepared, given.logs) for fold in given.folds]
    print(report(folds, given.min_listeners))


if __name__ == "__main__":
    main()
