"""Clips per second on GPUs by precision, batch size, input path and number of GPUs.

`plain` runs with NumPy arrays and `bound` with I/O binding; the service uses the faster of the two.
`on_device` has its input on the GPU already: an upper bound for any faster input path. Skipped
without a CUDA device.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import onnxruntime as ort

from benchmarks.limit import BUNDLE
from benchmarks.result import Benchmark, Figures, Plan
from models.audio.window_choice import Samples
from models.bundle import read
from models.card import Precision
from service.inference.devices import CPU, CUDA, CUDA_OPTIONS, count_cuda_devices
from service.inference.io_binding import run_bound
from service.inference.model import run_plain

BATCHES = (1, 2, 4, 8, 16, 32, 64)
BATCH_OF_ALL = 16
PRECISIONS: tuple[Precision, ...] = ("float32", "float16")
WARM_RUNS, MEASURED_S = 3, 1.0
NO_GPU = "Skipped: no CUDA device here."


def measure(plan: Plan) -> Figures:
    """One row per precision of the bundle and batch size, and one per number of devices."""
    if not (count := count_cuda_devices()):
        print(NO_GPU)
        return {"rows": []}
    ort.preload_dlls()
    bundle = read(BUNDLE)
    n_samples = bundle.card.audio.input_samples
    rows, together = [], []
    for graph in bundle.card.graphs:
        if graph.precision in PRECISIONS:
            content = bundle.graph_bytes(graph)
            sessions = [on_gpu(content, device) for device in range(count)]
            for batch in BATCHES:
                ways = ways_in(sessions[0], noise(batch, n_samples), "cuda")
                speeds = {way: clips_per_second([run], batch) for way, run in ways.items()}
                rows.append({"precision": graph.precision, "batch": batch, **speeds})
            runs = [
                ways_in(session, noise(BATCH_OF_ALL, n_samples), "cuda", device)["plain"]
                for device, session in enumerate(sessions)
            ]
            together += [
                {
                    "precision": graph.precision,
                    "devices": devices,
                    "plain": clips_per_second(runs[:devices], BATCH_OF_ALL),
                }
                for devices in range(1, count + 1)
            ]
    return {"rows": rows, "together": together}


def on_gpu(content: bytes, device: int) -> ort.InferenceSession:
    providers = [(CUDA, CUDA_OPTIONS | {"device_id": str(device)}), CPU]
    session = ort.InferenceSession(content, providers=providers)
    if session.get_providers()[0] != CUDA:
        raise RuntimeError(f"device {device} runs on {session.get_providers()[0]}")
    return session


def noise(batch: int, n_samples: int) -> Samples:
    shape = (batch, n_samples)
    return np.random.default_rng(0).uniform(-0.5, 0.5, shape).astype(np.float32)


def ways_in(
    session: ort.InferenceSession, inputs: Samples, where: str, device: int = 0
) -> dict[str, Callable[[], object]]:
    """A run per input path; `where` is `cuda`, or `cpu` to test without a GPU."""
    outputs = [tensor.name for tensor in session.get_outputs()]
    on_device = session.io_binding()
    value = ort.OrtValue.ortvalue_from_numpy(inputs, where, device)
    on_device.bind_ortvalue_input("waveform", value)
    for output in outputs:
        on_device.bind_output(output)
    return {
        "plain": lambda: run_plain(session, outputs, "waveform", inputs),
        "bound": lambda: run_bound(session, outputs, "waveform", inputs),
        "on_device": lambda: session.run_with_iobinding(on_device),
    }


def clips_per_second(
    runs: list[Callable[[], object]], batch: int, measured_s: float = MEASURED_S
) -> float:
    """Total throughput of concurrent runs, one thread each."""
    begin = threading.Barrier(len(runs), timeout=60)  # a failing thread breaks it for all

    def one(run: Callable[[], object]) -> float:
        for _ in range(WARM_RUNS):
            run()
        begin.wait()
        started, count = time.perf_counter(), 0
        while (elapsed := time.perf_counter() - started) < measured_s:
            run()
            count += 1
        return count * batch / elapsed

    with ThreadPoolExecutor(len(runs)) as threads:
        return sum(threads.map(one, runs))


def table(figures: Figures) -> str:
    if not figures["rows"]:
        return NO_GPU
    rows = [
        f"| {row['precision']} | {row['batch']} | {row['plain']:.0f} | {row['bound']:.0f} "
        f"| {row['on_device']:.0f} |"
        for row in figures["rows"]
    ]
    together = [
        f"| {row['precision']} | {row['devices']} | {row['plain']:.0f} |"
        for row in figures["together"]
    ]
    return "\n".join(
        [
            "Clips/s on one GPU:\n",
            "| precision | batch | plain | bound | input on the GPU |\n|---|---|---|---|---|",
            *rows,
            f"\nClips/s by number of GPUs, batches of {BATCH_OF_ALL}:\n",
            "| precision | GPUs | plain |\n|---|---|---|",
            *together,
        ]
    )


GPU = Benchmark("gpu", "On a GPU", measure, table)
