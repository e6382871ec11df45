"""`python -m benchmarks`: measure all, or one; write the figures, print the tables, draw the docs.

A quick run shows that everything works, measures nothing, and writes nothing.
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


def run(benchmark: Benchmark, plan: Plan, there: Figures) -> None:
    print(f"\n## {benchmark.title}\n\n{describe(there)}\n", flush=True)
    figures = {"machine": there} | benchmark.measure(plan)
    if not plan.quick:
        benchmark.write(figures)
    print(f"\n{benchmark.table(figures)}\n")
    if rows := [goal.row() for goal in benchmark.goals(figures)]:
        print(GOALS, *rows, sep="\n", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    names = [benchmark.name for benchmark in BENCHMARKS]
    all_at_once = [benchmark.name for benchmark in BENCHMARKS if not benchmark.when_named]
    parser.add_argument("--only", choices=names, action="append")
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--minutes", type=float, default=1.0, help="of overload")
    parser.add_argument("--draw", action="store_true", help="only draw the docs anew")
    given = parser.parse_args()
    there = machine()
    if not given.draw:
        with tempfile.TemporaryDirectory() as folder:
            plan = Plan(Sounds(Path(folder)), given.quick, given.minutes)
            for benchmark in BENCHMARKS:
                if benchmark.name in (given.only or all_at_once):
                    run(benchmark, plan, there)
        print(f"\n## All goals\n\n{goals()}")
    if not given.quick:
        draw()


if __name__ == "__main__":
    main()
