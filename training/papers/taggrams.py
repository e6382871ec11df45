"""Do listeners help to tell genres? Published taggrams, with and without the artists' factors.

Chen, Liang 2020 join a music embedding of listeners' preference to features of MusiCNN. Their
audio of GTZAN is not here, but published probabilities of 50 tags are, of every patch of the
fault-filtered split. "Without" is the 50 tags, classified as they do but without PCA. As a stand-in
for "with", each patch has beside them the factor of its recording's own artist in a factorization
of listening logs, of unit length, where the artist has three listeners or more; other recordings
have the mean of those factors. A factor names its artist as well, so there are two controls: the
factors dealt to other artists, and recordings whose artist has none in the training part.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from sklearn.preprocessing import StandardScaler

from training.cf.als import Factorization
from training.datasets.published.gtzan_identities import Taggrams
from training.evaluation.ranking_metrics import bootstrap_over_groups
from training.papers.votes import make_svm, vote
from training.tables.measures import read_measures, write_measures

TABLE = "report.md"
WITHOUT, WITH, DEALT = "50 tags", "with the artist's factor", "with another artist's factor"
MIN_LISTENERS = 3
Matrix = NDArray[np.float32]
Tell = Callable[[str], None]


@dataclass(frozen=True)
class Group:
    """Test recordings of one kind."""

    name: str
    n_tracks: int
    n_artists: int


def factors_of_tracks(tracks: pd.DataFrame, factors: Factorization) -> tuple[Matrix, NDArray[Any]]:
    """The factor of each recording's artist, of unit length, and which recordings have one.

    Returns
    -------
    (n_tracks, dim), the mean of the training recordings' factors where there is none; (n_tracks,)
    """
    rows = factors.items.get_indexer(pd.Index(tracks["artist_id"]))
    lengths = np.linalg.norm(factors.item_factors, axis=1, keepdims=True)
    unit = np.asarray(factors.item_factors / np.maximum(lengths, 1e-12), np.float32)
    has = (rows >= 0) & (tracks["listeners"].to_numpy() >= MIN_LISTENERS)
    known = has & (tracks["part"] == "train").to_numpy()
    values = np.tile(unit[rows[known]].mean(0), (len(tracks), 1))
    values[has] = unit[rows[has]]
    return values, has


def deal_factors(tracks: pd.DataFrame, values: Matrix, has: NDArray[Any], seed: int) -> Matrix:
    """The factors dealt at random to the artists that have one: each names an artist still."""
    codes, artists = pd.factorize(tracks["artist_id"][has])
    first = np.array([np.flatnonzero(codes == code)[0] for code in range(len(artists))])
    of_artist = values[has][first]
    dealt = values.copy()
    dealt[has] = of_artist[np.random.default_rng(seed).permutation(len(artists))[codes]]
    return dealt


def predict(taggrams: Taggrams, values: Matrix | None, *, is_scaled: bool) -> NDArray[Any]:
    """Genre of each test recording by the vote of its patches.

    Parameters
    ----------
    values : of each recording, joined to the tags of its patches; None for the tags alone
    is_scaled : whether each input is standardised over the training patches
    """
    inputs, tracks = taggrams.patches, taggrams.tracks
    if values is not None:
        inputs = np.concatenate([inputs, values[taggrams.owners]], axis=1)
    codes, genres = pd.factorize(tracks["genre"], sort=True)
    is_train = (tracks["part"] == "train").to_numpy()[taggrams.owners]
    if is_scaled:
        inputs = StandardScaler().fit(inputs[is_train]).transform(inputs)
    svm = make_svm(inputs[is_train], has_pca=False)
    svm.fit(inputs[is_train], codes[taggrams.owners][is_train])
    found = np.asarray(svm.predict(inputs[~is_train]), np.int64)
    classes = vote(found, taggrams.owners[~is_train], len(tracks))
    is_test = (tracks["part"] == "test").to_numpy()
    return np.asarray(np.asarray(genres)[classes[is_test]])


def run(taggrams: Taggrams, factors: Factorization, out: Path, *, n_deals: int, tell: Tell) -> str:
    """Judge every input, and write `measures.json` and the table, which is returned.

    Parameters
    ----------
    n_deals : of the control; its hits are the means over them
    tell : called with what is judged next
    """
    values, has = factors_of_tracks(taggrams.tracks, factors)
    is_test = (taggrams.tracks["part"] == "test").to_numpy()
    genres = taggrams.tracks["genre"].to_numpy(str)[is_test]

    def judge(name: str, joined: Matrix | None, *, is_scaled: bool) -> NDArray[np.float64]:
        tell(name)
        return np.asarray(predict(taggrams, joined, is_scaled=is_scaled) == genres, np.float64)

    hits = {}
    for suffix, is_scaled in (("", False), (", standardised", True)):
        hits[WITHOUT + suffix] = judge(WITHOUT + suffix, None, is_scaled=is_scaled)
        hits[WITH + suffix] = judge(WITH + suffix, values, is_scaled=is_scaled)
    deals = [
        judge(
            f"{DEALT}, deal {seed}",
            deal_factors(taggrams.tracks, values, has, seed),
            is_scaled=False,
        )
        for seed in range(n_deals)
    ]
    if deals:
        hits[DEALT] = np.mean(deals, axis=0)
    content = summarize(taggrams.tracks, has, hits)
    content |= {"n_deals": n_deals, "space": factors.space, "min_listeners": MIN_LISTENERS}
    write_measures(out, content)
    return redraw(out)


def summarize(
    tracks: pd.DataFrame, has: NDArray[Any], hits: Mapping[str, NDArray[np.float64]]
) -> dict[str, Any]:
    """Accuracy of each input on each group of test recordings, with intervals over artists.

    Parameters
    ----------
    has : which recordings have a factor, shape (n_tracks,)
    hits : of the test recordings, 1 where the genre is right
    """
    is_test = (tracks["part"] == "test").to_numpy()
    known = tracks["artist"].where(tracks["artist"] != "", "track " + tracks["track_id"])
    heard = set(known[~is_test])
    artists, has_factor = known[is_test], has[is_test]
    is_heard = artists.isin(heard).to_numpy()
    masks = {
        "all": np.ones(len(artists), bool),
        "with a factor": has_factor,
        "with a factor, artist not in training": has_factor & ~is_heard,
        "with a factor, artist in training": has_factor & is_heard,
        "without a factor": ~has_factor,
    }
    names = list(hits)
    differences = {
        f"{other} − {WITHOUT}": hits[other] - hits[WITHOUT]
        for other in (WITH, DEALT)
        if other in hits
    }
    scaled = ", standardised"
    differences[f"{WITH}{scaled} − {WITHOUT}{scaled}"] = (
        hits[WITH + scaled] - hits[WITHOUT + scaled]
    )
    measures = {}
    groups = []
    for name, mask in masks.items():
        codes, unique = pd.factorize(artists[mask])
        groups.append(asdict(Group(name, int(mask.sum()), len(unique))))
        if not mask.any():
            continue
        measures[name] = {
            label: bootstrap_over_groups(values[mask], codes)
            for label, values in (dict(hits) | differences).items()
        }
    shared = sorted(set(known[is_test & has]) & set(known[~is_test & has]))
    return {
        "groups": groups,
        "inputs": names,
        "n_train": int((~is_test).sum()),
        "n_train_with_factor": int((has & ~is_test).sum()),
        "n_artists_on_both_sides": len(set(artists) & heard),
        "n_artists_with_a_factor_on_both_sides": len(shared),
        "measures": measures,
    }


def redraw(folder: Path) -> str:
    """Write the table of an earlier run again, and return it.

    Raises
    ------
    MissingInput
    """
    table = draw_table(read_measures(folder, "taggrams", "groups", "measures"))
    (folder / TABLE).write_text(table)
    return table


def draw_table(content: Mapping[str, Any]) -> str:
    """Markdown: a row for each group of test recordings, a column for each input and difference."""
    labels = list(content["measures"]["all"])
    lines = [
        f"{content['n_train']} recordings train, {content['n_train_with_factor']} of them with a "
        f"factor of an artist of {content['min_listeners']} listeners or more. "
        f"{content['n_artists_on_both_sides']} artists are on both sides of the split, "
        f"{content['n_artists_with_a_factor_on_both_sides']} of them with a factor. Accuracy by "
        "the vote of a recording's patches, with 95 % intervals over artists; "
        f"{content['n_deals']} deals of the control.",
        "",
        "| test recordings | number | artists | " + " | ".join(labels) + " |",
        "|---" * (3 + len(labels)) + "|",
    ]
    for group in content["groups"]:
        found = content["measures"].get(group["name"])
        if found is None:
            continue
        cells = [_draw_cell(label, found[label]) for label in labels]
        first = [group["name"], str(group["n_tracks"]), str(group["n_artists"])]
        lines.append("| " + " | ".join([*first, *cells]) + " |")
    return "\n".join(lines) + "\n"


def _draw_cell(label: str, measure: tuple[float, float, float]) -> str:
    sign = "+" if " − " in label else ""
    mean, low, high = measure
    return f"{mean:{sign}.3f} ({low:{sign}.3f} to {high:{sign}.3f})"
