"""Sounds whose loud quarter is known, as tasks, with encoders of their levels; and listeners."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd

from models.bundle import Bundle, write
from models.card import Data
from tests.training.evaluation.world import make_world
from tests.training.probes.level_encoder import write_level_encoder
from tests.training.probes.test_nested import LABELS, prepare, write_sounds
from training.audio.windows import Prepared
from training.cf.als import factorize
from training.cf.logs import read_logs
from training.cf.settings import AlsSettings
from training.datasets.folds import N_FOLDS
from training.datasets.tables import add_artist_folds
from training.estimator.artist_split import items_of, split_by_artist
from training.leaderboard.cells import CellResult
from training.leaderboard.entries import Entry, Part
from training.leaderboard.grid import Job, TaskSource, judge, plan
from training.leaderboard.listeners import ListenerFiles
from training.leaderboard.settings import LeaderboardSettings

QUARTER, LOUDNESS, PITCH = "noise-quarter", "noise-loudness", "noise-pitch"
MEL = Entry(name="mel statistics", parts=(Part(source="mel statistics"),))


def write_world(folder: Path) -> None:
    """Tasks in `tasks`, encoders in `models`, and those of folds in `folds/<fold>`.

    `quarter` has the folds of the deal of artists, the other tasks folds of their own.
    """
    tracks = write_sounds(folder / "audio")
    (folder / "tasks").mkdir()
    dealt = add_artist_folds(tracks, "quarter")
    prepare(dealt, folder / "tasks" / "quarter", "classification", LABELS)
    prepare(tracks, folder / "tasks" / "loudness", "regression", ("loudness",))
    pitched = tracks.assign(label=tracks["pitched"])
    prepare(pitched, folder / "tasks" / "pitch", "classification", ("noise", "tone"))
    write_level_encoder(folder / "models" / "quarters")
    write_level_encoder(folder / "models" / "halves", sizes={"embedding": 2, "features": 2})
    for fold in range(N_FOLDS):
        sizes = {"embedding": 2, "features": 4}
        write_level_encoder(folder / "folds" / str(fold) / "quarters", sizes=sizes)


def with_data(bundle: Bundle, name: str) -> Bundle:
    """The bundle with a card that says that it was trained on a data set."""
    data = (Data(name=name, use="audio", licence="ours"),)
    made = bundle.card.provenance.model_copy(update={"data": data})
    card = bundle.card.model_copy(update={"provenance": made})
    return write(bundle.folder, card, {"model.onnx": bundle.graph_bytes(card.graph())})


def entry_of(folder: Path, name: str, output: str = "features", bundle: str = "quarters") -> Entry:
    return Entry(name=name, parts=(Part(bundle=str(folder / "models" / bundle), output=output),))


def source_of(folder: Path, *tasks: str) -> list[TaskSource]:
    return [TaskSource((folder / "tasks" / task,)) for task in tasks]


def run(
    jobs: list[Job], out: Path, settings: LeaderboardSettings | None = None
) -> dict[tuple[str, str, int], CellResult]:
    """Results by entry, task and fold."""
    results = judge(jobs, out, settings or LeaderboardSettings())
    return {(result.entry, result.task, result.fold): result for result in results}


def run_all(
    folder: Path, out: Path, entries: list[Entry], *tasks: str, folds: Sequence[int] = ()
) -> dict[tuple[str, str, int], CellResult]:
    return run(plan(entries, source_of(folder, *tasks), out, folds=folds), out)


def write_listeners(folder: Path) -> ListenerFiles:
    """Clips whose levels tell their artist's taste, logs, and factors and splits of every fold."""
    world = make_world(folder)
    listens = np.argwhere(world.logs.user_items.toarray() > 0)
    logs = pd.DataFrame(
        {
            "user_id": world.logs.users.to_numpy(str)[listens[:, 0]],
            "item_id": world.logs.items.to_numpy(str)[listens[:, 1]],
        }
    )
    logs.to_csv(folder / "logs.csv", index=False)
    recordings = folder / "recordings"
    tracks = Prepared.load(recordings).tracks
    for fold in range(N_FOLDS):
        (folder / f"fold{fold}").mkdir()
        split = split_by_artist(tracks, fold=fold)
        split.to_csv(folder / f"fold{fold}" / "split.csv", index=False)
        held_out = items_of(split, ["test"])
        kept = logs[~logs["item_id"].isin(held_out)]
        kept.to_csv(folder / f"fold{fold}" / "logs.csv", index=False)
        settings = AlsSettings(factors=8, regularization=1)
        fitted = read_logs(folder / f"fold{fold}" / "logs.csv")
        factorize(fitted, settings, check=False).save(folder / f"fold{fold}" / "factors")
    return ListenerFiles(
        recordings=(recordings,),
        factors=folder / "fold{fold}" / "factors",
        split=folder / "fold{fold}" / "split.csv",
        logs=(folder / "logs.csv",),
    )
