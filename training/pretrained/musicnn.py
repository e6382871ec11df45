"""MusiCNN's published weights: from the wheel of the package `musicnn` 0.1.0 to a bundle.

Source: https://github.com/jordipons/musicnn (ISC licence).
"""

from __future__ import annotations

import ast
import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from zipfile import BadZipFile, ZipFile

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from models.bundle import Bundle
from models.card import Data, Provenance
from training.audio.windows import read_middle_windows, shuffle_files
from training.errors import BadCheckpoint, BadExport
from training.export.bundle import PARITY_CLIPS, make_provenance
from training.export.estimator import export_encoder
from training.networks.musicnn import N_TAGS, MusiCNN
from training.pretrained.settings import MusicnnSettings
from training.pretrained.tensorflow_checkpoint import Variables, read_variables

CHECKPOINT = "musicnn/{}_musicnn/"
INDEX, DATA = ".index", ".data-00000-of-00001"
LICENCE, LABELS = "musicnn-0.1.0.dist-info/LICENSE.md", "musicnn/configuration.py"
KERNEL = {"weight": "kernel", "bias": "bias"}
URL = "https://github.com/jordipons/musicnn"


@dataclass(frozen=True)
class Published:
    """Weights of the package, and the data that they were trained on.

    Attributes
    ----------
    sha256 : of the data file of the checkpoint
    """

    data: str
    use: str
    sha256: str


PUBLISHED = {
    "msd": Published(
        "Million Song Dataset (Bertin-Mahieux et al. 2011), Last.fm tags",
        "audio and 50 tags, by the authors of MusiCNN; may hold songs of other sets that heads are "
        "trained or judged on, GTZAN among them, without their labels",
        "8579734ee6388f799ed0def4bbd0d1fdcbeaf213ef2a9dc860917bd76a303de6",
    ),
    "mtt": Published(
        "MagnaTagATune (Law et al. 2009)",
        "audio and 50 tags, by the authors of MusiCNN; recordings from Magnatune, as Emotify's: "
        "not to be judged there",
        "041f3935e981a65cea739842d30c188d3a7d2adf4410955c8668eb3de4a5acab",
    ),
}


def export_musicnn(
    wheel: Path,
    out: Path,
    audio: Path,
    settings: MusicnnSettings,
    *,
    on_demand: bool = False,
    card_version: str = "1.0.0",
) -> tuple[Bundle, Mapping[str, float]]:
    """Read published weights from the wheel, and write them as a bundle with their licence.

    Parameters
    ----------
    wheel : of `pip download --no-deps musicnn==0.1.0`
    audio : folder of audio files for the parity check
    on_demand : whether the service loads the bundle on its first use only

    Raises
    ------
    BadCheckpoint, ParityFailed, BadExport, BundleError
    """
    files = read_wheel(wheel, settings.weights)
    network = make_network(files, settings)
    licence = files[LICENCE].decode()
    windows = list(
        islice(read_middle_windows(shuffle_files([audio], 0), network.audio), PARITY_CLIPS)
    )
    if not windows:
        raise BadExport(out.name, f"the parity check needs audio, and {audio} has none")
    bundle, errors = export_encoder(
        network,
        out,
        np.stack(windows),
        _make_provenance(settings, licence),
        task="music-tagging",
        labels=read_tags(files, settings.weights),
        embedding="the penultimate layer, as `features`: in no CF space",
        default=not on_demand,
        card_version=card_version,
    )
    (out / "LICENSE").write_text(licence.strip() + "\n")
    return bundle, errors


def make_network(files: Mapping[str, bytes], settings: MusicnnSettings) -> MusiCNN:
    """The network with the published weights, in evaluation mode."""
    folder = CHECKPOINT.format(settings.weights.upper())
    network = MusiCNN(n_tags=N_TAGS)
    network.audio = MusiCNN.patched_audio(settings.patches, settings.patch_s)
    copy_variables(network, read_variables(files[folder + INDEX], files[folder + DATA]))
    return network.eval()


def read_wheel(wheel: Path, weights: str) -> dict[str, bytes]:
    """The checkpoint, its tags and its licence, by name in the wheel."""
    folder = CHECKPOINT.format(weights.upper())
    names = [folder + INDEX, folder + DATA, LICENCE, LABELS]
    try:
        with ZipFile(wheel) as archive:
            files = {name: archive.read(name) for name in names}
    except (OSError, BadZipFile, KeyError) as error:
        raise BadCheckpoint(
            f"{wheel} is not the wheel of musicnn 0.1.0 ({error}); "
            "get it by `pip download --no-deps musicnn==0.1.0`"
        ) from error
    found, expected = hashlib.sha256(files[folder + DATA]).hexdigest(), PUBLISHED[weights].sha256
    if found != expected:
        raise BadCheckpoint(
            f"the weights in {wheel} are not those of musicnn 0.1.0: their SHA-256 is {found}, "
            f"not {expected}"
        )
    return files


def read_tags(files: Mapping[str, bytes], weights: str) -> tuple[str, ...]:
    """Names of the tags, in the order of the network's outputs."""
    name = f"{weights.upper()}_LABELS"
    for statement in ast.parse(files[LABELS]).body:
        if isinstance(statement, ast.Assign) and ast.unparse(statement.targets[0]) == name:
            return tuple(ast.literal_eval(statement.value))
    raise BadCheckpoint(f"{LABELS} of the wheel lists no tags of {weights}")


def copy_variables(network: MusiCNN, variables: Variables) -> None:
    """Set every weight of a network from the variables of a checkpoint.

    TensorFlow numbers layers of a kind in the order in which the network makes them.

    Raises
    ------
    BadCheckpoint
        If a variable is missing or has another shape.
    """
    blocks = [*network.front, *network.residual]
    last = (network.dense[0], network.dense[4])
    norms = (network.normalise, *(block.norm for block in blocks), *last)
    for index, norm in enumerate(norms):
        names = {"weight": "gamma", "bias": "beta"}
        names |= {"running_mean": "moving_mean", "running_var": "moving_variance"}
        _copy(norm, variables, _numbered("batch_normalization", index), names)
    for index, block in enumerate(blocks):
        _copy(block.convolve, variables, _numbered("conv2d", index), KERNEL)
    assert network.tag_layer is not None
    for index, layer in enumerate((network.dense[2], network.tag_layer)):
        _copy(layer, variables, _numbered("dense", index), KERNEL)


def _numbered(kind: str, index: int) -> str:
    return f"{kind}_{index}" if index else kind


def _copy(module: nn.Module, variables: Variables, prefix: str, names: Mapping[str, str]) -> None:
    for attribute, name in names.items():
        target: torch.Tensor = getattr(module, attribute)
        key = f"{prefix}/{name}"
        if key not in variables:
            raise BadCheckpoint(f"the checkpoint has no variable {key}")
        values = _in_torch_order(variables[key], module)
        if values.shape != tuple(target.shape):
            raise BadCheckpoint(
                f"the checkpoint's variable {key} has the shape {variables[key].shape}, which does "
                f"not fit a weight of the shape {tuple(target.shape)}"
            )
        target.data.copy_(torch.tensor(values.copy()))


def _in_torch_order(values: NDArray[np.float32], module: nn.Module) -> NDArray[np.float32]:
    """Kernels (height, width, in, out) -> (out, in, height, width); dense (in, out) -> (out, in).

    The residual layers' convolutions are over the time axis alone: their kernel's width is the
    channels, and its `in` is 1.
    """
    if isinstance(module, nn.Conv1d) and values.ndim == 4:
        return values[:, :, 0].transpose(2, 1, 0)  # (T, C, 1, out) -> (out, C, T)
    if values.ndim == 4:
        return values.transpose(3, 2, 0, 1)
    return values.T if values.ndim == 2 else values


def _make_provenance(settings: MusicnnSettings, licence: str) -> Provenance:
    published = PUBLISHED[settings.weights]
    notice = f"ISC. {' '.join(licence.split())} The recordings of the set are not part of it."
    return make_provenance(
        method=f"published weights: {URL}, {settings.weights.upper()}_musicnn of musicnn 0.1.0",
        data=(Data(name=published.data, use=published.use, licence=notice),),
        seed=0,
        hyperparameters=settings.to_record(),
        metrics={},
        split="of its authors",
    )
