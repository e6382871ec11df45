"""Clips a second on a GPU, by batch and precision; skipped where there is none."""

from __future__ import annotations

import time

import numpy as np
import onnxruntime as ort

from benchmarks.limit import BUNDLE
from benchmarks.result import Benchmark, Figures, Plan
from models.bundle import read
from models.card import Precision
from service.session import CPU, CUDA, CUDA_OPTIONS, cuda_devices

BATCHES = (1, 2, 4, 8, 16, 32, 64)
PRECISIONS: tuple[Precision, ...] = ("float32", "float16")
WARM_RUNS, MEASURED_S = 3, 1.0
NO_GPU = "Skipped: no CUDA device here."


def measure(plan: Plan) -> Figures:
    """One row a precision that the bundle has, and a batch size."""
    if not cuda_devices():
        print(NO_GPU)
        return {"rows": []}
    ort.preload_dlls()
    bundle = read(BUNDLE)
    rows = []
    for graph in bundle.card.graphs:
        if graph.precision in PRECISIONS:
            providers = [(CUDA, CUDA_OPTIONS), CPU]
            session = ort.InferenceSession(bundle.graph_bytes(graph), providers=providers)
            if session.get_providers()[0] != CUDA:
                raise RuntimeError(f"{graph.file} runs on {session.get_providers()[0]}")
            for batch in BATCHES:
                speed = _clips_per_second(session, batch, bundle.card.audio.window_samples)
                rows.append({"precision": graph.precision, "batch": batch, "clips_per_s": speed})
    return {"rows": rows}


def _clips_per_second(session: ort.InferenceSession, batch: int, n_samples: int) -> float:
    noise = np.random.default_rng(0).uniform(-0.5, 0.5, (batch, n_samples)).astype(np.float32)
    for _ in range(WARM_RUNS):
        session.run(None, {"waveform": noise})
    started, runs = time.perf_counter(), 0
    while (elapsed := time.perf_counter() - started) < MEASURED_S:
        session.run(None, {"waveform": noise})
        runs += 1
    return runs * batch / elapsed


def table(figures: Figures) -> str:
    if not figures["rows"]:
        return NO_GPU
    rows = [
        f"| {row['precision']} | {row['batch']} | {row['clips_per_s']:.0f} |"
        for row in figures["rows"]
    ]
    return "\n".join(["| precision | batch | clips/s |\n|---|---|---|", *rows])


GPU = Benchmark("gpu", "On a GPU", measure, table)
