"""Teachers of a task: which bundles may be one, and the outputs of networks on its tracks."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from models.bundle import Bundle
from training.cf.settings import AlsSettings
from training.datasets.prepared import TaskData
from training.errors import BadTeacher
from training.networks.base import Encoder
from training.networks.bundle_outputs import Decoded, is_current, save_outputs
from training.networks.inference import run_over_rows, torch_forward
from training.networks.registry import DEFAULT_ENCODER, encoder_class
from training.networks.task_model import TaskModel, encoder_of

# Batches and crops that the batch-norm statistics of a random network are computed on.
STATISTICS_BATCHES, STATISTICS_CROPS = 8, 32
BATCH_NORMS = (nn.BatchNorm1d, nn.BatchNorm2d, nn.BatchNorm3d)


def refuse_classifier(source: Bundle) -> None:
    """Refuse a bundle that is no encoder: it would have been trained on labels of the test part.

    Raises
    ------
    BadTeacher
    """
    if source.card.kind != "encoder":
        raise BadTeacher(source.card.name, f"is a {source.card.kind}; give an encoder's bundle")


def require_encoder(source: Bundle, data: Decoded) -> None:
    """Refuse a teacher that is no encoder, or whose audio input differs from the data set's.

    Raises
    ------
    BadTeacher
    """
    refuse_classifier(source)
    if data.prepared.audio != source.card.audio:
        raise BadTeacher(
            source.card.name,
            f"takes {source.card.audio}, and the windows in {data.folder} are "
            f"{data.prepared.audio}; decode the data set for that encoder, by `dataset --teacher`",
        )


def untrained_features(
    data: TaskData, width: int, seed: int, encoder: str = DEFAULT_ENCODER
) -> NDArray[np.float32]:
    """Features of an untrained encoder, shape (n_tracks, features_dim).

    The weights are random; the batch norms have the statistics of crops of this data set, without
    which the first batch norm of the CF estimator passes nothing on. No label is used.
    """
    name = "" if encoder == DEFAULT_ENCODER else f"{encoder}-"
    path = data.folder / f"untrained-{name}w{width}-s{seed}.npz"
    if not is_current(path, data):
        torch.manual_seed(seed)
        kind = encoder_class(encoder)
        network = kind.build(
            width=width,
            embedding_dim=AlsSettings.factors,
            crop_s=kind.crop_multiple / kind.audio.sample_rate,
        )
        network.audio = data.prepared.audio
        gather_statistics(network, statistics_crops(data, kind.crop_multiple))
        _, features = network_outputs(network.eval(), data, data.rows)
        save_outputs(path, data, {"features": features})
    return np.asarray(np.load(path)["features"])


def network_outputs(
    network: Encoder | TaskModel, data: TaskData, rows: NDArray[np.int64]
) -> tuple[NDArray[np.float32], ...]:
    """Every output of a network for whole windows: arrays of shape (len(rows), dim)."""
    forward = torch_forward(network, encoder_of(network).make_front_end())
    return run_over_rows(forward, data.prepared, rows)


def gather_statistics(network: Encoder, waveforms: Iterable[Tensor]) -> None:
    """Set every batch norm to its mean statistics over waveforms, each (batch, n_samples)."""
    network.train()
    for module in network.modules():
        if isinstance(module, BATCH_NORMS):
            module.momentum = None  # a cumulative mean over the batches
    front_end = network.make_front_end()
    with torch.no_grad():
        for batch in waveforms:
            network(front_end(batch))


def statistics_crops(data: Decoded, n_samples: int) -> Iterator[Tensor]:
    """Seeded batches of crops for `gather_statistics`, each (STATISTICS_CROPS, n_samples)."""
    rng = np.random.default_rng(0)
    for _ in range(STATISTICS_BATCHES):
        rows = rng.choice(data.rows, STATISTICS_CROPS)
        yield torch.from_numpy(data.prepared.waveforms(rows)[:, :n_samples])
