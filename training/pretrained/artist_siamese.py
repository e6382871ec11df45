"""Published weights of the artist study: from its Keras file to a bundle of the Siamese CNN.

Source: Park, Lee et al., "Representation learning of music using artist labels" (ISMIR 2018),
https://github.com/jongpillee/ismir2018-artist (MIT licence).
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from itertools import islice
from pathlib import Path

import h5py
import numpy as np
import torch
from numpy.typing import NDArray

from models.bundle import Bundle
from models.card import AudioInput, Data, Provenance
from training.audio.windows import read_middle_windows, shuffle_files
from training.errors import BadCheckpoint, BadExport
from training.export.bundle import PARITY_CLIPS, make_provenance
from training.export.estimator import export_encoder
from training.networks.base import even_patches
from training.networks.siamese import PAPER_RATE, SiameseCNN
from training.pretrained.settings import ArtistSiameseSettings

URL = "https://github.com/jongpillee/ismir2018-artist"
SHA256 = "3b3ad09c321786c8ea388269ee3c35ab540734ce5209f40a430f1c9b0a25f753"
WIDTH = 128
# Of a network's layers: attribute → name of the weight in Keras.
CONVOLUTION = {"weight": "kernel", "bias": "bias"}
NORM = {
    "weight": "gamma",
    "bias": "beta",
    "running_mean": "moving_mean",
    "running_var": "moving_variance",
}

Weights = dict[str, NDArray[np.float32]]


def export_artist_siamese(
    weights: Path,
    out: Path,
    audio: Path,
    settings: ArtistSiameseSettings,
    *,
    on_demand: bool = False,
    card_version: str = "1.0.0",
) -> tuple[Bundle, Mapping[str, float]]:
    """Read the published weights, and write them as a bundle.

    Parameters
    ----------
    weights : the file `model_siamese_10000.h5`
    audio : folder of audio files for the parity check
    on_demand : whether the service loads the bundle on its first use only

    Raises
    ------
    BadCheckpoint, BadPatches, ParityFailed, BadExport, BundleError
    """
    network = make_network(read_weights(weights), settings)
    files = shuffle_files([audio], 0)
    windows = list(islice(read_middle_windows(files, network.audio), PARITY_CLIPS))
    if not windows:
        raise BadExport(out.name, f"the parity check needs audio, and {audio} has none")
    return export_encoder(
        network,
        out,
        np.stack(windows),
        _make_provenance(settings),
        task="music-similarity",
        embedding="features in unit length: the dot product is the cosine that was trained on",
        default=not on_demand,
        card_version=card_version,
    )


def read_weights(path: Path, sha256: str = SHA256) -> Weights:
    """Every weight of the file's layers, by names such as `conv1d_1/kernel`.

    Raises
    ------
    BadCheckpoint
        If it is no HDF5 file of Keras, or another one than the published one.
    """
    found = hashlib.sha256(path.read_bytes()).hexdigest()
    if found != sha256:
        raise BadCheckpoint(
            f"{path} does not hold the published weights: its SHA-256 is {found}, not {sha256}; "
            f"get model_siamese_10000.h5 from {URL}"
        )
    weights: Weights = {}

    def read(name: str, item: object) -> None:
        if isinstance(item, h5py.Dataset):  # conv1d_1/conv1d_1/kernel:0
            layer, _, weight = name.rpartition("/")
            weights[f"{layer.rpartition('/')[2]}/{weight.partition(':')[0]}"] = np.array(item)

    with h5py.File(path) as file:
        file["model_weights"].visititems(read)
    return weights


def make_network(weights: Weights, settings: ArtistSiameseSettings) -> SiameseCNN:
    """The network with these weights, in evaluation mode, for audio of 22,050 Hz.

    Raises
    ------
    BadCheckpoint, BadPatches
    """
    network = SiameseCNN(WIDTH, 2 * WIDTH)
    stated = SiameseCNN.audio
    patches = even_patches(settings.patches, settings.patch_s, stated.window_s)
    changed = {"sample_rate": PAPER_RATE, "patches": patches.model_dump()}
    network.audio = AudioInput.model_validate(stated.model_dump() | changed)
    copy_weights(network, weights)
    return network.eval()


def copy_weights(network: SiameseCNN, weights: Weights) -> None:
    """Set every weight of a network from those of a Keras model, whose layers count from 1.

    Raises
    ------
    BadCheckpoint
        If a weight is missing or has another shape.
    """
    for number, block in enumerate(network.blocks, 1):
        parts = (
            (block.convolve, f"conv1d_{number}", CONVOLUTION),
            (block.norm, f"batch_normalization_{number}", NORM),
        )
        for module, layer, names in parts:
            for attribute, name in names.items():
                _copy(getattr(module, attribute), f"{layer}/{name}", weights)


def _copy(target: torch.Tensor, key: str, weights: Weights) -> None:
    if key not in weights:
        raise BadCheckpoint(f"the file has no weight {key}")
    values = weights[key].T
    if values.ndim == 3:
        values = values[:, :, None]  # kernels: (T, C, F) -> (F, C, 1, T)
    if values.shape != tuple(target.shape):
        raise BadCheckpoint(
            f"the weight {key} has the shape {weights[key].shape}, which does not fit a weight of "
            f"the shape {tuple(target.shape)}"
        )
    target.data.copy_(torch.tensor(values.copy()))


def _make_provenance(settings: ArtistSiameseSettings) -> Provenance:
    use = (
        "audio and artists, 10,000 of them, by the authors of the study; may hold songs of other "
        "sets that heads are trained or judged on, GTZAN among them"
    )
    return make_provenance(
        method=f"published weights: {URL}, model_siamese_10000; hinge on cosines of segments of "
        "3 s, 4 negatives, margin 0.4 (Park, Lee et al. 2018)",
        data=(
            Data(
                name="Million Song Dataset (Bertin-Mahieux et al. 2011)",
                use=use,
                licence="MIT (weights). The recordings of the set are not part of it.",
            ),
        ),
        seed=0,
        hyperparameters={"width": WIDTH, "crop_s": 3.0} | settings.to_record(),
        metrics={},
        split="of its authors",
    )
