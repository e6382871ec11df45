"""What silence before a song changes, and what cosines of embeddings mean: measured, or redrawn.

    python -m docs.figures.lead_in                               # redraw docs/vectors.md
    python -m docs.figures.lead_in --data ../shared/data         # measure as well

Measuring embeds recordings by `tasteprint embed`, in float32: as they are, and with digital silence
before them. One recording an artist, in the order of the artists' ids, and the 60 s originals. The
JSON holds quantiles and means: no id, name or file of the data.
"""

from __future__ import annotations

import argparse
import csv
import json
import re
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import soundfile
from numpy.typing import NDArray

from models.similarity import cosine

Figures = dict[str, Any]
Vectors = dict[str, NDArray[np.float32]]

HERE = Path(__file__).parent
RESULT, PAGE = HERE / "lead_in.json", HERE.parent / "vectors.md"
BEGIN, END = (
    "<!-- drawn by python -m docs.figures.lead_in: {} -->",
    "<!-- end of the drawn part -->",
)
LEADS_S = (0.15, 0.4, 1.2)
WINDOWS = ("middle", "all")
MODELS = {"cf-estimator": 120, "cf-estimator-large": 24}  # model -> number of recordings
QUANTILES = (0.05, 0.5, 0.95)


def measure(data: Path) -> Figures:
    """Cosines of embeddings with and without silence before the song, and between songs."""
    recordings = one_recording_per_artist(data / "mood-recordings")
    originals = sorted((data / "originals").glob("*.mp3"))
    found: Figures = {"originals": len(originals), "models": {}}
    for model, count in MODELS.items():
        chosen = [*recordings[:count], *originals]
        with tempfile.TemporaryDirectory() as folder:
            found["models"][model] = measure_model(model, chosen, originals, Path(folder))
    return found


def one_recording_per_artist(folder: Path) -> list[Path]:
    """The first recording of each artist, in the order of the artists' ids."""
    with (folder / "tracks.csv").open() as file:
        rows = sorted(csv.DictReader(file), key=lambda row: (row["artist_id"], row["track_id"]))
    first = {row["artist_id"]: row["track_id"] for row in reversed(rows) if row["artist_id"]}
    return [folder / "audio" / f"{first[artist]}.opus" for artist in sorted(first)]


def measure_model(
    model: str, songs: Sequence[Path], originals: Sequence[Path], folder: Path
) -> Figures:
    long = {song.stem for song in originals}
    found: Figures = {"recordings": len(songs) - len(long), "lead_in": {}}
    for window in WINDOWS:
        plain = embed(model, window, with_lead(songs, 0, folder / "0"), folder)
        if window == WINDOWS[0]:
            found["between"] = between({name: plain[name] for name in plain if name not in long})
        for lead_s in LEADS_S:
            shifted = embed(model, window, with_lead(songs, lead_s, folder / str(lead_s)), folder)
            for kind, names in (("30 s", plain.keys() - long), ("60 s", long)):
                key = f"{window}, {lead_s:g} s, {kind}"
                found["lead_in"][key] = compared(plain, shifted, sorted(names))
    return found


def with_lead(songs: Sequence[Path], lead_s: float, folder: Path) -> Path:
    """A folder of the songs as FLAC, behind that much silence."""
    if not folder.exists():
        folder.mkdir()
        for song in songs:
            sound, sample_rate = soundfile.read(song, dtype="int16", always_2d=True)
            silence = np.zeros((round(lead_s * sample_rate), sound.shape[1]), np.int16)
            soundfile.write(folder / f"{song.stem}.flac", np.vstack([silence, sound]), sample_rate)
    return folder


def embed(model: str, window: str, songs: Path, folder: Path) -> Vectors:
    """Name -> embedding of each song of a folder, by the command line."""
    out = folder / f"{songs.name}-{window}.parquet"
    options = ["--model", model, "--window", window, "--precision", "float32", "--no-features"]
    command = [sys.executable, "-m", "service.cli.main", "embed", str(songs), "--out", str(out)]
    subprocess.run([*command, *options], check=True, stdout=subprocess.DEVNULL)
    table = pq.read_table(out, columns=["track_id", "embedding"])
    return dict(zip(table["track_id"].to_pylist(), map(as_vector, table["embedding"]), strict=True))


def as_vector(embedding: Any) -> NDArray[np.float32]:
    return np.asarray(embedding.as_py(), np.float32)


def compared(plain: Vectors, shifted: Vectors, names: Sequence[str]) -> dict[str, float]:
    """Cosine of each song to itself with silence before it: median and minimum."""
    cosines = [cosine(plain[name], shifted[name]) for name in names]
    return {"median": round(float(np.median(cosines)), 4), "min": round(min(cosines), 4)}


def between(songs: Vectors) -> Figures:
    """Quantiles of the cosines between songs of different artists, as they are and centred."""
    vectors = np.stack([songs[name] for name in sorted(songs)])
    return {
        "as predicted": quantiles(vectors),
        "centred": quantiles(vectors - vectors.mean(0)),
        "mean_energy": round(float((vectors.mean(0) ** 2).sum() / (vectors**2).sum(1).mean()), 3),
    }


def quantiles(vectors: NDArray[np.float32]) -> list[float]:
    unit = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
    pairs = (unit @ unit.T)[np.triu_indices(len(unit), 1)]
    return [round(float(value), 3) for value in np.quantile(pairs, QUANTILES)]


def lead_in_table(figures: Figures) -> str:
    """One row for each model, window and length; the median cosine, and the minimum."""
    heads = " | ".join(f"{lead_s:g} s of silence" for lead_s in LEADS_S)
    lines = [f"| model, window, songs | {heads} |", "|---|" + "---|" * len(LEADS_S)]
    for model, of_model in figures["models"].items():
        for window in WINDOWS:
            for kind, count in (("30 s", of_model["recordings"]), ("60 s", figures["originals"])):
                found = [of_model["lead_in"][f"{window}, {lead:g} s, {kind}"] for lead in LEADS_S]
                cells = " | ".join(f"{row['median']:.3f} ({row['min']:.3f})" for row in found)
                lines.append(f"| `{model}`, `{window}`, {count} of {kind} | {cells} |")
    return "\n".join(lines)


def cosine_table(figures: Figures) -> str:
    """Quantiles of the cosine between songs of different artists."""
    lines = ["| cosine of two artists' songs | 5 % | median | 95 % |", "|---|---|---|---|"]
    for model, of_model in figures["models"].items():
        for kind in ("as predicted", "centred"):
            cells = " | ".join(
                f"{value:.2f}".replace("-", "−") for value in of_model["between"][kind]
            )
            lines.append(f"| `{model}`, {kind} | {cells} |")
    return "\n".join(lines)


def page(figures: Figures) -> str:
    """docs/vectors.md with its tables redrawn."""
    text = PAGE.read_text()
    for name, table in (("lead-in", lead_in_table(figures)), ("cosines", cosine_table(figures))):
        begin = BEGIN.format(name)
        drawn = f"{begin}\n{table}\n{END}"
        text = re.sub(re.escape(begin) + ".*?" + re.escape(END), lambda _: drawn, text, flags=re.S)  # noqa: B023
    return text


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, help="recordings to measure on; without: redraw")
    options = parser.parse_args()
    if options.data:
        RESULT.write_text(json.dumps(measure(options.data), indent=1) + "\n")
    PAGE.write_text(page(json.loads(RESULT.read_text())))


if __name__ == "__main__":
    main()
