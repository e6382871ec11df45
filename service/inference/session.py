"""Session: a bundle's graph in onnxruntime, and where it really runs."""

from __future__ import annotations

import functools
import logging
from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
import onnxruntime as ort

from models.audio.window_choice import Samples
from models.bundle import Bundle, verify_session
from models.card import OUTPUTS, Card, Precision
from service.inference.devices import CPU, CUDA, Providers, gpus, on_each
from service.inference.io_binding import pays, run_bound, run_plain
from service.inference.precision import chosen_graph
from service.inference.thread_split import Split, best_split
from service.settings import Settings, cores

ERRORS_ONLY = 3

log = logging.getLogger("tasteprint")

Outputs = dict[str, Samples]


@dataclass(frozen=True)
class Model:
    """A loaded bundle; `provider` is what the session says it uses, not what was asked for.

    Where there is an `encoder`, the session is of the card's head alone: it takes what the encoder
    puts out, and shares its run with everything else on that encoder.

    Attributes
    ----------
    sessions : one for each of the runs that go on at a time, its lane: on GPUs each device's own,
        on a CPU the same one for all
    lone : for a run that is alone, a session on every core, where the others are on fewer
    bound : whether inputs and outputs are bound before a run
    precision : of the graph that runs, the encoder's where there is one
    """

    bundle: Bundle
    sessions: tuple[ort.InferenceSession, ...]
    provider: str
    max_batch: int
    encoder: Model | None = None
    lone: ort.InferenceSession | None = None
    bound: bool = False

    precision: Precision = "float32"

    @property
    def session(self) -> ort.InferenceSession:
        """The first, where any will do."""
        return self.sessions[0]

    @property
    def lanes(self) -> int:
        """Runs that go on at a time."""
        return len(self.sessions)

    @property
    def devices(self) -> int:
        """GPUs that run it; 1 on a CPU."""
        return len({id(session) for session in self.sessions})

    @property
    def identity(self) -> str:
        """Of what runs: graphs of two precisions do not give the same numbers."""
        if self.precision == "float32":
            return self.bundle.digest
        graph = (self.encoder or self).card.graph(self.precision)
        return f"{self.bundle.digest}.{graph.sha256}"

    @property
    def card(self) -> Card:
        return self.bundle.card

    @property
    def input(self) -> str:
        """What the session takes: the waveform, or the encoder's output of this name."""
        if self.encoder is None or self.card.head is None:
            return self.card.input.name
        return self.card.head.input

    @property
    def input_shape(self) -> tuple[int, ...]:
        """Without the batch axis."""
        return self.card.input.shape if self.encoder is None else self.card.output_shape(self.input)

    @property
    def outputs(self) -> list[str]:
        """What the session puts out: every output of the card, or what a head adds to them."""
        if self.encoder is None:
            return [tensor.name for tensor in self.card.outputs]
        return sorted(OUTPUTS[self.card.kind] - OUTPUTS["encoder"])

    def run(self, inputs: Samples, *, lane: int = 0, alone: bool = False) -> Outputs:
        """A lane's outputs by name, shape (batch, …), for (batch, *input_shape)."""
        session = self.lone if alone and self.lone else self.sessions[lane]
        run = run_bound if self.bound else run_plain
        return dict(zip(self.outputs, run(session, self.outputs, self.input, inputs), strict=True))

    def complete(self, encoded: Outputs, own: Outputs) -> Outputs:
        """Every output of a head's card: its own, and the encoder's as they are."""
        outputs = encoded | own
        return {tensor.name: outputs[tensor.name] for tensor in self.card.outputs}


def open_whole(bundle: Bundle, settings: Settings, split: Split) -> Model:
    """The model of a bundle's whole graph, held against its card.

    A graph that was not asked for by name and does not run here leaves its place to float32.

    Raises
    ------
    BundleError
        Or whatever onnxruntime raises.
    """
    try:
        return _open(bundle, settings, split)
    except Exception as error:
        if settings.precision != "auto" or len(bundle.card.graphs) == 1:
            raise
        log.warning("bundle %s runs in float32: %s", bundle.card.name, error)
        exact = settings.model_copy(update={"precision": "float32"})
        return _open(bundle, exact, split)


def _open(bundle: Bundle, settings: Settings, split: Split) -> Model:
    if devices := gpus():
        model = _on_gpus(bundle, settings, devices)
        if model is not None:
            return model
    return _on_cpu(bundle, settings, split)


def _on_gpus(bundle: Bundle, settings: Settings, devices: list[Providers]) -> Model | None:
    """With a session on each of them that has one; None where CUDA cannot be had on any."""
    chosen = chosen_graph(bundle, settings.precision, True, options(1))
    graph = bundle.graph_bytes(chosen)
    share_memory()  # once, before several threads want it

    def open_on(device: int) -> ort.InferenceSession:
        session = ort.InferenceSession(graph, options(cores()), providers=devices[device])
        verify_session(bundle.card, session)
        return session

    sessions = on_each(len(devices), open_on, bundle.card.name)
    there = tuple(each for each in sessions if each.get_providers()[0] == CUDA)
    if len(there) < len(sessions):
        log.error("model %s is on %d GPUs of %d", bundle.card.name, len(there), len(devices))
    if not there:
        return None
    return Model(bundle, there, CUDA, settings.max_batch, precision=chosen.precision)


def _on_cpu(bundle: Bundle, settings: Settings, split: Split) -> Model:
    # Measured on one thread, as most lanes run: the times of several are too much each other's.
    chosen = chosen_graph(bundle, settings.precision, False, options(1))
    graph = bundle.graph_bytes(chosen)
    session = ort.InferenceSession(graph, options(split.threads), providers=[CPU])
    verify_session(bundle.card, session)
    model = Model(bundle, (session,) * split.lanes, CPU, max_batch=1, precision=chosen.precision)
    if split.lanes == 1:
        return model
    lone = ort.InferenceSession(graph, options(cores()), providers=[CPU])
    # The same audio gives the same numbers whatever else is asked: also by other threads.
    return replace(model, lone=lone) if _agree(model, replace(model, sessions=(lone,))) else model


def _agree(one: Model, other: Model) -> bool:
    noise = np.random.default_rng(0).uniform(-0.5, 0.5, (1, *one.input_shape)).astype(np.float32)
    answers, others = one.run(noise), other.run(noise)
    return all(np.array_equal(answers[name], others[name]) for name in answers)


def split_cores(bundle: Bundle, settings: Settings) -> Split:
    """How runs of a CPU share the cores: as set, else as measured on this bundle's graph.

    Raises
    ------
    BundleError
        Or whatever onnxruntime raises.
    """
    if threads := min(settings.infer_threads, cores()):
        return Split(threads, cores() // threads)
    if gpus():
        return Split(cores(), 1)
    graph = bundle.graph_bytes(bundle.card.graph())
    silence = {bundle.card.input.name: np.zeros((1, *bundle.card.input.shape), np.float32)}

    def open_run(threads: int) -> Callable[[], object]:
        session = ort.InferenceSession(graph, options(threads), providers=[CPU])
        return lambda: session.run(None, silence)

    return best_split(cores(), open_run)


def warm_up(model: Model) -> Model:
    """Run every batch size on every GPU, where the first of each takes longest.

    What comes back is without the devices that failed, and bound where that is quicker.

    Raises
    ------
    Exception
        Whatever onnxruntime raises, where all fail.
    """

    def batch(size: int) -> Samples:
        return np.zeros((size, *model.input_shape), np.float32)

    def warm(lane: int) -> ort.InferenceSession:
        for size in range(1, model.max_batch + 1):
            model.run(batch(size), lane=lane)
        return model.sessions[lane]

    if model.provider != CUDA or model.encoder is not None:
        return model  # it ran as it was held against its card
    model = replace(model, sessions=tuple(on_each(model.lanes, warm, model.card.name)))
    largest, bound = batch(model.max_batch), replace(model, bound=True)
    return bound if pays(lambda: model.run(largest), lambda: bound.run(largest)) else model


@functools.cache
def share_memory() -> None:
    """One arena for every session of this process: a third of the memory of one each."""
    cpu = ort.OrtMemoryInfo(
        "Cpu", ort.OrtAllocatorType.ORT_ARENA_ALLOCATOR, 0, ort.OrtMemType.DEFAULT
    )
    ort.create_and_register_allocator(cpu, ort.OrtArenaCfg({}))


def options(threads: int) -> ort.SessionOptions:
    """Silent, and idle where there is nothing to do."""
    share_memory()
    chosen = ort.SessionOptions()
    chosen.add_session_config_entry("session.use_env_allocators", "1")
    chosen.log_severity_level = ERRORS_ONLY
    chosen.intra_op_num_threads = threads
    # A spinning thread takes the core that a decoder needs: a third more CPU time a clip.
    chosen.add_session_config_entry("session.intra_op.allow_spinning", "0")
    # A graph may name files for its weights, which onnxruntime looks for in the working directory
    # where the graph is given as bytes. Their digest is nobody's: there is no folder for them.
    chosen.add_session_config_entry(
        "session.model_external_initializers_file_folder_path", "/dev/null/none"
    )
    return chosen
