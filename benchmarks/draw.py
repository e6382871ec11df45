"""`docs/benchmarks.md` and the README's section, drawn from the results on the disk."""

from __future__ import annotations

import re
import sys

from benchmarks.all import BENCHMARKS
from benchmarks.embed import EMBED, main_table
from benchmarks.machine import describe
from benchmarks.processes import ROOT
from benchmarks.result import GOALS, Benchmark

DOCS, README = ROOT / "docs" / "benchmarks.md", ROOT / "README.md"
BEGIN, END = "<!-- drawn by python -m benchmarks --draw -->", "<!-- end of what is drawn -->"
PREFACE = """# Benchmarks

Drawn by `python -m benchmarks --draw` from `benchmarks/results/`, which `make bench` writes
(`make bench ONLY=start` one of them, `ONLY=overload-10min` the long one). Clients and servers
share the machine's cores, so what the clients take is missing to the servers.
"""


def goals() -> str:
    """Every ratio that has a goal, of every benchmark that has run."""
    rows = []
    for benchmark in BENCHMARKS:
        if figures := benchmark.read():
            rows += [goal.row() for goal in benchmark.goals(figures)]
    return "\n".join([GOALS, *rows])


def section(benchmark: Benchmark) -> str:
    figures = benchmark.read()
    if figures is None:
        return ""
    why = (sys.modules[benchmark.measure.__module__].__doc__ or "").strip()
    where = describe(figures["machine"])
    return f"## {benchmark.title}\n\n{why}\n\n{benchmark.table(figures)}\n\nOn {where}.\n"


def docs() -> str:
    sections = [section(benchmark) for benchmark in BENCHMARKS]
    return "\n".join([PREFACE, "## Goals\n", goals() + "\n", *filter(None, sections)])


def readme_part() -> str:
    figures = EMBED.read()
    assert figures is not None
    where = describe(figures["machine"])
    return f"{BEGIN}\nOn {where}.\n\n{main_table(figures)}\n\n{goals()}\n{END}"


def readme() -> str:
    """The README with its section drawn anew."""
    text = README.read_text()
    drawn = re.escape(BEGIN) + ".*?" + re.escape(END)
    return re.sub(drawn, lambda _: readme_part(), text, flags=re.DOTALL)


def draw() -> None:
    DOCS.write_text(docs())
    README.write_text(readme())
