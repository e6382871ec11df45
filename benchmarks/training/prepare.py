"""`prepare` on every core beside one core's decoding of the same songs.

    python -m benchmarks.training.prepare --songs FOLDER     # some thousand songs, minutes

Both write the same windows; the rate of `prepare` has the start of its processes in it.
"""

from __future__ import annotations

import argparse
import json
import os
import tempfile
import time
from itertools import islice
from pathlib import Path

import pandas as pd

from benchmarks.machine import describe, machine
from benchmarks.result import RESULTS, Figures, Goal, rounded
from models.audio_names import list_audio
from models.card import AudioInput
from training.audio.decoding import Job, decode_jobs
from training.audio.shards import create_windows
from training.audio.windows import MIN_FOR_PROCESSES, prepare
from training.networks.registry import DEFAULT_ENCODER, encoder_class

RESULT = RESULTS / "prepare.json"
PACKAGES = ("numpy", "av", "soundfile", "soxr")
GOAL_RATIO = 0.9
N_ONE_CORE = 300


def measure(songs: list[Path], workers: int, folder: Path) -> Figures:
    audio = encoder_class(DEFAULT_ENCODER).audio
    one = decode_on_one_core(songs[:N_ONE_CORE], audio, folder / "one")
    manifest = pd.DataFrame({"track_id": [f"{number}" for number in range(len(songs))]})
    manifest = manifest.assign(item_id="i", artist="a", path=[str(song) for song in songs])
    begun = time.perf_counter()
    n_done = sum(1 for _ in prepare(manifest, folder / "all", audio, workers=workers))
    seconds = time.perf_counter() - begun
    return {"workers": workers, "one": one, "all": {"songs": n_done, "s": seconds}}


def decode_on_one_core(songs: list[Path], audio: AudioInput, folder: Path) -> Figures:
    folder.mkdir()
    create_windows(folder, (len(songs), audio.input_samples))
    jobs = [Job(row, str(row), str(song)) for row, song in enumerate(songs)]
    allowed = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {min(allowed)})
    try:
        decode_jobs(folder, audio, jobs[:10])  # libraries are loaded
        begun = time.perf_counter()
        decode_jobs(folder, audio, jobs)
        return {"songs": len(jobs), "s": time.perf_counter() - begun}
    finally:
        os.sched_setaffinity(0, allowed)


def rate(run: Figures) -> float:
    return float(run["songs"] / run["s"])


def ratio(figures: Figures) -> float:
    """Rate of `prepare` ÷ (cores × one core's rate)."""
    return rate(figures["all"]) / (int(figures["workers"]) * rate(figures["one"]))


def table(figures: Figures) -> str:
    one, every = rate(figures["one"]), rate(figures["all"])
    lines = [
        "| | songs a second | 10⁶ songs on these cores |",
        "|---|---|---|",
        f"| one core | {one:.1f} | {1e6 / one / 3600:.1f} h |",
        f"| `prepare`, {figures['workers']} cores | {every:.1f} | {1e6 / every / 3600:.1f} h |",
    ]
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--songs", type=Path, required=True)
    parser.add_argument("--workers", type=int, default=os.cpu_count() or 2)
    parser.add_argument("--limit", type=int, default=5000, help="songs at most")
    parser.add_argument("--no-keep", action="store_true", help="print the figures, and keep none")
    given = parser.parse_args()
    facts = machine("benchmarks.training.prepare", PACKAGES)
    songs = list(islice(list_audio(given.songs), given.limit))
    if len(songs) < MIN_FOR_PROCESSES:
        parser.error(f"{len(songs)} songs; from {MIN_FOR_PROCESSES} on processes decode them")
    with tempfile.TemporaryDirectory() as folder:
        figures = {"machine": facts} | measure(songs, given.workers, Path(folder))
    if not given.no_keep:
        RESULT.write_text(json.dumps(rounded(figures), indent=1) + "\n")
    print(f"\n{describe(facts)}\n\n{table(figures)}\n")
    print(Goal("`prepare` ÷ (cores × one core)", ratio(figures), min=GOAL_RATIO).row())


if __name__ == "__main__":
    main()
