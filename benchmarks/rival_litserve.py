"""The same decoding and graph behind LitServe: `python benchmarks/rival_litserve.py PORT BATCH`.

A worker a core, each with a session of one thread, ZeroMQ between the processes (`fast_queue`), as
its guide has it for speed. BATCH 1 turns its batching off.
"""

import os
import sys
import tempfile
from pathlib import Path
from typing import Any

import litserve
import numpy as np
from starlette.formparsers import MultiPartParser
from starlette.requests import Request

from benchmarks.limit import Embedder
from models.audio.window_choice import WindowChoice
from models.audio.windows import read_windows

BATCH_WAIT_S = 0.01
# The file of a form is pickled for a worker, which is impossible for a file on disk.
MultiPartParser.spool_max_size = 128 << 20


class Embed(litserve.LitAPI):  # type: ignore[misc]
    """LitServe API: decodes and batches in its workers."""

    def setup(self, device: str) -> None:
        self.embedder = Embedder()

    # LitServe reads the annotation itself, and passes an object of that type.
    def decode_request(self, request: Request) -> np.ndarray:
        with tempfile.NamedTemporaryFile(dir="/dev/shm") as file:
            file.write(request["file"].file.read())
            file.flush()
            windows = read_windows(Path(file.name), self.embedder.audio, WindowChoice())
            return np.asarray(windows.samples[0])

    def batch(self, inputs: list[np.ndarray]) -> np.ndarray:
        return np.stack(inputs)

    def predict(self, x: np.ndarray) -> list[np.ndarray]:
        waveforms = x[None] if x.ndim == 1 else x
        answers: list[np.ndarray] = self.embedder.session.run(
            ["embedding", "features"], {"waveform": waveforms}
        )
        return [output[0] for output in answers] if x.ndim == 1 else answers

    def unbatch(self, output: list[np.ndarray]) -> list[Any]:
        return list(zip(*output, strict=True))

    def encode_response(self, output: list[np.ndarray]) -> dict[str, list[float]]:
        return {"embedding": output[0].tolist(), "features": output[1].tolist()}


def main() -> None:
    port, batch = map(int, sys.argv[1:3])
    wait_s = BATCH_WAIT_S if batch > 1 else 0.0
    server = litserve.LitServer(
        Embed(max_batch_size=batch, batch_timeout=wait_s, api_path="/embed"),
        accelerator="cpu",
        devices=1,
        workers_per_device=len(os.sched_getaffinity(0)),
        fast_queue=True,
        timeout=120,
    )
    server.run(port=port, host="127.0.0.1", generate_client_file=False, log_level="warning")


if __name__ == "__main__":
    main()
