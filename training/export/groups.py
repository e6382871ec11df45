"""Export of encoders that were trained by groups of crops: a run -> a bundle."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pandas as pd

from models.bundle import Bundle
from models.card import Scalar
from training.audio.patch_cutting import cut_patches
from training.audio.windows import Prepared
from training.errors import BadExport
from training.estimator.artist_split import PARTS
from training.export.bundle import PARITY_CLIPS, make_provenance, read_data
from training.export.estimator import export_encoder
from training.networks.base import Encoder
from training.objectives.settings import GroupSettings

TRAIN = PARTS[0]


@dataclass(frozen=True)
class GroupRun:
    """The network of a run, and what the card says of it.

    Attributes
    ----------
    clips : of the run, with `track_id`, `artist` and `part`
    task, method, split, metrics : of the card
    embedding : what the embedding is
    facts : further hyperparameters
    space : the CF space that the embedding lives in
    """

    network: Encoder
    settings: GroupSettings
    clips: pd.DataFrame
    task: str
    method: str
    split: str
    embedding: str
    metrics: Mapping[str, Scalar] = field(default_factory=dict)
    facts: Mapping[str, Scalar] = field(default_factory=dict)
    space: str | None = None


def export_group_run(
    run: GroupRun,
    prepared_dir: Path,
    out: Path,
    data: Path,
    *,
    default: bool = True,
    card_version: str = "1.0.0",
) -> tuple[Bundle, Mapping[str, float]]:
    """Write the bundle, after a parity check on clips of a folder that training has not heard.

    Parameters
    ----------
    data : JSON, a list of {name, use, licence}: the training data
    default : whether the service loads the bundle at the start

    Raises
    ------
    ParityFailed, BundleError, MissingInput, BadExport
    """
    provenance = make_provenance(
        method=run.method,
        data=read_data(data),
        seed=run.settings.seed,
        hyperparameters=run.settings.to_record() | dict(run.facts),
        metrics=run.metrics,
        split=run.split,
    )
    prepared = Prepared.load(prepared_dir)
    heard = run.clips.loc[run.clips["part"] == TRAIN, "track_id"]
    tracks = prepared.tracks[~prepared.tracks["track_id"].isin(heard)]
    if tracks.empty:
        raise BadExport(out.name, f"every clip in {prepared_dir} was trained on; give another one")
    rows = tracks["row"].to_numpy(np.int64)[:PARITY_CLIPS]
    return export_encoder(
        run.network,
        out,
        cut_patches(prepared, run.network.audio).waveforms(rows),
        provenance,
        task=run.task,
        embedding=run.embedding,
        space=run.space,
        default=default,
        card_version=card_version,
    )


def refuse_evaluation(evaluation: Path | None, command: str) -> None:
    """Refuse a folder of an evaluation for a run that is judged by probes alone.

    Raises
    ------
    BadExport
    """
    if evaluation is not None:
        reason = f"is not of a run of `{command}`; leave it out"
        raise BadExport(f"--evaluation {evaluation}", reason)


def describe_parts(clips: pd.DataFrame) -> str:
    """Number of clips and artists of each part, in alphabetical order."""
    return ", ".join(
        f"{part}: {len(rows)} clips of {rows['artist'].nunique()} artists"
        for part, rows in clips.groupby("part")
    )
