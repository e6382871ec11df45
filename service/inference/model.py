"""A loaded model: a bundle with its ONNX Runtime sessions, ready to run batches."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
import onnxruntime as ort

from models.audio.window_choice import Samples
from models.bundle import Bundle
from models.card import REQUIRED_OUTPUTS, Card, Precision
from service.inference.io_binding import run_bound

# By output name, shape (batch, …) or without the batch axis for one window.
Outputs = dict[str, Samples]


@dataclass(frozen=True)
class Model:
    """Loaded model; `provider` is what the session reports, not what was requested.

    With an `encoder`, the sessions run only the card's task head: the head takes one or several
    outputs of the encoder, and shares the encoder's run with every other head on that encoder.

    Attributes
    ----------
    sessions : one per worker, that is per concurrent run: on GPUs one per device, on a CPU the same
        session for all workers
    max_batch : maximum number of windows per run
    solo_session : uses every core, for a run without concurrent runs; None if `sessions` already
        use every core
    uses_io_binding : whether inputs and outputs are bound before a run
    precision : of the graph that runs; with an encoder, the encoder's
    """

    bundle: Bundle
    sessions: tuple[ort.InferenceSession, ...]
    provider: str
    max_batch: int
    encoder: Model | None = None
    solo_session: ort.InferenceSession | None = None
    uses_io_binding: bool = False
    precision: Precision = "float32"

    @property
    def session(self) -> ort.InferenceSession:
        """The first session, for callers that need any session."""
        return self.sessions[0]

    @cached_property
    def n_workers(self) -> int:
        """Number of concurrent runs."""
        return len(self.sessions)

    @cached_property
    def devices(self) -> int:
        """Number of GPUs that run the model; 1 on a CPU."""
        return len({id(session) for session in self.sessions})

    @cached_property
    def identity(self) -> str:
        """Digest of the graphs that run: two precisions of a bundle give different numbers."""
        if self.precision == "float32":
            return self.bundle.digest
        graph = (self.encoder or self).card.graph(self.precision)
        return f"{self.bundle.digest}.{graph.sha256}"

    @cached_property
    def card(self) -> Card:
        return self.bundle.card

    @cached_property
    def input_name(self) -> str:
        """Input name of the sessions: the waveform, or the head's input."""
        if self.encoder is None or self.card.head is None:
            return self.card.input.name
        return self.card.head.input_name

    @cached_property
    def input_shape(self) -> tuple[int, ...]:
        """Shape of the input without the batch axis."""
        if self.encoder is None:
            return self.card.input.shape
        sizes = [self.encoder.card.output_shape(name)[0] for name in self.encoder_outputs]
        return (sum(sizes),)

    @cached_property
    def encoder_outputs(self) -> tuple[str, ...]:
        """Outputs of the encoder that the head takes; none without an encoder."""
        if self.encoder is None or self.card.head is None:
            return ()
        return self.card.head.encoder_outputs

    @cached_property
    def level_names(self) -> tuple[str, ...]:
        """Outputs of an encoder beyond `embedding` and `features`, in the order of its card."""
        if self.card.kind != "encoder":
            return ()
        names = [tensor.name for tensor in self.card.outputs]
        return tuple(name for name in names if name not in REQUIRED_OUTPUTS["encoder"])

    @cached_property
    def output_names(self) -> list[str]:
        """Outputs of the sessions: every output of the card, or those that a head adds."""
        if self.encoder is None:
            return [tensor.name for tensor in self.card.outputs]
        return sorted(REQUIRED_OUTPUTS[self.card.kind] - REQUIRED_OUTPUTS["encoder"])

    def run(self, inputs: Samples, *, worker: int = 0, solo: bool = False) -> Outputs:
        """Run one batch on a worker's session; (batch, *input_shape) -> (batch, …) by output name.

        Parameters
        ----------
        solo : no other run is in progress, so use every core
        """
        session = self.solo_session if solo and self.solo_session else self.sessions[worker]
        run = run_bound if self.uses_io_binding else run_plain
        values = run(session, self.output_names, self.input_name, inputs)
        return dict(zip(self.output_names, values, strict=True))

    def head_input(self, encoder_outputs: Outputs) -> Samples:
        """The head's input: outputs of its encoder, concatenated if several; (…, dim)."""
        vectors = [encoder_outputs[name] for name in self.encoder_outputs]
        return vectors[0] if len(vectors) == 1 else np.concatenate(vectors, axis=-1)

    def merge_outputs(self, encoder_outputs: Outputs, head_outputs: Outputs) -> Outputs:
        """Every output of a head's card: those of the head, and the encoder's unchanged."""
        outputs = encoder_outputs | head_outputs
        return {tensor.name: outputs[tensor.name] for tensor in self.card.outputs}


def run_plain(
    session: ort.InferenceSession, output_names: list[str], input_name: str, inputs: Samples
) -> list[Samples]:
    """Run without I/O binding; the outputs of those names. See `io_binding.run_bound`."""
    return [np.asarray(values) for values in session.run(output_names, {input_name: inputs})]
