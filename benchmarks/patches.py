"""Decoding of patches on one core: whole windows of 30 s beside patches of 3 s of them.

CPU milliseconds per window (minimum of several runs), from a file in memory as in the service, as
for whole windows. The patches are in the middle of equal parts of the window.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from benchmarks.decode import (
    BUNDLE,
    CLIP_S,
    GOALS_MS,
    SONG_S,
    decode_ms,
    in_fresh_process,
)
from benchmarks.result import Benchmark, Figures, Goal, Plan
from models.bundle import read
from models.card import AudioInput, Patches
from tests.sounds import golden, write

PATCH_S = 3.0
COUNTS = (3, 2, 1)
# Maximum CPU time of three patches, a third of the window, as a share of the whole window's.
GOAL = 0.5
GOAL_FORMAT = "mp3"


def with_patches(audio: AudioInput, count: int) -> AudioInput:
    """The input with `count` patches instead of the whole window."""
    part_s = audio.window_s / count
    starts_s = tuple((index + 0.5) * part_s - PATCH_S / 2 for index in range(count))
    patches = Patches(seconds=PATCH_S, starts_s=starts_s)
    return audio.model_copy(update={"patches": patches})


def measure(plan: Plan) -> Figures:
    kinds = list(GOALS_MS)[: plan.of(len(GOALS_MS), 1)]
    return {"rows": list(rows_of(plan.sounds.folder, kinds))}


def rows_of(folder: Path, kinds: list[str]) -> Iterator[Figures]:
    """One row per format and length of the file."""
    audio = read(BUNDLE).card.audio
    for kind in kinds:
        for seconds in (CLIP_S, SONG_S):
            path = write(folder / f"patches-{seconds}.{kind}", golden(seconds))
            row: Figures = {
                "format": kind,
                "seconds": seconds,
                "window_ms": in_fresh_process(decode_ms, path, audio),
                "patches_ms": {
                    str(count): in_fresh_process(decode_ms, path, with_patches(audio, count))
                    for count in COUNTS
                },
            }
            print(table_row(row), flush=True)
            yield row


HEADER = (
    "| format | file, s | whole window, ms | 3 patches, ms | 2 patches, ms | 1 patch, ms "
    "| 3 patches ÷ window |\n|---|---|---|---|---|---|---|"
)


def ratio(row: Figures) -> float:
    return float(row["patches_ms"]["3"] / row["window_ms"])


def table_row(row: Figures) -> str:
    patches = " | ".join(f"{row['patches_ms'][str(count)]:.1f}" for count in COUNTS)
    return (
        f"| {row['format']} | {row['seconds']} | {row['window_ms']:.1f} | {patches} "
        f"| {ratio(row):.2f} |"
    )


def table(figures: Figures) -> str:
    return "\n".join([HEADER, *map(table_row, figures["rows"])])


def goals(figures: Figures) -> list[Goal]:
    rows = [row for row in figures["rows"] if row["format"] == GOAL_FORMAT]
    slowest = max(map(ratio, rows))
    return [Goal("decoding 3 patches of 3 s ÷ the window of 30 s, mp3", slowest, max=GOAL)]


PATCHES = Benchmark("patches", "Decoding of patches on one core", measure, table, goals)
