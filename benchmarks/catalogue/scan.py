"""`tasteprint embed` of many files, beside the limit: decoding and model in process, nothing else.

    python -m benchmarks.catalogue.scan FOLDER [--files 1000] [--rounds 3]

Both use every core. The limit shares the files out to a process for each core, hashes, decodes and
runs them, and writes nothing; start and import are part of neither.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from itertools import islice
from pathlib import Path

import numpy as np

from benchmarks.limit import Embedder
from models.audio_names import list_audio
from models.malloc import keep_freed_memory
from service.cli.local import digest_of
from service.cores import cores

embedder: Embedder | None = None


def start_process() -> None:
    global embedder
    keep_freed_memory()
    embedder = Embedder()


def embed(path: Path) -> int:
    assert embedder is not None
    digest_of(path)
    return len(embedder.embed(path))


def limit_s(files: Sequence[Path]) -> float:
    """Seconds to embed the files in process, once every process has its model."""
    with multiprocessing.get_context("spawn").Pool(cores(), start_process) as pool:
        pool.map(embed, [files[0]] * 4 * cores(), chunksize=1)
        began_s = time.perf_counter()
        for _ in pool.imap_unordered(embed, files):
            pass
        return time.perf_counter() - began_s


def embed_s(files: Sequence[Path], out: Path) -> float:
    """Seconds that a run of `tasteprint embed` states, its last part written."""
    command = [sys.executable, "-m", "service.cli.main", "embed", "-", "--out", str(out), "--json"]
    names = "\n".join(map(str, files))
    run = subprocess.run(command, input=names, capture_output=True, text=True, check=True)
    summary = json.loads(run.stdout)
    assert summary["embedded"] == len(files), summary
    return float(summary["seconds"])


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("--files", type=int, default=1000)
    parser.add_argument("--rounds", type=int, default=3)
    given = parser.parse_args()
    files = list(islice(list_audio(given.folder), given.files))
    ratios = []
    with tempfile.TemporaryDirectory() as folder:
        for number in range(given.rounds):  # side by side: other work on the machine changes
            bound_s = limit_s(files)
            run_s = embed_s(files, Path(folder) / f"{number}.parquet")
            ratios.append(run_s / bound_s)
            print(
                f"{len(files)} files: limit {bound_s:.1f} s, tasteprint embed {run_s:.1f} s, "
                f"ratio {ratios[-1]:.3f}",
                flush=True,
            )
    print(f"median ratio {np.median(ratios):.3f} on {cores()} cores, load {os.getloadavg()[0]:.1f}")


if __name__ == "__main__":
    main()
