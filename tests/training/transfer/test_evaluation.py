"""Metrics of several labels are means over the labels that enough test tracks have."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from sklearn.metrics import roc_auc_score

from tests.bundles import AUDIO, write_bundle
from tests.sounds import golden, write
from training.datasets.prepared import prepare_task
from training.datasets.task import Task
from training.errors import BadDataset
from training.transfer.evaluation import MIN_LABEL_TRACKS, score
from training.transfer.grid import compare
from training.transfer.results import Cell
from training.transfer.settings import MEASURE, TransferSettings
from training.transfer.sources import Sources


def ranked(n_tracks: int = 40) -> tuple[np.ndarray, np.ndarray]:
    """Three labels of half of the tracks: ranked rightly, at random, and in reverse."""
    rng = np.random.default_rng(0)
    targets = (rng.permuted(np.arange(n_tracks)) % 2).astype(np.float32)
    scores = np.stack([targets, rng.random(n_tracks), -targets], 1) + 0.1 * rng.random(
        (n_tracks, 3)
    )
    return np.stack([targets] * 3, 1), scores.astype(np.float32)


def test_each_label_counts_alike() -> None:
    targets, scores = ranked()
    by_label = [score("multilabel", targets[:, [n]], scores[:, [n]]) for n in range(3)]
    assert by_label[0]["mean_average_precision"] == by_label[0]["macro_roc_auc"] == 1.0
    assert by_label[2]["macro_roc_auc"] == 0.0
    assert by_label[1]["macro_roc_auc"] == pytest.approx(roc_auc_score(targets[:, 1], scores[:, 1]))
    metrics = score("multilabel", targets, scores)
    for name in ("mean_average_precision", "macro_roc_auc"):
        assert metrics[name] == pytest.approx(np.mean([found[name] for found in by_label]))
    assert metrics["judged_labels"] == 3
    assert MEASURE["multilabel"] in metrics


@pytest.mark.parametrize("value", [0, 1])
def test_labels_that_too_few_tracks_have_or_lack_do_not_count(value: int) -> None:
    targets, scores = ranked()
    expected = score("multilabel", targets[:, :1], scores[:, :1])
    targets[:, 1:] = 1 - value
    targets[: MIN_LABEL_TRACKS - 1, 1:] = value
    assert score("multilabel", targets, scores) == expected
    targets[MIN_LABEL_TRACKS - 1, 1] = value
    assert score("multilabel", targets, scores)["judged_labels"] == 2
    with pytest.raises(BadDataset, match="no label is on 5 of the tracks or more"):
        score("multilabel", targets[:, 2:], scores[:, 2:])


def test_transfer_methods_refuse_a_task_of_several_labels(tmp_path: Path) -> None:
    write_bundle(tmp_path, "levels")
    targets, _ = ranked(10)
    sound = write(tmp_path / "sound.wav", golden(1.0, AUDIO.sample_rate, 1), AUDIO.sample_rate)
    rows = {"track_id": [f"t{n}" for n in range(10)], "path": str(sound), "artist": ""}
    tracks = pd.DataFrame(rows).assign(loud=targets[:, 0], long=1 - targets[:, 0])
    task = Task("tags", "tags", "multilabel", ("loud", "long"), tracks, "at random", ())
    list(prepare_task(task, tmp_path / "task", AUDIO, workers=1))
    cells = [Cell("linear on features", 32, 0, 0)]
    sources = Sources(tmp_path / "task", tmp_path / "levels")
    with pytest.raises(BadDataset, match="several labels each"):
        list(compare(sources, tmp_path, cells, TransferSettings()))
