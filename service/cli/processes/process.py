"""Embedding process: decodes as a decoder process does, and runs the model on what it decoded.

`python -m service.cli.processes.process MEMORY_BYTES TIMEOUT_S REQUIRE_SANDBOX BUNDLE PRECISION`.
The samples never leave the process: what it writes for each window is the embedding and the
features.
"""

from __future__ import annotations

import resource
import sys
from pathlib import Path

import numpy as np

from models.audio.window_choice import Samples
from models.bundle import read
from models.malloc import keep_freed_memory
from service.decoding import sandbox
from service.decoding.process import Compute, read_arguments, serve
from service.errors import InferenceFailed
from service.inference.model import Model
from service.inference.session import open_model
from service.inference.thread_split import ThreadSplit
from service.settings import Settings

# In the order in which a row has them.
OUTPUTS = ("embedding", "features")


def main() -> None:
    memory_bytes, timeout_s, required = read_arguments()
    keep_freed_memory()
    model = open_on_one_core(Path(sys.argv[4]), sys.argv[5])
    sandbox.limit_process(memory_bytes + address_space_bytes())
    serve(embed_with(model), timeout_s, required=required)


def open_on_one_core(folder: Path, precision: str) -> Model:
    settings = Settings.model_validate({"precision": precision})
    return open_model(read(folder), settings, ThreadSplit(1, 1))


def address_space_bytes() -> int:
    """What the process has before it decodes: the model is no part of a decoder's limit."""
    pages = int(Path("/proc/self/statm").read_text().split()[0])
    return pages * resource.getpagesize()


def embed_with(model: Model) -> Compute:
    """(n_windows, input_samples) -> (n_windows, embedding + features)."""
    width = sum(model.card.output_shape(name)[0] for name in OUTPUTS)

    def embed(samples: Samples) -> Samples:
        rows = np.empty((len(samples), width), np.float32)
        for row, window in zip(rows, samples, strict=True):
            try:
                outputs = model.run(window[None])
            except Exception as error:  # onnxruntime's errors have no other common base
                raise InferenceFailed(f"the model failed ({type(error).__name__})") from error
            row[:] = np.concatenate([outputs[name][0] for name in OUTPUTS])
        if not np.isfinite(rows).all():
            raise InferenceFailed("the model's output is not finite")
        return rows

    return embed


if __name__ == "__main__":
    main()
