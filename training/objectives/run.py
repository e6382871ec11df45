"""Training run of an encoder by groups: draws and an objective -> a checkpoint."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

import numpy as np
import pandas as pd
from torch import Tensor

from training.audio.decoding import FULL_SCALE
from training.audio.manifest import read_ids
from training.audio.patch_cutting import can_cut
from training.audio.windows import Prepared
from training.errors import BadCrop, MissingInput, OtherAudio
from training.fitting.dataset import Loader
from training.fitting.run_pictures import draw_run
from training.fitting.settings import KIND
from training.fitting.trainer import fit, seed_and_silence
from training.networks.base import Encoder
from training.networks.registry import encoder_class
from training.objectives.clips import VALIDATION
from training.objectives.groups import GroupDataset, GroupDraws, make_group_loader
from training.objectives.module import GroupModule, Objective, make_network
from training.objectives.settings import GroupSettings

CLIPS = "clips.csv"
# Groups by which a network's input is standardized.
MAX_HEARD = 500


def fit_groups(
    prepared: Prepared,
    clips: pd.DataFrame,
    training: GroupDraws,
    validation: GroupDraws,
    make_objective: Callable[[Encoder], Objective],
    out: Path,
    settings: GroupSettings,
    *,
    command: str,
    extra_identity: Mapping[str, str] | None = None,
    records: Mapping[str, str] | None = None,
    resume: bool = True,
    show_progress: bool = True,
) -> Path:
    """Train, keeping the checkpoint with the lowest validation loss; returns its path.

    `out` receives the clips, what `training.fitting.trainer.fit` writes, the name of the command,
    and pictures of the losses and of the validation clips.

    Parameters
    ----------
    prepared : whole windows, of which crops are drawn from anywhere, or the encoder's patches
    clips : those of all parts, for the record
    training, validation : the groups of both parts
    make_objective : of the network, whose sizes it may need
    command : of `tasteprint-train`, which makes such runs
    extra_identity, records : see `training.fitting.trainer.fit`

    Raises
    ------
    UnknownEncoder, BadCrop, BadPatches, OtherAudio
    OtherRun
        If `out` holds a run with other settings or clips.
    """
    check_windows(prepared, settings)
    seed_and_silence(settings)
    network = make_network(settings)
    loader = _make_loader(prepared, training, settings, training=True)
    network.standardize(_hear_some(network, loader))
    module = GroupModule(network, make_objective(network), settings)
    best = fit(
        module,
        loader,
        _make_loader(prepared, validation, settings, training=False),
        out,
        settings,
        extra_identity={CLIPS: clips.to_csv(index=False)} | dict(extra_identity or {}),
        records={KIND: f"{command}\n"} | dict(records or {}),
        resume=resume,
        show_progress=show_progress,
    )
    is_shown = clips["part"] == VALIDATION
    shown = prepared.tracks.set_index("row").loc[clips.loc[is_shown, "row"]].reset_index()
    draw_run(module, prepared, shown, out, batch_size=settings.batch_size)
    return best


def check_windows(prepared: Prepared, settings: GroupSettings) -> None:
    """Refuse windows that the encoder does not take, and crops of no length.

    Raises
    ------
    UnknownEncoder, BadCrop, BadPatches, OtherAudio
    """
    kind = encoder_class(settings.encoder)
    audio = kind.patched_audio(settings.patches, settings.patch_s)
    if not can_cut(prepared.audio, audio):
        raise OtherAudio(prepared.audio, settings.encoder, audio)
    if settings.crop_s <= 0:
        raise BadCrop(settings.crop_s, prepared.audio.window_s)


def _make_loader(
    prepared: Prepared, draws: GroupDraws, settings: GroupSettings, *, training: bool
) -> Loader:
    return make_group_loader(
        prepared.windows,
        draws,
        settings=settings,
        crop_samples=encoder_class(settings.encoder).crop_samples(settings.crop_s),
        patch_samples=prepared.audio.patch_samples,
        training=training,
    )


def _hear_some(network: Encoder, loader: Loader) -> Iterator[Tensor]:
    """What the network's front end makes of the crops of some training groups, by batches."""
    dataset, front_end = loader.dataset, network.make_front_end()
    assert isinstance(dataset, GroupDataset)
    order = np.random.default_rng(dataset.seed).permutation(len(dataset))
    for index in order[:MAX_HEARD]:
        crops, *_ = dataset[int(index)]
        yield front_end(crops.float() / FULL_SCALE)


def load_clips(run: Path) -> pd.DataFrame:
    """The clips of a run and their parts; rows are those of the run's prepared sets.

    Raises
    ------
    MissingInput
    """
    try:
        return read_ids(run / CLIPS)
    except (OSError, ValueError) as error:
        command = (run / KIND).read_text().strip() if (run / KIND).exists() else "similarity"
        raise MissingInput(run, f"tasteprint-train {command}") from error
