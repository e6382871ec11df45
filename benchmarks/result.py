"""Benchmark: its figures on disk, its table, and the ratios that have a goal."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks.sounds import Sounds

Figures = dict[str, Any]
RESULTS = Path(__file__).parent / "results"


@dataclass(frozen=True)
class Plan:
    """How much to measure.

    Attributes
    ----------
    quick : a tiny run that checks that the benchmark works, and measures nothing
    minutes : length of the overload
    """

    sounds: Sounds
    quick: bool = False
    minutes: float = 1.0

    def of(self, count: int, quick: int) -> int:
        return quick if self.quick else count


@dataclass(frozen=True)
class Goal:
    """A figure with a lower or an upper bound."""

    what: str
    value: float
    min: float | None = None
    max: float | None = None
    unit: str = ""

    @property
    def met(self) -> bool:
        return (self.min is None or self.value >= self.min) and (
            self.max is None or self.value <= self.max
        )

    def row(self) -> str:
        digits = next(3 - power for power in (3, 2, 1, 0) if self.value >= 10**power or not power)
        aim = f"≥ {self.min:g}" if self.min is not None else f"≤ {self.max:g}"
        space = " " if self.unit else ""
        value = f"{self.value:.{digits}f}{space}{self.unit}"
        met = "yes" if self.met else "**no**"
        return f"| {self.what} | {value} | {aim}{space}{self.unit} | {met} |"


GOALS = "| | measured | goal | met |\n|---|---|---|---|"


@dataclass(frozen=True)
class Benchmark:
    """One benchmark: `measure` runs it, `table` and `goals` read its figures.

    Attributes
    ----------
    when_named : takes long, and runs only if selected by `--only`
    """

    name: str
    title: str
    measure: Callable[[Plan], Figures]
    table: Callable[[Figures], str]
    goals: Callable[[Figures], list[Goal]] = lambda figures: []
    when_named: bool = False

    @property
    def path(self) -> Path:
        return RESULTS / f"{self.name}.json"

    def read(self) -> Figures | None:
        """The figures of the last run; None without one."""
        if not self.path.exists():
            return None
        figures: Figures = json.loads(self.path.read_text())
        return figures

    def write(self, figures: Figures) -> None:
        self.path.parent.mkdir(exist_ok=True)
        self.path.write_text(json.dumps(rounded(figures), indent=1) + "\n")


def rounded(value: Any) -> Any:
    """Round floats to four significant digits; more would be noise."""
    if isinstance(value, dict):
        return {name: rounded(part) for name, part in value.items()}
    if isinstance(value, list | tuple):
        return [rounded(part) for part in value]
    return float(f"{value:.4g}") if isinstance(value, float) else value
