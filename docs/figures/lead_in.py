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
from collections.abc import Collection, Mapping, Sequence
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
# Model -> window -> number of recordings of 30 s.
MODELS = {"cf-estimator": {"middle": 120, "all": 32}}
QUANTILES = (0.05, 0.5, 0.95)


def measure(data: Path) -> Figures:
    """Cosines of embeddings with and without silence before the song, and between songs."""
    recordings = one_recording_per_artist(data / "mood-recordings")
    originals = sorted((data / "originals").glob("*.mp3"))
    models: Figures = {}
    for model, counts in MODELS.items():
        models[model] = {}
        for window, count in counts.items():
            with tempfile.TemporaryDirectory() as folder:
                songs = [*recordings[:count], *originals]
                embedded = with_leads(model, window, songs, Path(folder))
            models[model][window] = compared(embedded, {song.stem for song in originals})
    return models


def one_recording_per_artist(folder: Path) -> list[Path]:
    """The first recording of each artist, in the order of the artists' ids."""
    with (folder / "tracks.csv").open() as file:
        rows = sorted(csv.DictReader(file), key=lambda row: (row["artist_id"], row["track_id"]))
    first = {row["artist_id"]: row["track_id"] for row in reversed(rows) if row["artist_id"]}
    return [folder / "audio" / f"{first[artist]}.opus" for artist in sorted(first)]


def with_leads(
    model: str, window: str, songs: Sequence[Path], folder: Path
) -> dict[float, Vectors]:
    """Seconds of silence before the songs -> their embeddings."""
    return {
        lead_s: embed(model, window, with_lead(songs, lead_s, folder / f"{lead_s:g}"), folder)
        for lead_s in (0, *LEADS_S)
    }


def with_lead(songs: Sequence[Path], lead_s: float, folder: Path) -> Path:
    """A folder of the songs as FLAC, behind that much silence."""
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


def compared(embedded: Mapping[float, Vectors], long: Collection[str]) -> Figures:
    """Cosine of each song to itself with silence before it, for both lengths of songs."""
    plain = embedded[0]
    found: Figures = {"between": between({name: plain[name] for name in plain.keys() - long})}
    for kind, names in (("30 s", plain.keys() - long), ("60 s", plain.keys() & long)):
        rows = {f"{lead_s:g}": summary(plain, embedded[lead_s], names) for lead_s in LEADS_S}
        found[kind] = {"songs": len(names), "lead_in": rows}
    return found


def summary(plain: Vectors, shifted: Vectors, names: Collection[str]) -> dict[str, float]:
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
    for model, windows in figures.items():
        for window, kinds in windows.items():
            for kind in ("30 s", "60 s"):
                rows = kinds[kind]["lead_in"].values()
                cells = " | ".join(f"{row['median']:.3f} ({row['min']:.3f})" for row in rows)
                lines.append(
                    f"| `{model}`, `{window}`, {kinds[kind]['songs']} of {kind} | {cells} |"
                )
    return "\n".join(lines)


def cosine_table(figures: Figures) -> str:
    """Quantiles of the cosine between songs of different artists, in the first model's space."""
    model = next(iter(MODELS))
    found = figures[model]["middle"]["between"]
    lines = ["| cosine between songs of two artists | 5 % | median | 95 % |", "|---|---|---|---|"]
    for kind in ("as predicted", "centred"):
        cells = " | ".join(f"{value:.2f}".replace("-", "−") for value in found[kind])
        lines.append(f"| {kind} | {cells} |")
    return "\n".join(lines)


def page(figures: Figures) -> str:
    """docs/vectors.md with its tables redrawn."""
    text = PAGE.read_text()
    for name, table in (("lead-in", lead_in_table(figures)), ("cosines", cosine_table(figures))):
        begin = BEGIN.format(name)
        drawn = f"{begin}\n\n{table}\n\n{END}"
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
