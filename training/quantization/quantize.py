"""Post-training quantization of a bundle: adds an int8 or float16 graph with its agreement."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import islice
from pathlib import Path

import numpy as np
import onnx
from numpy.typing import NDArray

from models.bundle import Bundle, add_graph, check_addable, read, verify_session
from models.card import Agreement, Data, Graph
from training.audio.windows import read_middle_windows, shuffle_files
from training.errors import BadPrecision
from training.export.bundle import read_data, sha256
from training.export.parity import without_traces
from training.quantization.agreement import measure_agreements, open_cpu, summarize
from training.quantization.float16 import to_float16
from training.quantization.int8 import to_int8
from training.quantization.settings import QuantizeSettings

# A minimum over fewer windows is meaningless.
MIN_WINDOWS = 4


def quantize(
    folder: Path, audio: Sequence[Path], data: Path, settings: QuantizeSettings
) -> tuple[Bundle, Graph]:
    """Convert the float32 graph, measure its agreement on other windows, add it to the bundle.

    `card.json` and its digest, which heads, teachers and caches refer to, stay unchanged.

    Parameters
    ----------
    audio : folders of audio files; the middle window of each is used
    data : JSON, a list of {name, use, licence}: the data statement of that audio

    Raises
    ------
    BadExport, BadPrecision, BundleError
    """
    # `additional=()`: a graph beside the card may be the broken one that this call replaces.
    used, bundle = read_data(data), read(folder, additional=())
    check_addable(bundle, settings.precision)
    source = bundle.graph_bytes(bundle.card.graph())
    windows = read_middle_windows(shuffle_files(audio, settings.seed), bundle.card.audio)
    content, opset = _convert(source, windows, settings)
    verify_session(bundle.card, open_cpu(content))
    graph = Graph(
        file=f"model.{settings.precision}.onnx",
        precision=settings.precision,
        sha256=sha256(content),
        opset=opset,
        agreement=_measure(bundle, content, islice(windows, settings.windows), used),
    )
    return add_graph(bundle, graph, content), graph


def _convert(
    source: bytes, stream: Iterator[NDArray[np.float32]], settings: QuantizeSettings
) -> tuple[bytes, int]:
    """Convert the graph; takes the calibration windows from the stream. Returns graph and opset."""
    if settings.precision == "float16":
        model = to_float16(source)
    else:
        windows = list(islice(stream, settings.calibration))
        if len(windows) < settings.calibration:
            raise BadPrecision(
                f"calibration needs {settings.calibration} windows, but the audio has "
                f"{len(windows)}; add audio or lower --calibration"
            )
        model = to_int8(source, np.stack(windows), settings.least)
    return without_traces(model), _find_opset(model)


def _find_opset(model: onnx.ModelProto) -> int:
    return next(int(opset.version) for opset in model.opset_import if not opset.domain)


def _measure(
    bundle: Bundle, content: bytes, windows: Iterator[NDArray[np.float32]], used: tuple[Data, ...]
) -> Agreement:
    names = [tensor.name for tensor in bundle.card.outputs]
    source = bundle.graph_bytes(bundle.card.graph())
    measured = measure_agreements(source, content, windows, names)
    count = len(measured[names[0]])
    if count < MIN_WINDOWS:
        raise BadPrecision(
            f"agreement needs at least {MIN_WINDOWS} windows, but {count} are left; add audio"
        )
    digest = sha256(source)
    return Agreement(reference=digest, windows=count, outputs=summarize(measured), data=used)
