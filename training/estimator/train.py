"""Encoder training: prepared windows and item factors -> a checkpoint.

Source: Lee et al. 2020, section 3.1. Adam, 1e-3, MSE + cosine proximity, the checkpoint with the
lowest validation loss. Not in the paper: unit-length targets, crops, patches, several sets drawn
equally often, and a cosine schedule.
"""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pandas as pd

from models.card import AudioInput
from training.audio.patch_cutting import can_cut, cut_patches
from training.audio.windows import Prepared
from training.cf.als import Factorization
from training.errors import MissingInput, OtherAudio
from training.estimator.clips import Clips, choose_clips
from training.estimator.module import EstimatorModule
from training.estimator.settings import EstimatorSettings
from training.estimator.space import SPACE
from training.fitting.dataset import Loader, make_loader
from training.fitting.sampling import EpochSampler
from training.fitting.trainer import BEST, SETTINGS, fit, seed_and_silence
from training.networks.base import Encoder
from training.networks.registry import encoder_class


def train(
    prepared: Prepared,
    factors: Factorization,
    split: pd.DataFrame,
    out: Path,
    settings: EstimatorSettings,
    *,
    resume: bool = True,
) -> Path:
    """Train, keeping the checkpoint with the lowest validation loss; returns its path.

    `out` receives the split, the CF space of the factors, and what `training.fitting.trainer.fit`
    writes.

    Parameters
    ----------
    prepared : one set, or several as `training.audio.prepared_sets.load_sets` joins them

    Raises
    ------
    UnknownEncoder, BadCrop, BadPatches
    OtherAudio
        If the windows have another sample rate or length than the encoder takes.
    NothingToTrain
        If a part has no window whose item has a factor.
    OtherRun
        If `out` holds a run with other settings, factors or split.
    """
    audio = encoder_class(settings.encoder).patched_audio(settings.patches, settings.patch_s)
    if not can_cut(prepared.audio, audio):
        raise OtherAudio(prepared.audio, settings.encoder, audio)
    seed_and_silence(settings)
    training, validation = (
        choose_clips(prepared.tracks, split, part, factors, settings.targets)
        for part in ("train", "validation")
    )
    loaders = (
        _training_loader(prepared, training, audio, settings),
        _validation_loader(prepared, validation, audio, settings),
    )
    module = EstimatorModule(
        settings.width,
        settings.crop_s,
        settings.learning_rate,
        settings.cosine_schedule,
        settings.encoder,
        factors.item_factors.shape[1],
        settings.patches,
        settings.patch_s,
        validation.set_names,
    )
    return fit(
        module,
        *loaders,
        out,
        settings,
        extra_identity={"split.csv": split.to_csv(index=False)},
        # No part of the identity, which has the targets: a run without a record can be resumed.
        records={SPACE: f"{factors.space}\n"},
        resume=resume,
    )


def _training_loader(
    prepared: Prepared, clips: Clips, audio: AudioInput, settings: EstimatorSettings
) -> Loader:
    """Crops from anywhere in the prepared windows; without crops, what the network will hear."""
    heard = prepared if settings.crop_s else cut_patches(prepared, audio)
    weights = clips.balanced_weights if settings.balance else np.ones(len(clips))
    is_drawn = settings.balance or settings.epoch_clips
    n_draws = settings.epoch_clips or len(clips)
    return make_loader(
        heard.windows,
        clips.rows,
        clips.factors,
        settings=settings,
        crop_samples=encoder_class(settings.encoder).crop_samples(settings.crop_s),
        patch_samples=heard.audio.patch_samples,
        training=True,
        sampler=EpochSampler(weights, n_draws, settings.seed) if is_drawn else None,
    )


def _validation_loader(
    prepared: Prepared, clips: Clips, audio: AudioInput, settings: EstimatorSettings
) -> Loader:
    heard = cut_patches(prepared, audio)
    several = len(clips.set_names) > 1
    return make_loader(
        heard.windows,
        clips.rows,
        clips.factors,
        *([clips.set_index] if several else []),
        settings=settings,
        crop_samples=0,
        patch_samples=audio.patch_samples,
        training=False,
    )


def load_network(run: Path) -> tuple[Encoder, EstimatorSettings]:
    """The best network of a run in evaluation mode, and the settings that it was trained with.

    Raises
    ------
    MissingInput
        If `run` holds no finished run.
    UnknownEncoder
    """
    try:
        settings = EstimatorSettings(**json.loads((run / SETTINGS).read_text()))
        module = EstimatorModule.load_from_checkpoint(
            run / BEST, map_location="cpu", crop_s=settings.crop_s
        )
    except FileNotFoundError as error:
        raise MissingInput(run, "tasteprint-train estimator") from error
    network = module.network
    assert isinstance(network, Encoder)
    return network.eval(), settings
