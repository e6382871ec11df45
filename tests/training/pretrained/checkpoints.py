"""Writer of TensorFlow checkpoints, in the form that the reader of published weights reads."""

from __future__ import annotations

import struct
from collections.abc import Mapping
from pathlib import Path
from zipfile import ZipFile

import numpy as np
import torch
from numpy.typing import NDArray

from training.networks.musicnn import MusiCNN
from training.pretrained.musicnn import CHECKPOINT, DATA, INDEX, LABELS, LICENCE
from training.pretrained.tensorflow_checkpoint import MAGIC

Variables = Mapping[str, NDArray[np.float32]]


def varint(number: int) -> bytes:
    content = b""
    while number >= 0x80:
        content += bytes([number & 0x7F | 0x80])
        number >>= 7
    return content + bytes([number])


def field(number: int, value: int | bytes) -> bytes:
    if isinstance(value, int):
        return varint(number << 3) + varint(value)
    return varint(number << 3 | 2) + varint(len(value)) + value


def entry(array: NDArray[np.float32], offset: int, dtype: int = 1) -> bytes:
    shape = b"".join(field(2, field(1, size)) for size in array.shape)
    checksum = varint(6 << 3 | 5) + b"\1\2\3\4"
    return field(1, dtype) + field(2, shape) + field(4, offset) + field(5, array.nbytes) + checksum


def block(rows: Mapping[bytes, bytes]) -> bytes:
    """Rows whose keys are shortened by what they share with the key before."""
    content, before = b"", b""
    for key, value in rows.items():
        shared = 0
        while shared < min(len(key), len(before)) and key[shared] == before[shared]:
            shared += 1
        own = key[shared:]
        content += varint(shared) + varint(len(own)) + varint(len(value)) + own + value
        before = key
    return content + struct.pack("<II", 0, 1)


def table(rows: Mapping[bytes, bytes], compression: bytes = b"\0") -> bytes:
    """A LevelDB table of one block."""
    data, end = block(rows), compression + b"\0" * 4  # and a checksum
    position = len(data) + len(end)
    index = block({max(rows): varint(0) + varint(len(data))})
    handles = varint(position) + varint(8) + varint(position) + varint(len(index))
    return data + end + index + end + handles.ljust(40, b"\0") + struct.pack("<Q", MAGIC)


def checkpoint(variables: Variables) -> tuple[bytes, bytes]:
    """Index and data file."""
    rows, data = {b"": field(1, 1)}, b""
    for name in sorted(variables):
        rows[name.encode()] = entry(variables[name], len(data))
        data += variables[name].astype("<f4").tobytes()
    return table(rows), data


def published_variables(network: MusiCNN) -> dict[str, NDArray[np.float32]]:
    """The weights of a network under TensorFlow's names and in its order of axes."""
    blocks = [*network.front, *network.residual]
    norms = [network.normalise, *(b.norm for b in blocks), network.dense[0], network.dense[4]]
    variables: dict[str, torch.Tensor] = {}
    for index, norm in enumerate(norms):
        prefix = f"batch_normalization_{index}" if index else "batch_normalization"
        variables |= {
            f"{prefix}/gamma": norm.weight,
            f"{prefix}/beta": norm.bias,
            f"{prefix}/moving_mean": norm.running_mean,
            f"{prefix}/moving_variance": norm.running_var,
        }
    for index, part in enumerate(blocks):
        prefix = f"conv2d_{index}" if index else "conv2d"
        kernel = part.convolve.weight
        # (out, in, T, M) -> (T, M, in, out); (out, C, T) -> (T, C, 1, out)
        order = (
            kernel.permute(2, 3, 1, 0) if kernel.ndim == 4 else kernel.permute(2, 1, 0)[:, :, None]
        )
        variables |= {f"{prefix}/kernel": order, f"{prefix}/bias": part.convolve.bias}
    assert network.tag_layer is not None
    layers = (("dense", network.dense[2]), ("dense_1", network.tag_layer))
    for name, layer in layers:
        assert isinstance(layer, torch.nn.Linear)
        variables |= {f"{name}/kernel": layer.weight.T, f"{name}/bias": layer.bias}
    return {name: value.detach().numpy().copy() for name, value in variables.items()}


def write_wheel(path: Path, variables: Variables, weights: str, tags: list[str]) -> bytes:
    """A wheel with one checkpoint; returns the data file's content."""
    folder = CHECKPOINT.format(weights.upper())
    index, data = checkpoint(variables)
    with ZipFile(path, "w") as archive:
        archive.writestr(folder + INDEX, index)
        archive.writestr(folder + DATA, data)
        archive.writestr(LICENCE, "Copyright (c) The Authors.\n\nPermission is granted.\n")
        archive.writestr(LABELS, f"SR = 16000\n{weights.upper()}_LABELS = {tags!r}\n")
    return data
