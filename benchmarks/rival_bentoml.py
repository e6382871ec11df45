"""The same decoding and graph behind BentoML: `bentoml serve benchmarks.rival_bentoml:Embed`.

A worker a core (`cpu_count`), each with a session of one thread; `Batched` has its adaptive
batching on, which takes the files of several requests together.
"""

from __future__ import annotations

from pathlib import Path

import bentoml
import numpy as np

from benchmarks.limit import Embedder
from models.audio.window_choice import WindowChoice
from models.audio.windows import read_windows

Answer = dict[str, list[float]]
MAX_BATCH, MAX_LATENCY_MS = 8, 10_000


@bentoml.service(workers="cpu_count", traffic={"timeout": 120})
class Embed:
    """BentoML service without batching."""

    def __init__(self) -> None:
        self.embedder = Embedder()

    @bentoml.api(route="/embed")  # type: ignore[untyped-decorator]
    def embed(self, file: Path) -> Answer:
        embedding, features = self.embedder.embed(file)
        return {"embedding": embedding[0].tolist(), "features": features[0].tolist()}


@bentoml.service(workers="cpu_count", traffic={"timeout": 120})
class Batched:
    """BentoML service with adaptive batching."""

    def __init__(self) -> None:
        self.embedder = Embedder()

    @bentoml.api(  # type: ignore[untyped-decorator]
        route="/embed", batchable=True, max_batch_size=MAX_BATCH, max_latency_ms=MAX_LATENCY_MS
    )
    def embed(self, file: list[Path]) -> list[Answer]:
        audio = self.embedder.audio
        windows = [read_windows(path, audio, WindowChoice()).samples for path in file]
        answers = self.embedder.session.run(
            ["embedding", "features"], {"waveform": np.concatenate(windows)}
        )
        return [
            {"embedding": embedding.tolist(), "features": features.tolist()}
            for embedding, features in zip(*answers, strict=True)
        ]
