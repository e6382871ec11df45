"""Training of an encoder on labels: prepared windows with labels -> a checkpoint.

Source: Lee et al. 2017, whose two networks learn the tags of the Million Song Dataset and the
genres of another culture's music. Here: tags of artists, or any labels of a manifest, such as
genres and moods; the artists of both parts are disjoint.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd

from training.audio.windows import Prepared
from training.errors import NoLabelledClips
from training.estimator.artist_split import PARTS
from training.networks.base import Encoder
from training.objectives import module
from training.objectives.clips import divide_clips
from training.objectives.division import Division
from training.objectives.run import check_windows, fit_groups
from training.tagging.labels import LabelDraws, ReadLabels
from training.tagging.objective import TagLoss
from training.tagging.settings import TaggingSettings

LABELS = "labels.json"
COMMAND = "tagging"
TRAIN, VALIDATION, _ = PARTS


def train(
    prepared: Prepared,
    split: pd.DataFrame,
    read_labels: ReadLabels,
    out: Path,
    settings: TaggingSettings,
    *,
    resume: bool = True,
    show_progress: bool = True,
    tell: Callable[[str], None] = lambda text: None,
) -> Path:
    """Train, keeping the checkpoint with the lowest validation loss; returns its path.

    `out` receives the clips with their parts, the labels with their number of training clips, and
    what `training.fitting.trainer.fit` writes.

    Parameters
    ----------
    prepared : one set, or several as `training.audio.prepared_sets.load_sets` joins them
    split : of `tasteprint-train split`
    tell : called with lines about clips that are left out, the parts, and the labels

    Raises
    ------
    TooFewLabels, NoLabelledClips
    UnknownEncoder, BadCrop, BadPatches, OtherAudio, OtherRun
    """
    check_windows(prepared, settings)
    clips, left_out = divide_clips(prepared.tracks, split, by_song=False)
    tell(str(left_out))
    tracks = prepared.tracks.set_index("row").loc[clips["row"]].reset_index()
    labels = read_labels(tracks)
    parts = clips["part"].to_numpy(str)
    has = labels.choose(
        parts == TRAIN, max_labels=settings.max_labels, min_clips=settings.min_clips
    )
    draws = {}
    for part in (TRAIN, VALIDATION):
        mask = (parts == part) & labels.is_known
        if not mask.any():
            raise NoLabelledClips(part, int((parts == part).sum()))
        rows = clips["row"].to_numpy(np.int64)[mask]
        draws[part] = LabelDraws(rows, has.to_numpy(np.float32)[mask])
        n_artists = clips.loc[mask, "artist"].nunique()
        tell(f"{part}: {mask.sum()} labelled clips of {n_artists} artists")
    counts = dict(zip(has.columns, draws[TRAIN].labels.sum(0).astype(int).tolist(), strict=True))
    tell(f"{len(counts)} labels: {', '.join(counts)}")
    return fit_groups(
        prepared,
        clips,
        draws[TRAIN],
        draws[VALIDATION],
        lambda network: TagLoss(network.embedding_dim, len(counts)),
        out,
        settings,
        command=COMMAND,
        records=Division.of(split, by_song=False).records,
        extra_identity={
            LABELS: json.dumps(counts, indent=2) + "\n",
        },
        resume=resume,
        show_progress=show_progress,
    )


def load_network(run: Path) -> tuple[Encoder, TaggingSettings]:
    """The best network of a run in evaluation mode, and the settings that it was trained with.

    Raises
    ------
    MissingInput, UnknownEncoder
    """
    return module.load_network(run, TaggingSettings, COMMAND)
