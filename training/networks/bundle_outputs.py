"""Outputs of a bundle's graph for every track of a prepared folder, kept beside it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Protocol

import numpy as np
import onnxruntime as ort
import torch
from numpy.typing import NDArray

from models.atomic_write import write_atomically
from models.bundle import Bundle, verify_session
from models.card import AudioInput
from training.audio.shards import windows_changed_ns
from training.audio.windows import Prepared
from training.networks.inference import Forward, Track, onnx_forward, run_over_rows

Outputs = dict[str, NDArray[np.float32]]


class Decoded(Protocol):
    """A folder of prepared windows: of a task, a pool or a set.

    Attributes
    ----------
    rows : row of each track's window in `prepared.windows`, shape (n_tracks,)
    """

    @property
    def folder(self) -> Path: ...

    @property
    def prepared(self) -> Prepared: ...

    @property
    def rows(self) -> NDArray[np.int64]: ...


def bundle_outputs(
    source: Bundle,
    data: Decoded,
    track: Track = lambda label, starts: starts,
    export: Callable[[Bundle, AudioInput], bytes] | None = None,
) -> Outputs:
    """Output name → float32, shape (n_tracks, dim); a bundle is run once per folder.

    Parameters
    ----------
    track : shows progress over the windows
    export : makes the graph for windows of other patches than the bundle's; without it they are
        refused by the graph
    """
    path = data.folder / f"outputs-{source.digest[:16]}.npz"
    if not is_current(path, data):
        names = [tensor.name for tensor in source.card.outputs]
        other = data.prepared.audio != source.card.audio
        graph = export(source, data.prepared.audio) if export and other else None
        forward = bundle_forward(source, names, graph)
        label = source.card.name
        outputs = run_over_rows(forward, data.prepared, data.rows, label=label, track=track)
        save_outputs(path, data, dict(zip(names, outputs, strict=True)))
    return {name: values for name, values in np.load(path).items() if name != "rows"}


def bundle_forward(source: Bundle, names: Sequence[str], graph: bytes | None = None) -> Forward:
    """The named outputs of a bundle's float32 graph, which is verified, or of another `graph`."""
    content = graph or source.graph_bytes(source.card.graph())
    session = ort.InferenceSession(content, providers=providers())
    if graph is None:
        verify_session(source.card, session)
    return onnx_forward(session, names)


def providers() -> list[str]:
    """CUDA where torch finds a GPU: onnxruntime lists CUDA also where there is none."""
    cuda = ["CUDAExecutionProvider"] if torch.cuda.is_available() else []
    return [*cuda, "CPUExecutionProvider"]


def is_current(path: Path, data: Decoded) -> bool:
    """Whether the cached file is of the tracks and windows that the folder has now."""
    if not path.exists() or path.stat().st_mtime_ns < windows_changed_ns(data.folder):
        return False
    known = np.load(path)
    return "rows" in known and np.array_equal(known["rows"], data.rows)


def save_outputs(path: Path, data: Decoded, outputs: Outputs) -> None:
    # Several processes may compute the same outputs.
    with write_atomically(path) as part, part.open("wb") as file:
        np.savez(file, rows=data.rows, **outputs)  # type: ignore[arg-type]
