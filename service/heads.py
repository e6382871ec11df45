"""Heads: a model that leaves an encoder as it is runs on what that puts out, where it is loaded.

The bundle's whole graph holds encoder and head together, and serves where the encoder is missing.
"""

from __future__ import annotations

import numpy as np
import onnxruntime as ort

from models.bundle import Bundle
from models.card import Card, Head
from models.errors import BundleError
from models.window import Samples
from service.session import CPU, Model, open_whole, options
from service.settings import Settings
from service.split import Split

# Largest difference between the two ways, as a share of the largest number: rounding, never more.
TOLERANCE = 1e-3


def load_head(
    bundle: Bundle, head: Head, encoder: Model | None, settings: Settings, split: Split
) -> Model:
    """The head on its encoder; the whole graph where there is no encoder.

    Either way both are opened for a moment, and the head must answer what the whole graph does.

    Raises
    ------
    BundleError
        Or whatever onnxruntime raises.
    """
    whole = open_whole(bundle, settings, split)
    # A head is a matrix or two: on the CPU it takes less than its way to a GPU.
    session = ort.InferenceSession(bundle.graph_bytes(head), options(1), providers=[CPU])
    base = encoder or whole
    model = Model(bundle, (session,), base.provider, max_batch=1, encoder=base)
    _verify_tensors(model)
    _verify_probe(model, base, whole)
    return whole if encoder is None else model


def _verify_tensors(model: Model) -> None:
    card, session = model.card, model.session
    found = {tensor.name: tuple(tensor.shape[1:]) for tensor in session.get_inputs()}
    if found != {model.input: model.input_shape}:
        raise BundleError(
            f"bundle {card.name}: the head's inputs differ from the card's",
            value=str(found),
            limit=str({model.input: model.input_shape}),
        )
    there = {tensor.name for tensor in session.get_outputs()}
    absent = [name for name in model.outputs if name not in there]
    if absent:
        raise BundleError(f"bundle {card.name}: the head has no output {', '.join(absent)}")


def _verify_probe(model: Model, base: Model, whole: Model) -> None:
    """Noise through the encoder and the head, and through the whole graph."""
    card = model.card
    if base.card.audio != card.audio:
        raise BundleError(
            f"bundle {card.name}: its audio input is not that of its encoder {base.card.name}",
            value=str(card.audio),
            limit=str(base.card.audio),
        )
    noise = np.random.default_rng(0).uniform(-0.5, 0.5, (1, *card.input.shape)).astype(np.float32)
    expected, encoded = whole.run(noise), base.run(noise)
    for tensor in card.outputs:
        if tensor.name not in model.outputs:
            _compare(
                card,
                f"{base.card.name}'s {tensor.name}",
                encoded.get(tensor.name),
                expected[tensor.name],
            )
    own = model.run(encoded[model.input])
    for name in model.outputs:
        _compare(card, f"the head's {name}", own[name], expected[name])


def _compare(card: Card, what: str, found: Samples | None, expected: Samples) -> None:
    if found is None or found.shape != expected.shape:
        raise BundleError(
            f"bundle {card.name}: {what} has another shape than its whole graph's",
            value=None if found is None else str(found.shape[1:]),
            limit=str(expected.shape[1:]),
        )
    if not np.isfinite(found).all():
        raise BundleError(f"bundle {card.name}: {what} is not finite on a probe")
    difference, limit = float(abs(found - expected).max()), TOLERANCE * float(abs(expected).max())
    if difference > limit:
        raise BundleError(
            f"bundle {card.name}: {what} differs from its whole graph's",
            value=difference,
            limit=limit,
        )
