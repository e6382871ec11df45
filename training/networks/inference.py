"""Batched inference over prepared windows, by a torch network or an ONNX session."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence

import numpy as np
import onnxruntime as ort
import torch
from numpy.typing import NDArray
from torch import nn

from models.malloc import keep_freed_memory
from training.audio.windows import Prepared
from training.networks.base import Encoder
from training.networks.task_model import TaskModel, encoder_of
from training.networks.waveform import encode_patches

Array = NDArray[np.float32]
# From waveforms, float32 (batch, n_samples), to each output, (batch, dim).
Forward = Callable[[Array], Sequence[Array]]
# Wraps a list of batches to show progress over it, under a label.
Track = Callable[[str, list[int]], Iterable[int]]


def run_over_rows(
    forward: Forward,
    prepared: Prepared,
    rows: NDArray[np.int64],
    *,
    batch_size: int = 1,
    label: str = "",
    track: Track = lambda label, starts: starts,
) -> tuple[Array, ...]:
    """Each output of a network for whole windows, in batches: arrays of shape (len(rows), dim).

    Freed memory is kept in this process: else page faults take as long as the sample-level CNN
    itself (0.98 s of CPU a clip of eight segments, against 0.53).

    Parameters
    ----------
    rows : of `prepared.windows`
    batch_size : the default is one, since on a CPU a larger batch is no faster
    label, track : show progress over the batches
    """
    keep_freed_memory(max_block_bytes=None, max_free_bytes=None)
    outputs = [
        forward(prepared.waveforms(rows[start : start + batch_size]))
        for start in track(label, list(range(0, len(rows), batch_size)))
    ]
    return tuple(np.concatenate(batches) for batches in zip(*outputs, strict=True))


def torch_forward(network: Encoder | TaskModel, front_end: nn.Module) -> Forward:
    """Front end and network on the CPU, without gradients; the network in evaluation mode.

    The outputs are those of `Encoded`, after the task's output for a task model.
    """

    def forward(waveforms: Array) -> list[Array]:
        with torch.inference_mode():
            outputs = encode_patches(encoder_of(network), front_end, torch.from_numpy(waveforms))
            if isinstance(network, TaskModel):
                outputs = network.output(outputs[0]), *outputs
            return [output.numpy() for output in outputs]

    return forward


def onnx_forward(session: ort.InferenceSession, names: Sequence[str]) -> Forward:
    """The named outputs of a bundle's graph, in that order."""

    def forward(waveforms: Array) -> list[Array]:
        return [np.asarray(output) for output in session.run(list(names), {"waveform": waveforms})]

    return forward
