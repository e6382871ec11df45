"""ONNX Runtime sessions: opened on GPUs or CPU, verified, warmed up; thread split choice."""

from __future__ import annotations

import functools
import logging
from collections.abc import Callable
from dataclasses import replace

import numpy as np
import onnxruntime as ort

from models.audio.window_choice import Samples
from models.bundle import Bundle, verification_noise, verify_session
from service.cores import cores
from service.inference import io_binding
from service.inference.benchmark import is_faster
from service.inference.devices import CPU, CUDA, Providers, for_each_device, list_gpus
from service.inference.model import Model
from service.inference.precision import choose_graph
from service.inference.thread_split import ThreadSplit, find_best_split
from service.settings import Settings

ERRORS_ONLY = 3

log = logging.getLogger("tasteprint")


def open_model(bundle: Bundle, settings: Settings, split: ThreadSplit) -> Model:
    """Open the bundle's full graph and verify it against the card.

    If a precision was chosen automatically and its graph does not run here, the float32 graph is
    used.

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
        float32 = settings.model_copy(update={"precision": "float32"})
        return _open(bundle, float32, split)


def _open(bundle: Bundle, settings: Settings, split: ThreadSplit) -> Model:
    if devices := list_gpus():
        model = _open_on_gpus(bundle, settings, devices)
        if model is not None:
            return model
    return _open_on_cpu(bundle, settings, split)


def _open_on_gpus(bundle: Bundle, settings: Settings, devices: list[Providers]) -> Model | None:
    """The model with a session on each GPU; None if onnxruntime uses CUDA on none of them."""
    chosen = choose_graph(bundle, settings.precision, True, session_options(1))
    graph = bundle.graph_bytes(chosen)
    share_arena()  # created once, before several threads need it

    def open_on(device: int) -> ort.InferenceSession:
        options = session_options(cores())
        session = ort.InferenceSession(graph, options, providers=devices[device])
        verify_session(bundle.card, session)
        return session

    opened = for_each_device(len(devices), open_on, bundle.card.name)
    sessions = tuple(session for session in opened if session.get_providers()[0] == CUDA)
    if len(sessions) < len(opened):
        log.error("model %s is on %d GPUs of %d", bundle.card.name, len(sessions), len(devices))
    if not sessions:
        return None
    return Model(bundle, sessions, CUDA, settings.max_batch, precision=chosen.precision)


def _open_on_cpu(bundle: Bundle, settings: Settings, split: ThreadSplit) -> Model:
    # Measured on one thread, as most workers run, since measurements of concurrent runs interfere.
    chosen = choose_graph(bundle, settings.precision, False, session_options(1))
    graph = bundle.graph_bytes(chosen)
    options = session_options(split.intra_op_threads)
    session = ort.InferenceSession(graph, options, providers=[CPU])
    verify_session(bundle.card, session)
    sessions = (session,) * split.n_workers
    model = Model(bundle, sessions, CPU, max_batch=1, precision=chosen.precision)
    if split.n_workers == 1:
        return model
    solo_session = ort.InferenceSession(graph, session_options(cores()), providers=[CPU])
    # The same audio must give the same numbers under any load, so also with more threads.
    solo = replace(model, sessions=(solo_session,))
    return replace(model, solo_session=solo_session) if _is_identical(model, solo) else model


def _is_identical(model: Model, other: Model) -> bool:
    """Whether both models give identical outputs on noise."""
    noise = verification_noise(model.input_shape)
    outputs, other_outputs = model.run(noise), other.run(noise)
    return all(np.array_equal(outputs[name], other_outputs[name]) for name in outputs)


def choose_thread_split(bundle: Bundle, settings: Settings) -> ThreadSplit:
    """Choose how concurrent runs on a CPU share the cores: as set, else as measured.

    Raises
    ------
    BundleError
        Or whatever onnxruntime raises.
    """
    if threads := min(settings.infer_threads, cores()):
        return ThreadSplit(threads, cores() // threads)
    if list_gpus():
        return ThreadSplit(cores(), 1)
    graph = bundle.graph_bytes(bundle.card.graph())
    silence = {bundle.card.input.name: np.zeros((1, *bundle.card.input.shape), np.float32)}

    def open_run(intra_op_threads: int) -> Callable[[], object]:
        options = session_options(intra_op_threads)
        session = ort.InferenceSession(graph, options, providers=[CPU])
        return lambda: session.run(None, silence)

    return find_best_split(cores(), open_run)


def warm_up(model: Model) -> Model:
    """Run every batch size on every GPU, since the first run of each takes longest.

    The returned model is without the devices that failed, and uses I/O binding where that is
    faster.

    Raises
    ------
    Exception
        Whatever onnxruntime raises, where all devices fail.
    """

    def silence(batch_size: int) -> Samples:
        return np.zeros((batch_size, *model.input_shape), np.float32)

    def warm_up_device(worker: int) -> ort.InferenceSession:
        for batch_size in range(1, model.max_batch + 1):
            model.run(silence(batch_size), worker=worker)
        return model.sessions[worker]

    if model.provider != CUDA or model.encoder is not None:
        return model  # it ran when it was verified
    sessions = for_each_device(model.n_workers, warm_up_device, model.card.name)
    plain = replace(model, sessions=tuple(sessions))
    bound, largest = replace(plain, uses_io_binding=True), silence(model.max_batch)
    faster = is_faster(
        lambda: bound.run(largest), lambda: plain.run(largest), min_gain=io_binding.MIN_BINDING_GAIN
    )
    return bound if faster else plain


@functools.cache
def share_arena() -> None:
    """Share one memory arena among all sessions: a third of the memory of separate arenas."""
    cpu = ort.OrtMemoryInfo(
        "Cpu", ort.OrtAllocatorType.ORT_ARENA_ALLOCATOR, 0, ort.OrtMemType.DEFAULT
    )
    ort.create_and_register_allocator(cpu, ort.OrtArenaCfg({}))


def session_options(intra_op_threads: int) -> ort.SessionOptions:
    """Options of every session: errors only in the log, no spinning threads, one shared arena."""
    share_arena()
    options = ort.SessionOptions()
    options.add_session_config_entry("session.use_env_allocators", "1")
    options.log_severity_level = ERRORS_ONLY
    options.intra_op_num_threads = intra_op_threads
    # A spinning thread takes the core that a decoder needs: a third more CPU time per clip.
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    # A graph may name external files for its weights, which onnxruntime looks for in the working
    # directory where the graph is given as bytes. External weights are not covered by the bundle's
    # digest, so loading them is disabled: the folder does not exist.
    options.add_session_config_entry(
        "session.model_external_initializers_file_folder_path", "/dev/null/none"
    )
    return options
