"""Session: a bundle's graph in onnxruntime, and where it really runs."""

from __future__ import annotations

import ctypes
import functools
from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
import onnxruntime as ort

from models.bundle import Bundle, verify_session
from models.card import OUTPUTS, Card, Precision
from models.window import Samples
from service.precision import chosen_graph
from service.settings import Settings, cores
from service.split import Split, best_split

CUDA, CPU = "CUDAExecutionProvider", "CPUExecutionProvider"
# The exhaustive search takes 20 times as long on each new batch size; TF32 keeps 10 bits of 23.
CUDA_OPTIONS = {"cudnn_conv_algo_search": "HEURISTIC", "use_tf32": "0"}
ERRORS_ONLY = 3

Outputs = dict[str, Samples]


@dataclass(frozen=True)
class Model:
    """A loaded bundle; `provider` is what the session says it uses, not what was asked for.

    Where there is an `encoder`, the session is of the card's head alone: it takes what the encoder
    puts out, and shares its run with everything else on that encoder.

    Attributes
    ----------
    lanes : runs that go on at a time
    lone : for a run that is alone, a session on every core, where `session` is on fewer
    precision : of the graph that runs, the encoder's where there is one
    """

    bundle: Bundle
    session: ort.InferenceSession
    provider: str
    max_batch: int
    encoder: Model | None = None
    lanes: int = 1
    lone: ort.InferenceSession | None = None
    precision: Precision = "float32"

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

    def run(self, inputs: Samples, *, alone: bool = False) -> Outputs:
        """The session's outputs by name, shape (batch, …), for (batch, *input_shape)."""
        session = self.lone if alone and self.lone else self.session
        answers = session.run(self.outputs, {self.input: inputs})
        return {name: np.asarray(each) for name, each in zip(self.outputs, answers, strict=True)}

    def complete(self, encoded: Outputs, own: Outputs) -> Outputs:
        """Every output of a head's card: its own, and the encoder's as they are."""
        outputs = encoded | own
        return {tensor.name: outputs[tensor.name] for tensor in self.card.outputs}


def open_whole(bundle: Bundle, settings: Settings, split: Split) -> Model:
    """The model of a bundle's whole graph, held against its card.

    Raises
    ------
    BundleError
        Or whatever onnxruntime raises.
    """
    for providers in (_providers(), [CPU]):
        chosen = chosen_graph(bundle, settings.precision, providers[0] != CPU, options(cores()))
        graph = bundle.graph_bytes(chosen)
        session = ort.InferenceSession(graph, options(split.threads), providers=providers)
        provider = session.get_providers()[0]
        if provider == CUDA or providers == [CPU]:  # else CUDA was not to be had: not its graph
            break
    verify_session(bundle.card, session)
    if provider == CUDA:
        return Model(bundle, session, provider, settings.max_batch, precision=chosen.precision)
    model = Model(bundle, session, provider, 1, lanes=split.lanes, precision=chosen.precision)
    if split.lanes == 1:
        return model
    lone = ort.InferenceSession(graph, options(cores()), providers=[CPU])
    # The same audio gives the same numbers whatever else is asked: also by other threads.
    return replace(model, lone=lone) if _agree(model, replace(model, session=lone)) else model


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
    if cuda_devices():
        return Split(cores(), 1)
    graph = bundle.graph_bytes(bundle.card.graph())
    silence = {bundle.card.input.name: np.zeros((1, *bundle.card.input.shape), np.float32)}

    def open_run(threads: int) -> Callable[[], object]:
        session = ort.InferenceSession(graph, options(threads), providers=[CPU])
        return lambda: session.run(None, silence)

    return best_split(cores(), open_run)


def warm_up(model: Model) -> None:
    """Run every batch size once: the first of each takes longest on a GPU."""
    for size in range(1, model.max_batch + 1):
        model.run(np.zeros((size, *model.input_shape), np.float32))
    model.run(np.zeros((1, *model.input_shape), np.float32), alone=True)


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


def _providers() -> list[str | tuple[str, dict[str, str]]]:
    """CUDA only where there is a device: asked for without one, it prints an alarming error."""
    if CUDA not in ort.get_available_providers() or not cuda_devices():
        return [CPU]
    ort.preload_dlls()
    return [(CUDA, CUDA_OPTIONS), CPU]


def cuda_devices() -> int:
    """Number of CUDA devices that the driver sees; 0 without a driver."""
    try:
        driver = ctypes.CDLL("libcuda.so.1")
    except OSError:
        return 0
    count = ctypes.c_int(0)
    if driver.cuInit(0) != 0 or driver.cuDeviceGetCount(ctypes.byref(count)) != 0:
        return 0
    return count.value
