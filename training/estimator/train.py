"""Encoder training: prepared windows and item factors -> a checkpoint.

Source: Lee et al. 2020, section 3.1. Adam, 1e-3, MSE + cosine proximity, the checkpoint with the
lowest validation loss. Not in the paper: unit-length targets, crops, patches, several sets drawn
equally often, and a cosine schedule.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Collection, Sequence
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from models.card import AudioInput
from training.audio.patch_cutting import can_cut, cut_patches
from training.audio.prepared_sets import SET
from training.audio.windows import Prepared
from training.cf.als import Factorization
from training.datasets.accounts import ACCOUNTS, accounts_text
from training.errors import MissingInput, OtherAudio
from training.estimator.clips import (
    Clips,
    account_parts,
    choose_clips,
    choose_unlabelled,
    join_clips,
)
from training.estimator.module import EstimatorModule
from training.estimator.settings import EstimatorSettings
from training.estimator.sources import INIT, TEACHER, InitialWeights
from training.estimator.space import SPACE
from training.estimator.teacher import Teacher
from training.fitting.dataset import Loader, make_loader
from training.fitting.fine_tuning import copy_weights
from training.fitting.run_pictures import draw_run
from training.fitting.sampling import EpochSampler
from training.fitting.settings import SETTINGS
from training.fitting.trainer import BEST, fit, seed_and_silence
from training.networks.base import Encoder
from training.networks.registry import encoder_class

Tell = Callable[[str], None]


def train(
    prepared: Prepared,
    factors: Factorization,
    split: pd.DataFrame,
    out: Path,
    settings: EstimatorSettings,
    *,
    teacher: Teacher | None = None,
    unlabelled: Collection[str] = (),
    init: InitialWeights | None = None,
    resume: bool = True,
    allow_missing: bool = False,
    tell: Tell = lambda text: None,
) -> Path:
    """Train, keeping the checkpoint with the lowest validation loss; returns its path.

    `out` receives the split, the CF space of the factors, records of teacher and initial weights,
    accounts of the joins, what `training.fitting.trainer.fit` writes, and pictures of the losses
    and of the validation clips.

    Parameters
    ----------
    prepared : one set, or several as `training.audio.prepared_sets.load_sets` joins them
    teacher : what the features learn of every clip that the teacher has heard
    unlabelled : names of sets that the teacher alone labels; clips of held-out artists are left out
    init : weights that the network starts from, all but those of the embedding layer
    allow_missing : train where fewer than half of a part's items have a factor
    tell : called with a line about each join, and about the clips that are left out

    Raises
    ------
    UnknownEncoder, BadCrop, BadPatches, BadInit, BadTeacher, NoSpectrogram
    OtherAudio
        If the windows have another sample rate or length than the encoder takes.
    Unmatched
        If too few tracks are in the split, or too few items of a part have a factor.
    NothingToTrain
        If a part has no window whose item has a factor.
    OtherRun
        If `out` holds a run with other settings, factors or split.
    """
    audio = encoder_class(settings.encoder).patched_audio(settings.patches, settings.patch_s)
    if not can_cut(prepared.audio, audio):
        raise OtherAudio(prepared.audio, settings.encoder, audio)
    seed_and_silence(settings)
    tracks = prepared.tracks
    is_unlabelled = tracks.get(SET, pd.Series("", tracks.index)).isin(unlabelled)
    tracks, more = tracks[~is_unlabelled], tracks[is_unlabelled]
    accounts = account_parts(tracks, split, factors, allow_missing=allow_missing)
    for account in accounts:
        tell(str(account))
    training = (
        _choose_training(tracks, more, factors, split, settings, tell)
        if teacher
        else choose_clips(tracks, split, "train", factors, settings.targets)
    )
    validation = choose_clips(tracks, split, "validation", factors, settings.targets)
    weights = training.balanced_weights if settings.balance else np.ones(len(training))
    taught = [teacher.targets(training.tracks["track_id"], weights)] if teacher else []
    module = _make_module(
        settings,
        init,
        embedding_dim=factors.item_factors.shape[1],
        teacher_dim=taught[0].shape[1] if taught else 0,
        set_names=validation.set_names,
    )
    best = fit(
        module,
        _training_loader(prepared, training, taught, weights, audio, settings),
        _validation_loader(prepared, validation, audio, settings),
        out,
        settings,
        extra_identity=_identify(split, teacher, init),
        # No part of the identity, which has the targets: a run without a record can be resumed.
        records={SPACE: f"{factors.space}\n", ACCOUNTS: accounts_text(accounts)},
        resume=resume,
    )
    draw_run(
        module,
        prepared,
        validation.tracks,
        out,
        batch_size=settings.batch_size,
        targets=validation.factors,
    )
    return best


def _make_module(
    settings: EstimatorSettings,
    init: InitialWeights | None,
    *,
    embedding_dim: int,
    teacher_dim: int,
    set_names: Sequence[str],
) -> EstimatorModule:
    module = EstimatorModule(
        settings.width,
        settings.crop_s,
        settings.learning_rate,
        settings.cosine_schedule,
        settings.encoder,
        embedding_dim,
        settings.patches,
        settings.patch_s,
        teacher_dim,
        settings.teacher_weight,
        settings.trainable if init else "all",
        settings.init_lr_scale if init else 1.0,
        settings.spec_augment,
        settings.gain_db,
        settings.mix,
        set_names,
    )
    if init:
        assert isinstance(module.network, Encoder)
        copy_weights(module.network, init.network, init.record.name)
    return module


def _identify(
    split: pd.DataFrame, teacher: Teacher | None, init: InitialWeights | None
) -> dict[str, str]:
    """File name → text of the inputs that a run is not resumed without."""
    records = {TEACHER: teacher.record if teacher else None, INIT: init.record if init else None}
    texts = {name: record.to_text() for name, record in records.items() if record}
    return {"split.csv": split.to_csv(index=False)} | texts


def _choose_training(
    tracks: pd.DataFrame,
    unlabelled: pd.DataFrame,
    factors: Factorization,
    split: pd.DataFrame,
    settings: EstimatorSettings,
    tell: Tell,
) -> Clips:
    """The training clips for a teacher: those without a factor too, and the unlabelled ones."""
    clips = choose_clips(tracks, split, "train", factors, settings.targets, keep_unknown=True)
    if unlabelled.empty:
        return clips
    more, left_out = choose_unlabelled(unlabelled, split, clips.factors.shape[1])
    tell(str(left_out))
    return join_clips(clips, more)


def _training_loader(
    prepared: Prepared,
    clips: Clips,
    teacher_targets: list[NDArray[np.float32]],
    weights: NDArray[np.float64],
    audio: AudioInput,
    settings: EstimatorSettings,
) -> Loader:
    """Crops from anywhere in the prepared windows; without crops, what the network will hear."""
    heard = prepared if settings.crop_s else cut_patches(prepared, audio)
    is_drawn = settings.balance or settings.epoch_clips
    n_draws = settings.epoch_clips or len(clips)
    return make_loader(
        heard.windows,
        clips.rows,
        clips.factors,
        *teacher_targets,
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
    except (OSError, ValueError, TypeError) as error:
        raise MissingInput(run, "tasteprint-train estimator") from error
    network = module.network
    assert isinstance(network, Encoder)
    return network.eval(), settings
