"""Weight import from ONNX: the encoder of a bundle as a torch module."""

from __future__ import annotations

import onnx
import torch

from models.bundle import Bundle
from models.card import AudioInput
from models.errors import BundleError
from training.errors import OtherAudio
from training.export.ensemble import ARCHITECTURE as ENSEMBLE
from training.export.torch_to_onnx import to_onnx
from training.networks.base import Encoder, width_of_card
from training.networks.registry import DEFAULT_ENCODER, class_of_card, find_entry
from training.networks.waveform import WaveformEncoder

# Attribute of `WaveformEncoder` that holds the encoder.
PREFIX = "network."


def load_network_from_bundle(source: Bundle) -> Encoder:
    """The encoder of a bundle in evaluation mode, its weights found in the graph by name.

    Raises
    ------
    BundleError
        If the graph does not hold the weights of the architecture that the card names, or is of
        an ensemble.
    UnknownEncoder
    """
    card, name = source.card, source.card.architecture or DEFAULT_ENCODER
    if name == ENSEMBLE:
        raise BundleError(
            f"bundle {card.name} is an ensemble, and has no encoder of its own; give the bundle of "
            "one of its members"
        )
    widths = find_entry(name).widths
    refusal = BundleError(f"bundle {card.name}: its graph does not hold the weights of a {name}")
    if widths and width_of_card(card) not in widths:
        raise refusal
    network = class_of_card(card).from_card(card)
    graph = onnx.load_from_string(source.graph_bytes(card.graph())).graph
    stored = {
        tensor.name.removeprefix(PREFIX): tensor
        for tensor in graph.initializer
        if tensor.name.startswith(PREFIX)
    }
    expected = {
        key: tuple(weight.shape)
        for key, weight in network.state_dict().items()
        if not key.endswith("num_batches_tracked")  # only training reads it
    }
    if any(key not in stored or tuple(stored[key].dims) != expected[key] for key in expected):
        raise refusal
    weights = {key: torch.tensor(onnx.numpy_helper.to_array(stored[key])) for key in expected}
    network.load_state_dict(weights, strict=False)
    return network.eval()


def export_for_audio(source: Bundle, audio: AudioInput) -> bytes:
    """The encoder of a bundle as a graph that takes other patches of the same window.

    Raises
    ------
    OtherAudio
        Where more than the patches differs.
    BundleError, UnknownEncoder
    """
    stated = source.card.audio
    if audio.model_copy(update={"patches": stated.patches}) != stated:
        raise OtherAudio(audio, source.card.name, stated)
    network = load_network_from_bundle(source)
    network.audio = audio
    names = ["embedding", "features", *network.levels]
    return to_onnx(WaveformEncoder(network).eval(), "waveform", audio.input_samples, names)
