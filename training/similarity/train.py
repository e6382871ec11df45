"""Training of an encoder on concepts: prepared windows of known artists -> a checkpoint.

Source: Lee, Park, Nam 2019. Not in the paper: 16 kHz, early stopping, and segments of one clip that
do not overlap.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pandas as pd

from training.audio.windows import Prepared
from training.errors import SharedArtist
from training.networks.base import Encoder
from training.objectives import module
from training.objectives.clips import TRAIN, VALIDATION, divide_clips, limit_artists
from training.objectives.division import Division, find_shared_artist
from training.objectives.run import check_windows, fit_groups
from training.similarity.concepts import draw_concepts
from training.similarity.objective import ConceptHinge
from training.similarity.settings import SimilaritySettings

COMMAND = "similarity"
Tell = Callable[[str], None]


def train(
    prepared: Prepared,
    split: pd.DataFrame | None,
    out: Path,
    settings: SimilaritySettings,
    *,
    by_song: bool,
    resume: bool = True,
    show_progress: bool = True,
    tell: Tell = lambda text: None,
) -> Path:
    """Train, keeping the checkpoint with the lowest validation loss; returns its path.

    `out` receives what `training.objectives.run.fit_groups` writes, and how the clips are divided.

    Parameters
    ----------
    prepared : one set, or several as `training.audio.prepared_sets.load_sets` joins them; whole
        windows, of which segments are drawn from anywhere
    split, by_song : how the clips are divided, see `training.objectives.clips`
    tell : called with a line about the clips that are left out, and one about the parts

    Raises
    ------
    UnknownEncoder, BadCrop, BadPatches, OtherAudio
    SharedArtist
        If artists are divided, and one has clips in several parts.
    NoAnchors, TooFewNegatives
        If the training or validation part has no groups of a concept.
    OtherRun
        If `out` holds a run with other settings or clips.
    """
    check_windows(prepared, settings)
    clips, left_out = divide_clips(prepared.tracks, split, by_song=by_song)
    if not by_song:
        _check_artists(clips)
    clips = limit_artists(clips, settings.max_artists)
    tell(str(left_out))
    for part, rows in clips.groupby("part"):
        tell(f"{part}: {len(rows)} clips of {rows['artist'].nunique()} artists")
    training, validation = (
        draw_concepts(list(settings.margins), clips, part, settings.negatives, by_song=by_song)
        for part in (TRAIN, VALIDATION)
    )
    return fit_groups(
        prepared,
        clips,
        training,
        validation,
        lambda network: ConceptHinge(settings.margins, settings.negatives),
        out,
        settings,
        command=COMMAND,
        records=Division.of(split, by_song=by_song).records,
        resume=resume,
        show_progress=show_progress,
    )


def _check_artists(clips: pd.DataFrame) -> None:
    artist = find_shared_artist(clips)
    if artist is not None:
        raise SharedArtist(artist, sorted(clips.loc[clips["artist"] == artist, "part"].unique()))


def load_network(run: Path) -> tuple[Encoder, SimilaritySettings]:
    """The best network of a run in evaluation mode, and the settings that it was trained with.

    Raises
    ------
    MissingInput, UnknownEncoder
    """
    return module.load_network(run, SimilaritySettings, COMMAND)
