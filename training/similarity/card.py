"""Card of an encoder that has learnt artist, album or track."""

from __future__ import annotations

from pathlib import Path

import pandas as pd

from models.card import Scalar
from training.errors import BadExport
from training.export.groups import GroupRun, describe_parts
from training.objectives.division import Division
from training.objectives.run import load_clips
from training.similarity.report import read_measured
from training.similarity.settings import SimilaritySettings
from training.similarity.train import load_network

TASK = "music-similarity"


def describe_run(run: Path, evaluation: Path | None) -> GroupRun:
    """The network of a run, and what its card says.

    Parameters
    ----------
    evaluation : folder of `tasteprint-train similarity-report`, for the card's metrics

    Raises
    ------
    MissingInput, UnknownEncoder, BadExport
    """
    (network, settings), clips = load_network(run), load_clips(run)
    return GroupRun(
        network,
        settings,
        clips,
        task=TASK,
        method=describe_method(network.title, settings),
        split=describe_split(Division.load(run), clips),
        embedding="features in unit length: the dot product is the cosine that was trained on"
        if network.embedding_dim == network.features_dim
        else "compared by its cosine",
        metrics=_read_metrics(evaluation, run.name) if evaluation else {},
    )


def describe_method(title: str, settings: SimilaritySettings) -> str:
    margins = ", ".join(f"{concept} {margin:g}" for concept, margin in settings.margins.items())
    return (
        f"{title}, hinge on the cosines of segments of {settings.crop_s:g} s, "
        f"{settings.negatives} negatives, margins: {margins} (Lee, Park, Nam 2019, at "
        "16 kHz)"
    )


def describe_split(division: Division, clips: pd.DataFrame) -> str:
    return f"{division}; {describe_parts(clips)}"


def _read_metrics(evaluation: Path, name: str) -> dict[str, Scalar]:
    content = read_measured(evaluation)
    if name not in content["measures"]:
        known = ", ".join(content["measures"])
        raise BadExport(str(evaluation), f"tests {known}, and not the run {name}")
    metrics: dict[str, Scalar] = {"negatives": content["negatives"]}
    for concept, (mean, _, _) in content["measures"][name].items():
        metrics[f"{concept}: n_anchors"] = content["tested"][concept]["n_anchors"]
        metrics[f"{concept}: found"] = round(mean, 4)
    return metrics
