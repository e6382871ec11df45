"""A loaded model: a bundle with its ONNX Runtime sessions, ready to run batches."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
import onnxruntime as ort

from models.audio.window_choice import Samples
from models.bundle import Bundle
from models.card import OUTPUTS, Card, Precision
from service.inference.io_binding import run_bound

# By output name, shape (batch, …) or without the batch axis for one window.
Outputs = dict[str, Samples]


@dataclass(frozen=True)
class Model:
    """A loaded bundle; `provider` is what the session reports, not what was asked for.

    With an `encoder`, the sessions run the card's task head alone: the head takes an output of the
    encoder, and shares the encoder's run with every other head on that encoder.

    Attributes
    ----------
    sessions : one for each worker, that is for each concurrent run: on GPUs each device's own, on
        a CPU the same session for all workers
    max_batch : largest number of windows in one run
    solo_session : on every core, for a run without concurrent ones; None where `sessions` are on
        every core themselves
    uses_io_binding : whether inputs and outputs are bound before a run
    precision : of the graph that runs; the encoder's where there is one
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
        """The first session, where any will do."""
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
        """What the sessions take: the waveform, or the encoder's output of this name."""
        if self.encoder is None or self.card.head is None:
            return self.card.input.name
        return self.card.head.input

    @cached_property
    def input_shape(self) -> tuple[int, ...]:
        """Without the batch axis."""
        if self.encoder is None:
            return self.card.input.shape
        return self.card.output_shape(self.input_name)

    @cached_property
    def output_names(self) -> list[str]:
        """What the sessions return: every output of the card, or what a head adds to them."""
        if self.encoder is None:
            return [tensor.name for tensor in self.card.outputs]
        return sorted(OUTPUTS[self.card.kind] - OUTPUTS["encoder"])

    def run(self, inputs: Samples, *, worker: int = 0, solo: bool = False) -> Outputs:
        """Run one batch on a worker's session; (batch, *input_shape) -> (batch, …) by output name.

        Parameters
        ----------
        solo : no other run is under way: use every core
        """
        session = self.solo_session if solo and self.solo_session else self.sessions[worker]
        run = run_bound if self.uses_io_binding else run_plain
        values = run(session, self.output_names, self.input_name, inputs)
        return dict(zip(self.output_names, values, strict=True))

    def merge_outputs(self, encoder_outputs: Outputs, head_outputs: Outputs) -> Outputs:
        """Every output of a head's card: the head's own, and the encoder's unchanged."""
        outputs = encoder_outputs | head_outputs
        return {tensor.name: outputs[tensor.name] for tensor in self.card.outputs}


def run_plain(
    session: ort.InferenceSession, output_names: list[str], input_name: str, inputs: Samples
) -> list[Samples]:
    """The outputs of those names, without I/O binding; see `io_binding.run_bound`."""
    return [np.asarray(values) for values in session.run(output_names, {input_name: inputs})]
