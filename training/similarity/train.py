"""Training of an encoder on concepts: prepared windows of known artists -> a checkpoint.

Source: Lee, Park, Nam 2019. Not in the paper: 16 kHz, early stopping, and segments of one clip that
do not overlap.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pandas as pd

from training.audio.manifest import read_ids
from training.audio.patch_cutting import can_cut
from training.audio.windows import Prepared
from training.errors import BadCrop, MissingInput, OtherAudio
from training.fitting.curves import draw_curves
from training.fitting.dataset import Loader
from training.fitting.settings import KIND
from training.fitting.trainer import fit, seed_and_silence
from training.networks.base import Encoder
from training.networks.registry import encoder_class
from training.objectives import module
from training.objectives.groups import make_group_loader
from training.objectives.module import GroupModule, make_network
from training.similarity.clips import TRAIN, VALIDATION, divide_clips, limit_artists
from training.similarity.concepts import draw_concepts
from training.similarity.objective import ConceptHinge
from training.similarity.settings import SimilaritySettings

CLIPS = "clips.csv"
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

    `out` receives the clips and their parts, what `training.fitting.trainer.fit` writes, and a
    figure of the losses.

    Parameters
    ----------
    prepared : one set, or several as `training.audio.prepared_sets.load_sets` joins them; whole
        windows, of which segments are drawn from anywhere
    split, by_song : how the clips are divided, see `training.similarity.clips`
    tell : called with a line about the clips that are left out, and one about the parts

    Raises
    ------
    UnknownEncoder, BadCrop, BadPatches, OtherAudio
    NoAnchors, TooFewNegatives
        If the training or validation part has no groups of a concept.
    OtherRun
        If `out` holds a run with other settings or clips.
    """
    audio = encoder_class(settings.encoder).patched_audio(settings.patches, settings.patch_s)
    if not can_cut(prepared.audio, audio):
        raise OtherAudio(prepared.audio, settings.encoder, audio)
    if settings.crop_s <= 0:
        raise BadCrop(settings.crop_s, prepared.audio.window_s)
    seed_and_silence(settings)
    clips, left_out = divide_clips(prepared.tracks, split, by_song=by_song)
    clips = limit_artists(clips, settings.max_artists)
    tell(str(left_out))
    for part, rows in clips.groupby("part"):
        tell(f"{part}: {len(rows)} clips of {rows['artist'].nunique()} artists")
    best = fit(
        GroupModule(
            make_network(settings), ConceptHinge(settings.margins, settings.negatives), settings
        ),
        _make_loader(prepared, clips, TRAIN, settings),
        _make_loader(prepared, clips, VALIDATION, settings),
        out,
        settings,
        extra_identity={CLIPS: clips.to_csv(index=False)},
        records={KIND: f"{COMMAND}\n"},
        resume=resume,
        show_progress=show_progress,
    )
    draw_curves(out)
    return best


def _make_loader(
    prepared: Prepared, clips: pd.DataFrame, part: str, settings: SimilaritySettings
) -> Loader:
    return make_group_loader(
        prepared.windows,
        draw_concepts(list(settings.margins), clips, part, settings.negatives),
        settings=settings,
        crop_samples=encoder_class(settings.encoder).crop_samples(settings.crop_s),
        patch_samples=prepared.audio.patch_samples,
        training=part == TRAIN,
    )


def load_network(run: Path) -> tuple[Encoder, SimilaritySettings]:
    """The best network of a run in evaluation mode, and the settings that it was trained with.

    Raises
    ------
    MissingInput, UnknownEncoder
    """
    return module.load_network(run, SimilaritySettings, COMMAND)


def load_clips(run: Path) -> pd.DataFrame:
    """The clips of a run and their parts; rows are those of the run's prepared sets.

    Raises
    ------
    MissingInput
    """
    try:
        return read_ids(run / CLIPS)
    except (OSError, ValueError) as error:
        raise MissingInput(run, f"tasteprint-train {COMMAND}") from error
