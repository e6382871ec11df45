"""`docs/benchmarks.md`, and the five figures of the README, drawn from the results on disk."""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator

from benchmarks.all import BENCHMARKS
from benchmarks.cached import CACHED
from benchmarks.embed import EMBED
from benchmarks.latency import LATENCY
from benchmarks.machine import describe
from benchmarks.processes import ROOT
from benchmarks.result import GOALS, Benchmark, Figures, Goal
from benchmarks.sounds import CLIP_S, NAMES, SONG_S
from benchmarks.start import START

DOCS, README = ROOT / "docs" / "benchmarks.md", ROOT / "README.md"
BEGIN, END = "<!-- drawn by python -m benchmarks --draw -->", "<!-- end of the drawn part -->"
PREFACE = """# Benchmarks

`make bench` measures in twenty minutes (`make bench ONLY=start` runs one benchmark,
`ONLY=overload-10min` the long one) and writes `benchmarks/results/`, from which
`python -m benchmarks --draw` draws this page. Clients and servers share the machine's cores, so the
CPU time of the clients is missing to the servers.

The *baseline* is FastAPI, `librosa.load` and eager torch with the same weights. *In process* is the
same decoding and inference on every core without HTTP: the limit of the machine.
"""


def every_goal() -> list[Goal]:
    """The ratios that have a goal, of every benchmark that has run."""
    return [
        goal
        for benchmark in BENCHMARKS
        if (figures := benchmark.read())
        for goal in benchmark.goals(figures)
    ]


def goals() -> str:
    return "\n".join([GOALS, *(goal.row() for goal in every_goal())])


def section(benchmark: Benchmark) -> str:
    figures = benchmark.read()
    if figures is None:
        return ""
    method = (sys.modules[benchmark.measure.__module__].__doc__ or "").strip()
    machine = describe(figures["machine"])
    return f"## {benchmark.title}\n\n{method}\n\n{benchmark.table(figures)}\n\nOn {machine}.\n"


def docs() -> str:
    sections = [section(benchmark) for benchmark in BENCHMARKS]
    return "\n".join([PREFACE, "## Goals\n", goals() + "\n", *filter(None, sections)])


def readme_rows() -> Iterator[str]:
    """The figures that a user asks for first, one row each."""
    embed, cached, latency, start = map(_figures, (EMBED, CACHED, LATENCY, START))
    for length in (NAMES[CLIP_S], NAMES[SONG_S]):
        row = _row(embed, length=length, format="mp3")
        served = row["service_per_s"]
        yield (
            f"| throughput, {length}s, MP3 | {served:.1f} requests/s: "
            f"{served / row['limit_per_s']:.2f} of the machine's limit, "
            f"{served / row['afternoon_per_s']:.1f} × the baseline server |"
        )
    half = _row(latency, load=0.5)
    ms = half["latency_ms"]
    yield (
        f"| latency at half load ({half['per_second']:.0f} clips/s) "
        f"| {ms['p50']:.0f} ms median, {ms['p99']:.0f} ms p99 |"
    )
    hits = _row(cached, length=NAMES[CLIP_S], how="multipart")["cached_per_s"]
    yield f"| cached answers, {NAMES[CLIP_S]}s | {hits:.0f} requests/s |"
    (ready,) = START.goals(start)
    yield (
        f"| start to ready; memory under load | {ready.value:.1f} s; "
        f"{start['loaded_mb'][1]:.0f} MB with decoder processes{_elsewhere(start)} |"
    )


def _elsewhere(figures: Figures) -> str:
    """CPU and date of figures that were not measured with those of the throughput."""
    stated, machine = _figures(EMBED)["machine"], figures["machine"]
    if (stated["cpu"], stated["date"][:10]) == (machine["cpu"], machine["date"][:10]):
        return ""
    return f" ({machine['cpu']}, {machine['date'][:10]})"


def _figures(benchmark: Benchmark) -> Figures:
    figures = benchmark.read()
    assert figures is not None
    return figures


def _row(figures: Figures, **wanted: object) -> Figures:
    rows: list[Figures] = figures["rows"]
    return next(row for row in rows if wanted.items() <= row.items())


def readme_part() -> str:
    measured = every_goal()
    met = sum(goal.met for goal in measured)
    lines = [
        BEGIN,
        "| | measured |\n|---|---|",
        *readme_rows(),
        f"\nOn {describe(_figures(EMBED)['machine'], packages=False)}.\n",
        "The limit is decoding and inference in process, without HTTP; the baseline is FastAPI,",
        f"`librosa.load` and eager torch. {met} of {len(measured)} performance goals are met:",
        "[all figures](docs/benchmarks.md).",
        END,
    ]
    return "\n".join(lines)


def readme() -> str:
    """The README with its figures redrawn."""
    drawn = re.escape(BEGIN) + ".*?" + re.escape(END)
    return re.sub(drawn, lambda _: readme_part(), README.read_text(), flags=re.DOTALL)


def draw() -> None:
    DOCS.write_text(docs())
    README.write_text(readme())
