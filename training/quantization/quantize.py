"""A bundle's float32 graph -> one of another precision beside it, its agreement measured."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Literal

import numpy as np
import onnx
from numpy.typing import NDArray

from models.audio.window_choice import WindowChoice
from models.audio.windows import read_windows
from models.bundle import Bundle, add_graph, check_addable, read, verify_session
from models.card import Agreement, AudioInput, Data, Graph
from models.errors import AudioError
from training.audio.manifest import NOT_AUDIO
from training.errors import BadPrecision
from training.export.bundle import read_data, sha256
from training.export.onnx_graph import without_traces
from training.quantization.float16 import to_float16
from training.quantization.int8 import to_int8
from training.quantization.similarity import agreements, open_cpu, summary

# Of fewer than these the least is no measure.
LEAST_WINDOWS = 4


@dataclass(frozen=True)
class QuantizeSettings:
    """How a graph is made and measured.

    Attributes
    ----------
    calibration : windows that an int8 graph is calibrated on; float16 needs none
    windows : most of the others, that its agreement is measured on
    least : agreement with the float32 outputs that a convolution in int8 must leave
    """

    precision: Literal["float16", "int8"]
    calibration: int = 32
    windows: int = 400
    least: float = 0.999
    seed: int = 0


def quantize(
    folder: Path, audio: Sequence[Path], data: Path, settings: QuantizeSettings
) -> tuple[Bundle, Graph]:
    """Make a graph, measure it on windows that did not make it, and write it into the bundle.

    `card.json` stays as it is, and so does the digest that heads, teachers and caches go by.

    Parameters
    ----------
    audio : folders of files, each of which is heard by its middle window
    data : JSON, a list of {name, use, licence}: what that audio is

    Raises
    ------
    BadExport, BadPrecision, BundleError
    """
    # What lies beside its card may be what this is to replace.
    used, bundle = read_data(data), read(folder, additional=())
    check_addable(bundle, settings.precision)
    source = bundle.graph_bytes(bundle.card.graph())
    heard = hear(shuffled(audio, settings.seed), bundle.card.audio)
    content, opset = _make(source, heard, settings)
    verify_session(bundle.card, open_cpu(content))
    graph = Graph(
        file=f"model.{settings.precision}.onnx",
        precision=settings.precision,
        sha256=sha256(content),
        opset=opset,
        agreement=_measure(bundle, content, islice(heard, settings.windows), used),
    )
    return add_graph(bundle, graph, content), graph


def shuffled(folders: Sequence[Path], seed: int) -> list[Path]:
    """Every file below the folders that may be audio, in the order that the seed gives."""
    found = {path for folder in folders for path in folder.rglob("*") if path.is_file()}
    files = sorted(path for path in found if path.suffix.lower() not in NOT_AUDIO)
    order = np.random.default_rng(seed).permutation(len(files))
    return [files[index] for index in order]


def hear(files: Sequence[Path], audio: AudioInput) -> Iterator[NDArray[np.float32]]:
    """The middle window of each file that can be read, shape (window_samples,)."""
    for path in files:
        try:
            yield read_windows(path, audio, WindowChoice()).samples[0]
        except AudioError:
            continue


def _make(
    source: bytes, heard: Iterator[NDArray[np.float32]], settings: QuantizeSettings
) -> tuple[bytes, int]:
    """The graph and its opset; of `heard` it takes what it is calibrated on."""
    if settings.precision == "float16":
        model = to_float16(source)
    else:
        windows = list(islice(heard, settings.calibration))
        if len(windows) < settings.calibration:
            raise BadPrecision(
                f"the audio has {len(windows)} windows, {settings.calibration} are to calibrate on"
            )
        model = to_int8(source, np.stack(windows), settings.least)
    return without_traces(model), _opset(model)


def _opset(model: onnx.ModelProto) -> int:
    return next(int(each.version) for each in model.opset_import if not each.domain)


def _measure(
    bundle: Bundle, content: bytes, windows: Iterator[NDArray[np.float32]], used: tuple[Data, ...]
) -> Agreement:
    names = [tensor.name for tensor in bundle.card.outputs]
    source = bundle.graph_bytes(bundle.card.graph())
    measured = agreements(source, content, windows, names)
    count = len(measured[names[0]])
    if count < LEAST_WINDOWS:
        raise BadPrecision(
            f"agreement is measured on {LEAST_WINDOWS} windows at least, not {count}"
        )
    return Agreement(reference=sha256(source), windows=count, outputs=summary(measured), data=used)
