"""`tasteprint embed` by tasks of Spark beside the command line, and what a large catalogue takes.

    python -m benchmarks.training.spark --songs FOLDER       # some thousand songs, minutes

All ways embed the same songs on the same cores, a quarter of them and then all. The difference of
the two runs is the rate without the start (of the JVM, of its Python workers, of a model in each),
and what remains of the whole command is the start. The projection is of core-seconds without it, so
that it holds for any number of machines.
"""

from __future__ import annotations

import argparse
import json
import math
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from benchmarks.machine import describe, machine
from benchmarks.processes import ROOT, below, cpu_s
from benchmarks.result import RESULTS, Figures, Goal, rounded
from models.audio_names import list_audio

RESULT = RESULTS / "spark.json"
PACKAGES = ("pyspark", "onnxruntime-gpu", "numpy", "av", "soundfile")
MODEL, PRECISION = "cf-estimator", "float32"
LARGE = 100_000_000
REPEATS = 2
POLL_S = 0.1
# Of the songs, that the smaller run of each way embeds.
SHARE = 0.25
GOAL_RATIO = 0.9
# Of a core with some gigabytes of memory, as clouds rent them by the hour without a commitment.
PRICE = 0.05
COMMAND_LINE, PATHS, HADOOP = "command line", "Spark, files", "Spark, read by Hadoop"
# A file system of Hadoop's that shows a folder of this machine, as that of a cluster its own.
MOUNT = "spark.hadoop.fs.viewfs.mounttable.disk.link./songs"


@dataclass(frozen=True)
class Line:
    """Cost of a run by its number of songs: `start + songs * each`, in seconds of any kind."""

    start: float
    song: float

    @classmethod
    def through(cls, runs: list[Figures], kind: str) -> Line:
        """Through the cheapest run of the smaller and of the larger number of songs.

        Raises
        ------
        ValueError
            If the larger number cost no more: there are too few, or the load changed too much.
        """
        few, many = sorted({run["songs"] for run in runs})
        first, second = (
            min(run[kind] for run in runs if run["songs"] == songs) for songs in (few, many)
        )
        song = (second - first) / (many - few)
        if kind == "s" and song <= 0:
            raise ValueError(f"{many:.0f} songs took no longer than {few:.0f}: give some thousand")
        return cls(first - few * song, song)


def measure(songs: Path, n_cores: int) -> Figures:
    """Runs of each way, in turns, as the load of other processes changes."""
    files = list_audio(songs.resolve())
    found: Figures = {"cores": n_cores, COMMAND_LINE: [], PATHS: [], HADOOP: []}
    found["same_vectors"] = True
    for _ in range(REPEATS):
        for n_songs in (math.ceil(SHARE * len(files)), len(files)):
            with tempfile.TemporaryDirectory() as folder:
                some = Path(folder) / "songs"
                some.mkdir()
                for number, file in enumerate(files[:n_songs]):
                    (some / f"{number:06}{file.suffix}").symlink_to(file)
                vectors: list[pa.Table] = []
                for way, arguments in ways_of(some, n_cores).items():
                    out = Path(folder) / f"{len(vectors)}.parquet"
                    found[way].append(embed(arguments, out))
                    vectors.append(pq.read_table(out, columns=["embedding", "features"]))
                found["same_vectors"] &= all(table.equals(vectors[0]) for table in vectors)
    return found


def ways_of(songs: Path, n_cores: int) -> dict[str, list[str]]:
    """Arguments of the command."""
    spark = ["--engine", "spark", "--spark-master", f"local[{n_cores}]"]
    return {
        COMMAND_LINE: [str(songs), "--workers", str(n_cores)],
        PATHS: [str(songs), *spark],
        HADOOP: ["viewfs://disk/songs", *spark, "--spark-conf", f"{MOUNT}={songs.as_uri()}"],
    }


def embed(arguments: list[str], out: Path) -> Figures:
    """Songs, seconds of the whole command, and CPU seconds of Java and of all processes."""
    command = [sys.executable, "-m", "service.cli.main", "embed", *arguments, "--out", str(out)]
    command += ["--model", MODEL, "--precision", PRECISION, "--json"]
    used: dict[int, tuple[str, float]] = {}
    with tempfile.TemporaryFile("w+") as printed:
        began_s = time.monotonic()
        process = subprocess.Popen(command, cwd=ROOT, stdout=printed, stderr=subprocess.DEVNULL)
        while process.poll() is None:
            for pid in (process.pid, *below(process.pid)):
                used[pid] = name_of(pid), max(cpu_s(pid), used.get(pid, ("", 0.0))[1])
            time.sleep(POLL_S)
        whole_s = time.monotonic() - began_s
        printed.seek(0)
        summary = json.loads(printed.read().splitlines()[-1])
    songs = summary["embedded"]
    print(f"{songs} songs, {whole_s:.1f} s: {' '.join(arguments)}", flush=True)
    java_s = sum(seconds for name, seconds in used.values() if name == "java")
    all_s = sum(seconds for _, seconds in used.values())
    return {"songs": songs, "s": whole_s, "cpu_s": all_s, "java_cpu_s": java_s}


def name_of(pid: int) -> str:
    try:
        return Path(f"/proc/{pid}/comm").read_text().strip()
    except OSError:
        return ""


def table(figures: Figures, price: float) -> str:
    """Starts and rates, and core-hours and money of a catalogue of 10^8 tracks."""
    lines = [
        f"| | start, s | songs a second on {figures['cores']} cores | core-seconds a song "
        f"| of them CPU time | of it Java's | core-hours of 10⁸ songs "
        f"| at {price:g} $ a core-hour |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for way in (COMMAND_LINE, PATHS, HADOOP):
        wall, cpu, java = (
            Line.through(figures[way], kind) for kind in ("s", "cpu_s", "java_cpu_s")
        )
        core_s = figures["cores"] * wall.song
        hours = core_s * LARGE / 3600
        lines.append(
            f"| {way} | {wall.start:.1f} | {1 / wall.song:.1f} | {core_s:.4f} | {cpu.song:.4f} "
            f"| {java.song:.4f} | {hours:,.0f} | {hours * price:,.0f} $ |"
        )
    return "\n".join(lines)


def goals(figures: Figures) -> list[Goal]:
    """Of the rate without the start, and of the CPU time, which the load of others changes less."""
    stated = []
    for way in (PATHS, HADOOP):
        for kind, what in (("s", "songs a second"), ("cpu_s", "songs a CPU second")):
            here, spark = (Line.through(figures[key], kind).song for key in (COMMAND_LINE, way))
            stated.append(
                Goal(
                    f"{what} after the start: {way} ÷ the command line",
                    here / spark,
                    min=GOAL_RATIO,
                )
            )
    return stated


def songs_to_goal(figures: Figures, way: str) -> float:
    """Songs from which on the whole command, start and all, has 0.9 of the command line's rate."""
    here, spark = (Line.through(figures[key], "s") for key in (COMMAND_LINE, way))
    gained_s = here.song / GOAL_RATIO - spark.song
    late_s = spark.start - here.start / GOAL_RATIO
    return max(late_s, 0.0) / gained_s if gained_s > 0 else math.inf


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--songs", type=Path, required=True)
    parser.add_argument("--cores", type=int, default=2)
    parser.add_argument("--price", type=float, default=PRICE, help="dollars a core-hour")
    parser.add_argument("--no-keep", action="store_true", help="print the figures, and keep none")
    given = parser.parse_args()
    facts = machine("benchmarks.training.spark", PACKAGES)
    figures = {"machine": facts} | measure(given.songs, given.cores)
    if not given.no_keep:
        RESULT.write_text(json.dumps(rounded(figures), indent=1) + "\n")
    print(f"\n{describe(facts)}\n\n{table(figures, given.price)}\n")
    print(f"the same vectors: {figures['same_vectors']}")
    for goal in goals(figures):
        print(goal.row())
    for way in (PATHS, HADOOP):
        songs = songs_to_goal(figures, way)
        print(f"{way}: {GOAL_RATIO} of the command line's rate, starts and all, from {songs:,.0f}")


if __name__ == "__main__":
    main()
