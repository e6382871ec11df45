"""MusiCNN with a linear CF estimator as its embedding."""

from __future__ import annotations

import numpy as np
import torch
from torch import nn

from models.bundle import Bundle
from models.card import AudioInput
from training.errors import BadSource, BadTeacher
from training.export.reload import load_network_from_bundle
from training.linear.mixture import LinearEstimator
from training.linear.ridge import LinearMap
from training.linear.settings import SOURCES
from training.networks.gated_linear import GatedLinear
from training.networks.musicnn import MusiCNN
from training.networks.registry import class_of_card


def require_musicnn(source: Bundle, sources: tuple[str, ...]) -> None:
    """Refuse a bundle that is no encoder of MusiCNN's architecture, or lacks an output.

    Raises
    ------
    BadTeacher, BadSource, UnknownEncoder
    """
    card = source.card
    if card.kind != "encoder" or class_of_card(card) is not MusiCNN:
        raise BadTeacher(
            card.name,
            f"is a {card.kind} of the architecture {card.architecture or 'cf-estimator'}; give an "
            "encoder of the architecture musicnn, such as models/musicnn-msd",
        )
    names = [tensor.name for tensor in card.outputs]
    for name in sources:
        if name not in names:
            raise BadSource(name, [known for known in SOURCES if known in names])


def make_network(
    source: Bundle,
    estimator: LinearEstimator,
    sources: tuple[str, ...],
    audio: AudioInput,
    *,
    has_levels: bool,
) -> MusiCNN:
    """The network of a bundle in evaluation mode, with the estimator as its embedding.

    Parameters
    ----------
    sources : outputs that the estimator takes
    audio : input of the network
    has_levels : whether its levels and tags are outputs

    Raises
    ------
    BundleError
    """
    frozen = load_network_from_bundle(source)
    assert isinstance(frozen, MusiCNN)
    maps = [fitted.map for fitted in estimator.maps.values()]
    network = MusiCNN(
        frozen.width,
        len(maps[0].bias),
        frozen.n_tags if has_levels else 0,
        embed_source=sources,
        n_maps=len(maps),
        has_levels=has_levels,
    )
    layers = network.state_dict().keys()
    kept = {key: weight for key, weight in frozen.state_dict().items() if key in layers}
    kept = {key: kept[key] for key in kept if not key.startswith("embed.")}
    network.load_state_dict(kept, strict=False)
    network.audio = audio
    _set_embedding(network.embed, maps, estimator.gate)
    return network.eval()


def _set_embedding(layer: nn.Module | None, maps: list[LinearMap], gate: LinearMap | None) -> None:
    joined = LinearMap(
        np.concatenate([found.weight for found in maps]),
        np.concatenate([found.bias for found in maps]),
    )
    if gate is None:
        assert isinstance(layer, nn.Linear)
        _copy(joined, layer)
    else:
        assert isinstance(layer, GatedLinear)
        _copy(joined, layer.maps)
        _copy(gate, layer.gate)


def _copy(found: LinearMap, layer: nn.Linear) -> None:
    with torch.no_grad():
        layer.weight.copy_(torch.from_numpy(found.weight))
        layer.bias.copy_(torch.from_numpy(found.bias))
