"""Task heads: small graphs that run on the outputs of a loaded encoder.

The bundle's full graph holds encoder and head together, and runs if the encoder is not loaded.
"""

from __future__ import annotations

import logging
from dataclasses import replace
from functools import lru_cache

import numpy as np
import onnxruntime as ort

from models.audio.window_choice import Samples
from models.bundle import Bundle, verification_noise
from models.card import Card, Head
from models.errors import BundleError
from models.similarity import agreement
from service.cores import cores
from service.inference.devices import CPU
from service.inference.model import Model, Outputs
from service.inference.precision import MIN_AGREEMENT
from service.inference.session import open_model, session_options
from service.inference.thread_split import ThreadSplit
from service.settings import Settings

log = logging.getLogger("tasteprint")

# Maximum difference between head and full graph, relative to the largest value: rounding only.
TOLERANCE = 1e-3
# Minimum agreement on noise of a head whose inputs agree on real audio: see `_agrees`.
MIN_NOISE_AGREEMENT = 0.9


def load_head(
    bundle: Bundle, head: Head, encoder: Model | None, settings: Settings, split: ThreadSplit
) -> Model:
    """Load the head on its encoder, or the bundle's full graph if the encoder is not loaded.

    In both cases head and full graph are opened temporarily in float32, and their outputs must be
    equal; a head that takes outputs that only its encoder has is compared only where the encoder is
    loaded. The head takes the encoder's outputs in the precision that the encoder runs in if the
    head's outputs then still agree with the full graph's, or in any case if that precision was set
    by name.

    Raises
    ------
    BundleError
        Or whatever onnxruntime raises.
    """
    if not _has_inputs(bundle.card, head, encoder):
        return open_model(bundle, settings, split)
    float32 = settings.model_copy(update={"precision": "float32"})
    # For the comparison only, so one worker suffices.
    full = open_model(bundle, float32, ThreadSplit(cores(), 1))
    # A head is one or two matrices: on the CPU it takes less time than a copy to a GPU.
    session = ort.InferenceSession(bundle.graph_bytes(head), session_options(1), providers=[CPU])
    base = encoder or full
    model = Model(bundle, (session,), base.provider, max_batch=1, encoder=base)
    _verify_tensors(model)
    expected = _verify_outputs(model, base, full)
    if encoder is None:
        return open_model(bundle, settings, split)
    served = replace(model, encoder=encoder, precision=encoder.precision)
    if settings.precision == "auto" and not _agrees(served, encoder, expected):
        log.warning(
            "%s runs by its full graph: on %s in %s its outputs would differ",
            *(bundle.card.name, encoder.card.name, encoder.precision),
        )
        return open_model(bundle, settings, split)
    return served


def _has_inputs(card: Card, head: Head, encoder: Model | None) -> bool:
    """Whether the head can run: on its encoder, or else on the outputs of its own full graph.

    Raises
    ------
    BundleError
        If the encoder is loaded, and has no output of a name that the head takes, or lives in
        another CF space than the head states.
    """
    if encoder and card.space not in (None, encoder.card.space):
        raise BundleError(
            f"bundle {card.name}: it states another CF space than its encoder {encoder.card.name}",
            value=card.space,
            limit=encoder.card.space,
            remedy="fit the head again on that encoder",
        )
    known = [tensor.name for tensor in (encoder.card if encoder else card).outputs]
    missing = [name for name in head.encoder_outputs if name not in known]
    if missing and encoder:
        raise BundleError(
            f"bundle {card.name}: its encoder {encoder.card.name} has no output "
            f"{', '.join(missing)}",
            value=", ".join(head.encoder_outputs),
            limit=", ".join(known),
        )
    return not missing


def _reference_outputs(encoder: Model) -> Outputs:
    """The encoder's outputs on noise in float32, for the comparison."""
    if encoder.precision == "float32":
        return encoder.run(verification_noise(encoder.input_shape))
    names = tuple(encoder.output_names)
    return _run_on_cpu(encoder.bundle.graph_bytes(encoder.card.graph()), encoder.input_name, names)


@lru_cache(1)  # heads of one encoder are loaded one after another
def _run_on_cpu(graph: bytes, input_name: str, output_names: tuple[str, ...]) -> Outputs:
    """Outputs of a graph on noise, on the CPU."""
    session = ort.InferenceSession(graph, session_options(cores()), providers=[CPU])
    (source,) = session.get_inputs()
    noise = verification_noise(tuple(source.shape[1:]))
    values = session.run(list(output_names), {input_name: noise})
    return dict(zip(output_names, map(np.asarray, values), strict=True))


def _agrees(model: Model, encoder: Model, expected: Outputs) -> bool:
    """Whether the head's outputs agree with the full graph's at the encoder's reduced precision.

    Noise may be unlike any audio that the encoder was quantized for. Where the encoder's card
    states that every output the head takes agrees by `MIN_AGREEMENT` on real audio, the noise has
    only to show that the graphs work here: the head's inputs and outputs must be finite, and agree
    by `MIN_NOISE_AGREEMENT` in direction and magnitude. Otherwise the head's outputs must agree by
    `MIN_AGREEMENT`.

    Parameters
    ----------
    expected : outputs of the float32 encoder and of the full graph on noise
    """
    if encoder.precision == "float32":
        return True
    limit = MIN_NOISE_AGREEMENT if _has_agreeing_inputs(model, encoder) else MIN_AGREEMENT
    noise = verification_noise(model.card.input.shape)
    found = encoder.run(noise)
    found |= model.run(model.head_input(found))
    limits = dict.fromkeys(model.encoder_outputs, MIN_NOISE_AGREEMENT)
    limits |= dict.fromkeys(model.output_names, limit)
    # The agreement of outputs that are not finite is -1.
    return all(agreement(found[name], expected[name]) >= limits[name] for name in limits)


def _has_agreeing_inputs(model: Model, encoder: Model) -> bool:
    """Whether the encoder's card states on real audio that the head's inputs agree."""
    measured = encoder.card.graph(encoder.precision).agreement
    return measured is not None and all(
        measured.outputs[name].least >= MIN_AGREEMENT for name in model.encoder_outputs
    )


def _verify_tensors(model: Model) -> None:
    card, session = model.card, model.session
    found = {tensor.name: tuple(tensor.shape[1:]) for tensor in session.get_inputs()}
    if found != {model.input_name: model.input_shape}:
        raise BundleError(
            f"bundle {card.name}: the head's inputs differ from the card's",
            value=str(found),
            limit=str({model.input_name: model.input_shape}),
        )
    names = {tensor.name for tensor in session.get_outputs()}
    missing = [name for name in model.output_names if name not in names]
    if missing:
        raise BundleError(f"bundle {card.name}: the head has no output {', '.join(missing)}")


def _verify_outputs(model: Model, base: Model, full: Model) -> Outputs:
    """Compare encoder and head with the full graph on noise; returns the outputs of both graphs."""
    card = model.card
    if base.card.audio != card.audio:
        raise BundleError(
            f"bundle {card.name}: its audio input differs from that of {base.card.name}",
            value=str(card.audio),
            limit=str(base.card.audio),
        )
    expected = full.run(verification_noise(card.input.shape))
    encoded = expected if base is full else _reference_outputs(base)
    for tensor in card.outputs:
        if tensor.name not in model.output_names:
            _compare(
                card,
                f"{base.card.name}'s {tensor.name}",
                encoded.get(tensor.name),
                expected[tensor.name],
            )
    found = model.run(model.head_input(encoded))
    for name in model.output_names:
        _compare(card, f"the head's {name}", found[name], expected[name])
    return encoded | expected


def _compare(card: Card, output: str, found: Samples | None, expected: Samples) -> None:
    if found is None or found.shape != expected.shape:
        raise BundleError(
            f"bundle {card.name}: {output} has another shape than in its full graph",
            value=None if found is None else str(found.shape[1:]),
            limit=str(expected.shape[1:]),
        )
    if not np.isfinite(found).all():
        raise BundleError(f"bundle {card.name}: {output} is not finite on noise")
    difference, limit = float(abs(found - expected).max()), TOLERANCE * float(abs(expected).max())
    if difference > limit:
        raise BundleError(
            f"bundle {card.name}: {output} differs from its full graph's",
            value=difference,
            limit=limit,
        )
