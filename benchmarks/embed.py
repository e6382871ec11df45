"""`/embed` against the limit of this machine, and against what one would write in an afternoon.

For 30 s clips and 4-minute songs in four formats, in one run: requests a second over HTTP; in
process, with the same decoding and the same session on every core, which is the limit; and over
HTTP from `benchmarks.afternoon`, with the same weights. No answer comes from a cache.

`python -m benchmarks.embed` measures, writes `results/embed.json` and prints the table;
`--table` prints the table of the last run.
"""

from __future__ import annotations

import json
import multiprocessing
import os
import platform
import socket
import sys
import tempfile
import time
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime as ort

from benchmarks.load import Seen, multipart, saturate, serving
from models.audio import read_windows
from models.bundle import read
from models.card import AudioInput
from models.window import WindowChoice
from tests.sounds import golden, write

BUNDLE = Path(__file__).parents[1] / "models" / "cf-estimator"
RESULTS = Path(__file__).parent / "results" / "embed.json"
FORMATS = ("mp3", "flac", "wav", "m4a")
LENGTHS_S = {"30 s clip": 30, "4 min song": 240}
# Distinct uploads: more than clients, so that no two of the same are under way at once.
N_FILES, N_CLIENTS = 6, 4
N_SERVICE, N_AFTERNOON, N_WARM = 90, 24, 8
STAGES = ("upload", "decode", "queue", "infer")


def make_files(folder: Path, kind: str, seconds: int) -> list[Path]:
    """Stereo 44.1 kHz, synthesised: a chord that changes, with noise."""
    sound = golden(seconds)
    return [
        write(folder / f"{seconds}-{turn}.{kind}", np.roll(sound, turn * 44_100, axis=0))
        for turn in range(N_FILES)
    ]


_session: ort.InferenceSession
_audio: AudioInput


def _start_worker() -> None:
    global _session, _audio
    bundle = read(BUNDLE)
    _audio = bundle.card.audio
    options = ort.SessionOptions()
    options.intra_op_num_threads = 1
    content = bundle.graph_bytes(bundle.card.graph())
    _session = ort.InferenceSession(content, options, providers=["CPUExecutionProvider"])


def _embed_in_process(path: Path) -> None:
    windows = read_windows(path, _audio, WindowChoice())
    _session.run(["embedding", "features"], {"waveform": windows.samples})


def in_process(files: list[Path], pool: Any) -> float:
    """Files a second on every core: a process each, no HTTP, no queue, nothing to wait for."""
    pool.map(_embed_in_process, (files * N_WARM)[:N_WARM], chunksize=1)
    work = (files * N_SERVICE)[:N_SERVICE]
    started = time.perf_counter()
    pool.map(_embed_in_process, work, chunksize=1)
    return len(work) / (time.perf_counter() - started)


def over_http(url: str, files: list[Path], n_requests: int) -> Seen:
    bodies = [multipart(file.read_bytes()) for file in files]
    saturate(url, bodies, N_WARM, N_CLIENTS)
    return saturate(url, bodies, n_requests, N_CLIENTS)


def measure(folder: Path) -> list[dict[str, Any]]:
    """One row a format and length."""
    service_port, afternoon_port = free_port(), free_port()
    afternoon = ["uvicorn", "benchmarks.afternoon:app", "--port", str(afternoon_port)]
    environment = {"TASTEPRINT_PORT": str(service_port), "TASTEPRINT_CACHE_ENTRIES": "0"}
    rows = []
    with (
        serving(["service"], service_port, **environment) as service_url,
        serving([*afternoon, "--log-level", "error"], afternoon_port) as afternoon_url,
        multiprocessing.get_context("spawn").Pool(os.cpu_count(), _start_worker) as pool,
    ):
        for length, seconds in LENGTHS_S.items():
            for kind in FORMATS:
                files = make_files(folder, kind, seconds)
                served = over_http(service_url, files, N_SERVICE)
                limit = in_process(files, pool)
                plain = over_http(afternoon_url, files, N_AFTERNOON)
                row = {
                    "length": length,
                    "format": kind,
                    "service_per_s": served.per_second,
                    "service_failed": served.failed,
                    "stages_ms": served.stages_ms,
                    "limit_per_s": limit,
                    "afternoon_per_s": None if plain.failed else plain.per_second,
                }
                rows.append(row)
                print(table_row(row), flush=True)
                for file in files:
                    file.unlink()
    return rows


def free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        port: int = listener.getsockname()[1]
        return port


def machine() -> str:
    names = [
        line for line in Path("/proc/cpuinfo").read_text().splitlines() if "model name" in line
    ]
    packages = ", ".join(
        f"{name} {version(name)}" for name in ("onnxruntime-gpu", "torch", "librosa")
    )
    cpu = names[0].partition(": ")[2] if names else platform.processor()
    return f"{os.cpu_count()} cores of {cpu}, Python {platform.python_version()}, {packages}"


HEADER = (
    "| | format | service, requests/s | of this machine's limit | × afternoon server "
    "| share of upload, decode, queue, infer |\n|---|---|---|---|---|---|"
)


def table_row(row: dict[str, Any]) -> str:
    served, plain = row["service_per_s"], row["afternoon_per_s"]
    stages_ms = [row["stages_ms"].get(stage, 0.0) for stage in STAGES]
    shares = ", ".join(f"{ms / sum(stages_ms):.0%}" for ms in stages_ms)
    ratio = f"{served / plain:.1f}" if plain else "it cannot read it"
    return (
        f"| {row['length']} | {row['format']} | {served:.1f} | {served / row['limit_per_s']:.2f} "
        f"| {ratio} | {shares} |"
    )


def main() -> None:
    if "--table" not in sys.argv:
        print(machine(), HEADER, sep="\n", flush=True)
        with tempfile.TemporaryDirectory() as folder:
            rows = measure(Path(folder))
        RESULTS.parent.mkdir(exist_ok=True)
        RESULTS.write_text(json.dumps({"machine": machine(), "rows": rows}, indent=2) + "\n")
        return
    results = json.loads(RESULTS.read_text())
    print(results["machine"], HEADER, *map(table_row, results["rows"]), sep="\n")


if __name__ == "__main__":
    main()
