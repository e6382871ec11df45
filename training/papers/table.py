"""A table of a paper on tasks of one's own: tasks × features, by the paper's classifier."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np

from training.datasets.artist_key import artist_key
from training.datasets.prepared import TaskData, check_same_tracks
from training.errors import BadColumns, BadDataset, MissingInput
from training.evaluation.sets import EvaluationSets
from training.networks.inference import Track
from training.papers.classifiers import CLASSIFIERS, Clips
from training.papers.columns import Column, Source, patch_vectors
from training.papers.settings import TABLES, PaperTable
from training.tables.measures import read_measures, write_measures
from training.transfer.results import read_results

TABLE = "report.md"
DIRECT = "base"
Tell = Callable[[str], None]


def run(
    name: str,
    columns: Sequence[Column],
    tasks: Sequence[Path],
    out: Path,
    *,
    folds: Sequence[int] = (),
    direct: Path | None = None,
    track: Track = lambda label, starts: starts,
    tell: Tell = lambda text: None,
) -> str:
    """Judge the columns on every task, and write `measures.json` and the table, which is returned.

    Parameters
    ----------
    name : of `TABLES`
    tasks : folders of `dataset` of whole windows, of classification tasks; folders of one task hold
        the same tracks for encoders of other sample rates
    folds : that are held out in turn; default: all of a task
    direct : folder of `compare` with results of `base`, which are the first column
    tell : called with each result

    Raises
    ------
    MissingInput, BadColumns, BadDataset, BadEncoder, BundleError, HeardArtists, OtherAudio,
    OtherPatches, OtherTracks
    """
    paper = TABLES[name]
    names = [*([paper.columns[0]] if direct else []), *(column.name for column in columns)]
    if not names or len(set(names)) < len(names):
        raise BadColumns(f"{', '.join(names) or 'there are none'}; give each a name of its own")
    found: dict[str, dict[str, Any]] = {}
    for task, folders in _group(tasks).items():
        found[task] = _judge_task(folders, paper, columns, folds, direct, names, track, tell)
    content = {
        "table": name,
        "columns": names,
        "outputs": {column.name: [asdict(part) for part in column.outputs] for column in columns},
        "tasks": found,
    }
    write_measures(out, content)
    return redraw(out)


def _group(tasks: Sequence[Path]) -> dict[str, list[Path]]:
    """Task name → its folders.

    Raises
    ------
    BadDataset
        If a task is not of classification.
    """
    groups: dict[str, list[Path]] = {}
    for folder in tasks:
        facts = TaskData.load(folder).facts
        if facts.kind != "classification":
            raise BadDataset(facts.name, f"is of {facts.kind}, and the tables are of accuracy")
        groups.setdefault(facts.name, []).append(folder)
    return groups


def _judge_task(
    folders: Sequence[Path],
    paper: PaperTable,
    columns: Sequence[Column],
    folds: Sequence[int],
    direct: Path | None,
    names: Sequence[str],
    track: Track,
    tell: Tell,
) -> dict[str, Any]:
    data = TaskData.load(folders[0])
    for folder in folders[1:]:
        check_same_tracks(data, TaskData.load(folder))
    sets = EvaluationSets.load(folders)
    chosen = list(folds) or list(range(data.n_folds))
    accuracy: dict[str, list[float]] = {}
    if direct:
        accuracy[names[0]] = _read_direct(direct, data.facts.name, chosen)
    for column in columns:
        accuracy[column.name] = [
            _judge_fold(data, sets, paper, column, fold, track) for fold in chosen
        ]
        tell(f"{data.facts.name}, {column.name}: {_draw_cell(accuracy[column.name])}")
    artists = data.prepared.tracks["artist"]
    shares = np.bincount(np.asarray(data.targets, np.int64)) / len(artists)
    return {
        "n_tracks": len(artists),
        "n_artists": int(artists[artists != ""].nunique()),
        "largest_class": float(shares.max()),
        "folds": chosen,
        "split": data.facts.split,
        "accuracy": accuracy,
    }


def _judge_fold(
    data: TaskData,
    sets: EvaluationSets,
    paper: PaperTable,
    column: Column,
    fold: int,
    track: Track,
) -> float:
    """Accuracy on a fold, the mean over the classifier's runs."""
    parts = data.parts(fold)
    artists = data.prepared.tracks.loc[parts == "test", "artist"].map(artist_key)
    inputs = []
    for output in column.outputs:
        source = Source.load(output.of_fold(fold))
        source.refuse_heard(artists)
        inputs.append(patch_vectors(source, output.name, sets, track))
    clips = Clips(inputs, np.asarray(data.targets, np.int64), parts)
    expected = clips.classes[clips.is_test]
    return float(
        np.mean([(found == expected).mean() for found in CLASSIFIERS[paper.classifier](clips)])
    )


def _read_direct(folder: Path, task: str, folds: Sequence[int]) -> list[float]:
    """Accuracy of networks that `compare` has trained on each fold, the mean over seeds.

    Raises
    ------
    MissingInput
        If a fold has no result.
    """
    results = [found for found in read_results(folder) if found.task == task]
    of_folds = [
        [found.measure for found in results if (found.method, found.fold) == (DIRECT, fold)]
        for fold in folds
    ]
    if not all(of_folds):
        raise MissingInput(folder, f"tasteprint-train compare --methods {DIRECT}")
    return [float(np.mean(values)) for values in of_folds]


def redraw(folder: Path) -> str:
    """Write the table of earlier results again, and return it.

    Raises
    ------
    MissingInput
    """
    table = draw_table(read_measures(folder, "paper-table", "table", "columns", "tasks"))
    (folder / TABLE).write_text(table)
    return table


def draw_table(content: Mapping[str, Any]) -> str:
    """Markdown: a row for each task, a column for each set of features; then the paper's own."""
    paper, columns = TABLES[content["table"]], content["columns"]
    lines = [
        f"# {paper.title}",
        "",
        f"In the form of {paper.source}. Accuracy, the mean over held-out folds ± their standard "
        "deviation.",
        "",
        "| task | clips | artists | folds | largest class | " + " | ".join(columns) + " |",
        "|---" * (5 + len(columns)) + "|",
    ]
    for name, task in content["tasks"].items():
        counts = (task["n_tracks"], task["n_artists"] or "unknown", len(task["folds"]))
        cells = [_draw_cell(task["accuracy"][column]) for column in columns]
        first = [name, *map(str, counts), f"{task['largest_class']:.3f}"]
        lines.append("| " + " | ".join([*first, *cells]) + " |")
    lines += _draw_stated(paper)
    return "\n".join(lines) + "\n"


def _draw_stated(paper: PaperTable) -> list[str]:
    """The paper's own numbers, as they stand there: on other data, and of other sizes."""
    if not paper.stated:
        return ["", "The paper draws its results as figures, without numbers."]
    lines = [
        "",
        "In the paper, on other data:",
        "",
        "| task | " + " | ".join(paper.columns) + " |",
        "|---" * (1 + len(paper.columns)) + "|",
    ]
    for task, values in paper.stated.items():
        lines.append(f"| {task} | " + " | ".join(f"{value:.3f}" for value in values) + " |")
    return lines


def _draw_cell(values: Sequence[float]) -> str:
    mean = f"{np.mean(values):.3f}"
    return mean if len(values) == 1 else f"{mean} ± {np.std(values):.3f}"
