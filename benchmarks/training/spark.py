"""`tasteprint embed` by tasks of Spark beside the command line, and what a large catalogue takes.

    python -m benchmarks.training.spark --songs FOLDER       # some thousand songs, minutes

Both embed the same songs on the same cores, without the time that a JVM and a model take to start.
The projection is of core-seconds, so that it holds for any number of machines.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import pyarrow.parquet as pq

from benchmarks.machine import describe, machine
from benchmarks.processes import ROOT, below, cpu_s
from benchmarks.result import RESULTS, Figures, Goal, rounded

RESULT = RESULTS / "spark.json"
PACKAGES = ("pyspark", "onnxruntime-gpu", "numpy", "av", "soundfile")
MODEL, PRECISION = "cf-estimator", "float32"
LARGE = 100_000_000
REPEATS = 2
POLL_S = 0.1
GOAL_RATIO = 0.9
# Of a core with some gigabytes of memory, as clouds rent them by the hour without a commitment.
PRICE = 0.05
COMMAND_LINE, PATHS, URIS = "command line", "Spark, paths", "Spark, URIs"


def measure(songs: Path, n_cores: int) -> Figures:
    """Songs a second of each way, in turns, as the load of other processes changes."""
    found: Figures = {"cores": n_cores, COMMAND_LINE: [], PATHS: [], URIS: []}
    spark = ["--engine", "spark", "--spark-master", f"local[{n_cores}]"]
    ways = {
        COMMAND_LINE: [str(songs), "--workers", str(n_cores)],
        PATHS: [str(songs), *spark],
        URIS: [songs.resolve().as_uri(), *spark],
    }
    for _ in range(REPEATS):
        vectors = []
        for way, arguments in ways.items():
            with tempfile.TemporaryDirectory() as folder:
                out = Path(folder) / "out.parquet"
                found[way].append(embed(arguments, out))
                vectors.append(pq.read_table(out, columns=["embedding", "features"]))
        found["same_vectors"] = all(table.equals(vectors[0]) for table in vectors)
    return found


def embed(arguments: list[str], out: Path) -> Figures:
    """Songs, seconds without the start, and CPU seconds of Java and of all other processes."""
    command = [sys.executable, "-m", "service.cli.main", "embed", *arguments, "--out", str(out)]
    command += ["--model", MODEL, "--precision", PRECISION, "--json"]
    used: dict[int, tuple[str, float]] = {}
    with tempfile.TemporaryFile("w+") as printed:
        process = subprocess.Popen(command, cwd=ROOT, stdout=printed, stderr=subprocess.DEVNULL)
        while process.poll() is None:
            for pid in (process.pid, *below(process.pid)):
                used[pid] = name_of(pid), max(cpu_s(pid), used.get(pid, ("", 0.0))[1])
            time.sleep(POLL_S)
        printed.seek(0)
        summary = json.loads(printed.read().splitlines()[-1])
    java_s = sum(seconds for name, seconds in used.values() if name == "java")
    own_s = sum(seconds for name, seconds in used.values() if name != "java")
    print(f"{' '.join(arguments)}: {summary['embedded'] / summary['seconds']:.2f} a second")
    found = {"songs": summary["embedded"], "s": summary["seconds"]}
    return found | {"cpu_s": own_s, "java_cpu_s": java_s}


def name_of(pid: int) -> str:
    try:
        return Path(f"/proc/{pid}/comm").read_text().strip()
    except OSError:
        return ""


def best_rate(runs: list[Figures]) -> float:
    return float(max(run["songs"] / run["s"] for run in runs))


def table(figures: Figures, price: float) -> str:
    """Rates, and core-hours and money of a catalogue of 10^8 tracks."""
    lines = [
        f"| | songs a second on {figures['cores']} cores | core-seconds a song "
        f"| core-hours of 10⁸ songs | at {price:g} $ a core-hour |",
        "|---|---|---|---|---|",
    ]
    for way in (COMMAND_LINE, PATHS, URIS):
        rate = best_rate(figures[way])
        core_s = figures["cores"] / rate
        hours = core_s * LARGE / 3600
        lines.append(
            f"| {way} | {rate:.1f} | {core_s:.3f} | {hours:,.0f} | {hours * price:,.0f} $ |"
        )
    return "\n".join(lines)


def goals(figures: Figures) -> list[Goal]:
    """Of the rate, and of the CPU time without Java's, which the load of others changes less."""
    stated = []
    for way in (PATHS, URIS):
        ratio = best_rate(figures[way]) / best_rate(figures[COMMAND_LINE])
        stated.append(Goal(f"songs a second: {way} ÷ the command line", ratio, min=GOAL_RATIO))
        cpu = min_cpu_s(figures[COMMAND_LINE]) / min_cpu_s(figures[way])
        stated.append(Goal(f"CPU time: the command line ÷ {way}", cpu, min=GOAL_RATIO))
    return stated


def min_cpu_s(runs: list[Figures]) -> float:
    return float(min(run["cpu_s"] / run["songs"] for run in runs))


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


if __name__ == "__main__":
    main()
