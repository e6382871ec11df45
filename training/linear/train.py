"""Linear CF estimator: a bundle of MusiCNN whose embedding is a ridge regression on its outputs."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from models.bundle import Bundle, read
from models.card import AudioInput, Data, Provenance, Scalar
from training.audio.prepared_sets import ClipFolder, load_sets
from training.audio.windows import Prepared
from training.datasets.accounts import (
    MIN_SHARE,
    Account,
    account_held_out,
    account_targets,
    check_account,
    count_join,
)
from training.errors import OtherAudio
from training.export.bundle import PARITY_CLIPS, as_teacher, make_provenance
from training.export.estimator import export_encoder, read_metrics
from training.export.reload import export_for_audio
from training.linear.alpha import Audience
from training.linear.clips import LabelledClips, concatenate, label_clips
from training.linear.mixture import LinearEstimator, fit_estimator
from training.linear.network import make_network, require_musicnn
from training.linear.settings import LinearSettings, check_settings
from training.networks.bundle_outputs import bundle_outputs
from training.networks.inference import Track
from training.networks.musicnn import MusiCNN

LICENCE = "LICENSE"


@dataclass(frozen=True)
class Destination:
    """Where the bundle is written, and what its card states beside the fit.

    Attributes
    ----------
    data : training data, without the encoder's
    factors : folder that the audience's factors were read from
    evaluation : folder of `tasteprint-train evaluate`, for the card's metrics
    """

    out: Path
    data: tuple[Data, ...]
    factors: Path
    evaluation: Path | None = None
    default: bool = True
    card_version: str = "1.0.0"


def train(
    encoder: Path,
    prepared: Sequence[Path],
    audience: Audience,
    split: pd.DataFrame | None,
    destination: Destination,
    settings: LinearSettings,
    *,
    patches: int = 0,
    patch_s: float = 0.0,
    allow_missing: bool = False,
    track: Track = lambda label, starts: starts,
    tell: Callable[[Account], None] = lambda account: None,
) -> tuple[Bundle, Mapping[str, float]]:
    """Fit on all clips but those of the split's test artists, and write the bundle.

    Parameters
    ----------
    encoder : folder of a bundle of MusiCNN's architecture
    prepared : folders of `prepare`, with windows of the new bundle's patches
    split : None fits on every clip that has a target
    patches, patch_s : of the new bundle, see `Encoder.patched_audio`; both 0: the encoder's own
    allow_missing : fit where few items have a factor, or the logs do not know held-out items
    tell : called with the accounts of each join

    Returns
    -------
    The bundle, and the parity error of each output.

    Raises
    ------
    BadSource, BadTeacher, BadPatches, OtherAudio, OtherSets, MissingInput
    Unmatched, NothingToTrain, TooFewArtists, NothingToEvaluate, OtherSpace
    ParityFailed, BadExport, BundleError
    """
    check_settings(settings, len(prepared))
    source, sources = read(encoder), settings.sources
    require_musicnn(source, sources)
    audio = MusiCNN.patched_audio(patches, patch_s) if patches or patch_s else source.card.audio
    joined = load_sets(prepared)
    if joined.audio != audio:
        raise OtherAudio(joined.audio, source.card.name, audio)
    accounts = account_joins(joined.tracks, split, audience, allow_missing=allow_missing)
    for account in accounts.values():
        tell(account)
    folders = [ClipFolder(folder, Prepared.load(folder)) for folder in prepared]
    outputs = concatenate(
        [bundle_outputs(source, found, track, export_for_audio) for found in folders], sources
    )
    clips = label_clips(joined.tracks, outputs, audience.factors, split)
    estimator = fit_estimator(clips, audience, per_set=settings.per_set, seed=settings.seed)
    network = make_network(source, estimator, sources, audio, has_levels=settings.levels)
    facts = _make_provenance(
        source, audio, audience, split, clips, estimator, settings, destination, accounts
    )
    written = export_encoder(
        network,
        destination.out,
        joined.waveforms(_choose_rows(joined, split)),
        facts,
        labels=source.card.labels if settings.levels else (),
        space=audience.factors.space,
        default=destination.default,
        card_version=destination.card_version,
    )
    if (source.folder / LICENCE).is_file():
        shutil.copyfile(source.folder / LICENCE, destination.out / LICENCE)
    return written


def account_joins(
    tracks: pd.DataFrame, split: pd.DataFrame | None, audience: Audience, *, allow_missing: bool
) -> dict[str, Account]:
    """Accounts of what is fitted on in the factors and the logs, and of what is held out.

    Raises
    ------
    Unmatched
    """
    accounts = {}
    fitted = tracks
    if split is not None:
        accounts["held out"] = account_held_out(split, audience.logs, allow_missing=allow_missing)
        named = count_join(tracks, "prepared", split["track_id"], "the split", key="track_id")
        what = "tracks that the split does not name are left out"
        accounts["split"] = check_account(named, MIN_SHARE, allow_missing=allow_missing, what=what)
        parts = split.loc[split["part"] != "test", "track_id"]
        fitted = tracks[tracks["track_id"].isin(parts)]
    items = audience.factors.items
    accounts["fitted"] = account_targets(fitted, "fitted on", items, allow_missing=allow_missing)
    accounts["listeners"] = count_join(fitted, "fitted on", audience.logs.items, "the logs")
    return accounts


def _choose_rows(joined: Prepared, split: pd.DataFrame | None) -> NDArray[np.int64]:
    """Windows of the parity check: some of the test part, or spread over all."""
    tracks = joined.tracks
    if split is not None:
        test = set(split.loc[split["part"] == "test", "track_id"])
        tracks = tracks[tracks["track_id"].isin(test)]
    spread = np.unique(np.linspace(0, len(tracks) - 1, PARITY_CLIPS).astype(int))
    return np.array([int(tracks["row"].iloc[position]) for position in spread], np.int64)


def _make_provenance(
    source: Bundle,
    audio: AudioInput,
    audience: Audience,
    split: pd.DataFrame | None,
    clips: LabelledClips,
    estimator: LinearEstimator,
    settings: LinearSettings,
    destination: Destination,
    accounts: Mapping[str, Account],
) -> Provenance:
    alphas, metrics = estimator.describe()
    patches = audio.patches
    return make_provenance(
        method=f"ridge regression on frozen {MusiCNN.title}"
        + (", one for each set, mixed by a logistic gate" if settings.per_set else ""),
        teacher=source.digest,
        data=(*destination.data, *as_teacher(source, "frozen encoder")),
        seed=settings.seed,
        hyperparameters={
            "frozen_encoder": source.card.name,
            "embed_source": "+".join(settings.sources),
            "embed_maps": len(estimator.maps),
            "per_set": settings.per_set,
            **alphas,
            "weights": "1 / sqrt(clips of the artist in the set)",
            "min_listeners": settings.min_listeners,
            **{f"joined: {name}": account.describe_met() for name, account in accounts.items()},
            "patches": len(patches.starts_s) if patches else 0,
            "patch_s": patches.seconds if patches else 0.0,
            **{f"als_{key}": value for key, value in asdict(audience.factors.settings).items()},
        },
        metrics=metrics | _read_metrics(destination, audience, split),
        split=_describe_split(split, clips),
    )


def _read_metrics(
    destination: Destination, audience: Audience, split: pd.DataFrame | None
) -> dict[str, Scalar]:
    if destination.evaluation is None:
        return {}
    space = None if split is None else audience.factors.space
    return read_metrics(destination.evaluation, space, destination.factors)


def _describe_split(split: pd.DataFrame | None, clips: LabelledClips) -> str:
    fitted = f"{len(clips)} clips of {clips.tracks['artist'].nunique()} artists"
    if split is None:
        return (
            f"fitted on every clip with a target, {fitted}; metrics are of maps that were fitted "
            "without the artists that they are judged on, a fold at a time"
        )
    n_test = split.loc[split["part"] == "test", "artist"].nunique()
    return f"by artist, fitted on {fitted}; test: {n_test} artists"
