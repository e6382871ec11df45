"""Run the benchmarks: measure all or some, write the figures, print the tables, draw the docs.

`--quick` only checks that every benchmark works; it writes nothing.
"""

from __future__ import annotations

import argparse
import tempfile
from pathlib import Path

from benchmarks.all import BENCHMARKS
from benchmarks.draw import draw, goals
from benchmarks.machine import describe, machine
from benchmarks.result import GOALS, Benchmark, Figures, Plan
from benchmarks.sounds import Sounds


def run(benchmark: Benchmark, plan: Plan, this_machine: Figures) -> None:
    print(f"\n## {benchmark.title}\n\n{describe(this_machine)}\n", flush=True)
    figures = {"machine": this_machine} | benchmark.measure(plan)
    if not plan.quick:
        benchmark.write(figures)
    print(f"\n{benchmark.table(figures)}\n")
    if rows := [goal.row() for goal in benchmark.goals(figures)]:
        print(GOALS, *rows, sep="\n", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    names = [benchmark.name for benchmark in BENCHMARKS]
    by_default = [benchmark.name for benchmark in BENCHMARKS if not benchmark.when_named]
    parser.add_argument("--only", choices=names, action="append")
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--minutes", type=float, default=1.0, help="length of the overload")
    parser.add_argument(
        "--draw", action="store_true", help="only redraw README.md and docs/benchmarks.md"
    )
    given = parser.parse_args()
    if not given.draw:
        measure(given.only or by_default, given.quick, given.minutes)
    if not given.quick:
        draw()


def measure(names: list[str], quick: bool, minutes: float) -> None:
    this_machine = machine()
    with tempfile.TemporaryDirectory() as folder:
        plan = Plan(Sounds(Path(folder)), quick, minutes)
        for benchmark in BENCHMARKS:
            if benchmark.name in names:
                run(benchmark, plan, this_machine)
    print(f"\n## All goals\n\n{goals()}")


if __name__ == "__main__":
    main()
