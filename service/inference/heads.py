"""Heads: a model that leaves an encoder as it is runs on what that puts out, where it is loaded.

The bundle's whole graph holds encoder and head together, and serves where the encoder is missing.
"""

from __future__ import annotations

import logging
from dataclasses import replace

import numpy as np
import onnxruntime as ort

from models.audio.window_choice import Samples
from models.bundle import Bundle
from models.card import Card, Head
from models.errors import BundleError
from models.similarity import agreement
from service.inference.devices import CPU
from service.inference.precision import LEAST_AGREEMENT
from service.inference.session import Model, Outputs, open_whole, options
from service.inference.thread_split import Split
from service.settings import Settings, cores

log = logging.getLogger("tasteprint")

# Largest difference between the two ways, as a share of the largest number: rounding, never more.
TOLERANCE = 1e-3


def load_head(
    bundle: Bundle, head: Head, encoder: Model | None, settings: Settings, split: Split
) -> Model:
    """The head on its encoder; the whole graph where there is no encoder.

    Either way both are opened for a moment in float32, and the head must answer what the whole
    graph does. It takes what its encoder puts out in the precision that this runs in, if its own
    answer then still agrees; or in any case, if the precision was asked for by name.

    Raises
    ------
    BundleError
        Or whatever onnxruntime raises.
    """
    exact = settings.model_copy(update={"precision": "float32"})
    whole = open_whole(bundle, exact, Split(cores(), 1))  # for its check: no lanes are needed
    # A head is a matrix or two: on the CPU it takes less than its way to a GPU.
    session = ort.InferenceSession(bundle.graph_bytes(head), options(1), providers=[CPU])
    base = _in_float32(encoder) if encoder else whole
    model = Model(bundle, (session,), base.provider, max_batch=1, encoder=base)
    _verify_tensors(model)
    expected = _verify_probe(model, base, whole)
    if encoder is None:
        return open_whole(bundle, settings, split)
    served = replace(model, encoder=encoder, precision=encoder.precision)
    if settings.precision == "auto" and not _agrees(served, encoder, expected):
        log.warning(
            "%s runs by itself, as on %s in %s its answers are others",
            *(bundle.card.name, encoder.card.name, encoder.precision),
        )
        return open_whole(bundle, settings, split)
    return served


def _in_float32(encoder: Model) -> Model:
    """The encoder as its card's float32 graph has it, for a moment and on the CPU."""
    if encoder.precision == "float32":
        return encoder
    graph = encoder.bundle.graph_bytes(encoder.card.graph())
    session = ort.InferenceSession(graph, options(cores()), providers=[CPU])
    return replace(encoder, sessions=(session,), lone=None, bound=False, precision="float32")


def _agrees(model: Model, encoder: Model, expected: Outputs) -> bool:
    """Whether on noise the head's answer is that of the whole graph but for its precision."""
    if encoder.precision == "float32":
        return True
    own = model.run(encoder.run(_noise(model.card))[model.input])
    return all(agreement(own[name], expected[name]) >= LEAST_AGREEMENT for name in model.outputs)


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


def _noise(card: Card) -> Samples:
    noise = np.random.default_rng(0).uniform(-0.5, 0.5, (1, *card.input.shape))
    return noise.astype(np.float32)


def _verify_probe(model: Model, base: Model, whole: Model) -> Outputs:
    """Noise through the encoder and the head, and through the whole graph: what that says."""
    card = model.card
    if base.card.audio != card.audio:
        raise BundleError(
            f"bundle {card.name}: its audio input is not that of its encoder {base.card.name}",
            value=str(card.audio),
            limit=str(base.card.audio),
        )
    noise = _noise(card)
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
    return expected


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
