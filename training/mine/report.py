"""Report of a run: one page, drawn from what the stages wrote."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from models.catalogue import Catalogue, Filters
from training.evaluation.report import redraw
from training.fitting.space_figures import COSINES, MAP, NEIGHBOURS
from training.mine.hearing import Heard
from training.mine.inputs import Inputs
from training.mine.judging import CHOICE
from training.mine.stages import read_json

REPORT, N_EXAMPLES, N_NEAR, N_REASONS = "report.md", 5, 3, 10
# A line of a table: a name and what is said of it.
Row = tuple[str, object]


@dataclass(frozen=True)
class Facts:
    """What the page states beside the stages' files.

    Attributes
    ----------
    title : name and version of the model
    summary : lines in words
    catalogue : of the bundle; None where none was written
    network : parts of the page, where a network was trained
    """

    title: str
    summary: Sequence[str]
    inputs: Inputs
    heard: Heard
    factors: Mapping[str, Any]
    folds: Sequence[Path]
    chosen: str
    inner: Mapping[str, float]
    catalogue: Catalogue | None
    network: Sequence[str] = ()


def write_report(folder: Path, facts: Facts) -> Path:
    """Write `report.md`, and the figure of the evaluation beside it."""
    parts = [
        f"# {facts.title}",
        *facts.summary,
        "## Songs and plays",
        _table(("", "number"), _count_rows(facts)),
        _table(("column", "name"), list(facts.inputs.guessed.items())),
    ]
    if facts.heard.refused:
        reasons = list(facts.heard.refused.items())[:N_REASONS]
        parts += ["Files that cannot be decoded:", _table(("song", "reason"), reasons)]
    parts += ["## On artists that were not heard", redraw(folder).strip()]
    parts += ["*network* is the linear model: the map on the encoder chosen in each fold."]
    parts += ["![Evaluation on held-out artists](evaluation.svg)", *facts.network]
    parts += ["## Choices", _describe_choices(facts)]
    search = facts.factors["search"]
    parts += ["Held-out plays, nDCG@10, by weight of an entry and penalty:", _search_table(search)]
    if (folder / MAP).exists():
        parts += ["## Vectors", f"![Map of the songs by artist]({MAP}) ![Cosines]({COSINES})"]
        parts += [f"Nearest songs of some: [{NEIGHBOURS}]({NEIGHBOURS})"]
    if facts.catalogue is not None:
        parts += ["## Neighbours", _neighbours(facts.catalogue)]
    path = folder / REPORT
    path.write_text("\n\n".join(parts) + "\n")
    return path


def _count_rows(facts: Facts) -> list[Row]:
    inputs, heard = facts.inputs, facts.heard
    rows: list[Row] = [
        ("songs with audio", len(inputs.tracks)),
        ("songs that could be decoded", len(heard.tracks)),
        ("items played", len(inputs.logs.items)),
        ("songs with audio and plays", inputs.n_both),
        ("users", len(inputs.logs.users)),
        ("users and items that met", inputs.logs.user_items.nnz),
    ]
    return rows + [(f"left out: {reason}", count) for reason, count in inputs.left_out.items()]


def _describe_choices(facts: Facts) -> str:
    """User AUC of every candidate in the inner folds, of each fold and of all songs."""
    choices = [read_json(fold / CHOICE) for fold in facts.folds if (fold / CHOICE).exists()]
    heading = ("candidate", *(f"without fold {index}" for index in range(len(choices))), "all")
    lines = []
    for name, user_auc in facts.inner.items():
        by_fold = [f"{choice['user_auc'][name]:.3f}" for choice in choices]
        label = f"**{name}**" if name == facts.chosen else name
        lines.append((label, *by_fold, f"{user_auc:.3f}"))
    return "User AUC over inner folds of artists, which chooses the encoder:\n\n" + _table(
        heading, lines
    )


def _search_table(search: Sequence[Mapping[str, Any]]) -> str:
    rows = [
        (row["weight"], f"{row['regularization']:g}", f"{row['ndcg_at_10']:.3f}") for row in search
    ]
    return _table(("weight", "penalty", "nDCG@10"), rows)


def _neighbours(catalogue: Catalogue) -> str:
    """The nearest songs of some, as `/similar` answers."""
    step = max(1, len(catalogue) // N_EXAMPLES)
    rows = []
    for position in range(0, len(catalogue), step)[:N_EXAMPLES]:
        seed = catalogue.vectors[position : position + 1]
        hits = catalogue.search(seed, Filters(limit=N_NEAR), seed_positions=[position])
        near = ", ".join(f"{hit.track_id} ({hit.cosine:.2f})" for hit in hits)
        rows.append((catalogue.columns["track_id"][position].as_py(), near))
    return _table(("song", "nearest, by the cosine of those who listen"), rows)


def _table(heading: Sequence[str], rows: Sequence[Sequence[object]]) -> str:
    lines = ["| " + " | ".join(heading) + " |", "|---" * len(heading) + "|"]
    cells = (" | ".join(str(cell).replace("|", "\\|") for cell in row) for row in rows)
    return "\n".join([*lines, *(f"| {line} |" for line in cells)])
