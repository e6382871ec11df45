"""MusiCNN's tables of docs/musicnn.md and docs/precision.md: `python -m docs.musicnn_page`.

Patches are drawn from the measured figures, the agreement of the int8 graph from its description.
"""

from __future__ import annotations

import json
import re
from pathlib import Path

import numpy as np

from benchmarks.machine import BUSY
from benchmarks.patch_choice import BUNDLE, QUESTIONS, RESULT
from benchmarks.result import Figures
from docs import card_tables
from docs.card_tables import floor_agreement
from models.bundle import read
from models.card import Agreement, Patches

PAGE, PRECISION = (Path(__file__).parent / name for name in ("musicnn.md", "precision.md"))
BEGIN, END = "<!-- drawn by python -m docs.musicnn_page -->", "<!-- end of the drawn part -->"


def table(figures: Figures, shipped: Patches) -> str:
    """One row per choice of patches, the fastest first; the shipped one is bold.

    Cells of a task are the mean over the folds and, in brackets, the mean difference to the shipped
    choice with its standard error over the folds.
    """
    rows = sorted(figures["rows"], key=lambda row: float(row["ms"]))
    reference = next(row for row in rows if is_choice(row, shipped))
    titles = [QUESTIONS[name].title for name in reference["scores"]]
    header = ["patches", "CPU ms", *titles]
    lines = [f"| {' | '.join(header)} |", "|" + "---|" * len(header)]
    for row in rows:
        cells = [f"{row['count']} × {row['seconds']:g} s", f"{row['ms']:.0f}"]
        if row is reference:
            cells += [f"{np.mean(scores):.3f}" for scores in row["scores"].values()]
            cells = [f"**{cell}**" for cell in cells]
        else:
            cells += [
                compare(scores, reference["scores"][name]) for name, scores in row["scores"].items()
            ]
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines)


def is_choice(row: Figures, patches: Patches) -> bool:
    return bool(row["count"] == len(patches.starts_s) and row["seconds"] == patches.seconds)


def compare(scores: list[float], reference: list[float]) -> str:
    """Mean over the folds, with the mean difference to a reference and its standard error."""
    differences = np.subtract(scores, reference)
    error = differences.std(ddof=1) / np.sqrt(len(differences))
    signed = f"{differences.mean():+.3f}".replace("-", "−")
    return f"{np.mean(scores):.3f} ({signed} ± {error:.3f})"


def describe(facts: Figures) -> str:
    """Where and when it was measured, and what else the machine did."""
    vectors = "AVX-512" if facts["avx512"] else "no AVX-512"
    text = f"One thread of {facts['cpu']} ({vectors}), float32, {facts['date']}"
    load = facts["load_before"]
    if load is None:
        return f"{text}; **{facts['note']}**."
    if load > BUSY * facts["cores"]:
        return f"{text}; **the machine was shared** (load {load:.1f} before the run)."
    return f"{text}."


def agreement_table(agreement: Agreement) -> str:
    """One row per output, rounded down."""
    rows = (
        [f"`{name}`", floor_agreement(cosine.mean), floor_agreement(cosine.least)]
        for name, cosine in agreement.outputs.items()
    )
    header = f"output | mean of {agreement.windows} recordings | minimum"
    return card_tables.table(header, rows).strip()


def page() -> str:
    """docs/musicnn.md with its table redrawn."""
    figures = json.loads(RESULT.read_text())
    patches = read(BUNDLE).card.audio.patches
    assert patches
    return redraw(PAGE, f"{table(figures, patches)}\n\n{describe(figures['machine'])}")


def precision_page() -> str:
    """docs/precision.md with the table of MusiCNN redrawn."""
    agreement = read(BUNDLE).card.graph("int8").agreement
    assert agreement
    return redraw(PRECISION, agreement_table(agreement))


def redraw(path: Path, drawn: str) -> str:
    pattern = re.escape(BEGIN) + ".*?" + re.escape(END)
    return re.sub(pattern, lambda _: f"{BEGIN}\n{drawn}\n{END}", path.read_text(), flags=re.DOTALL)


if __name__ == "__main__":
    PAGE.write_text(page())
    PRECISION.write_text(precision_page())
