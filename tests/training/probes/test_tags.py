"""Calibrated tags: each label's own probability, scaled only where held-out tracks gain by it."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnxruntime as ort
import pandas as pd
import pytest
import soundfile
from numpy.typing import NDArray
from scipy.special import expit, logit

from models.bundle import read, verify_session
from models.card import Data
from tests.bundles import AUDIO
from tests.training.probes.level_encoder import write_level_encoder
from training.datasets.prepared import TaskData, prepare_task
from training.datasets.task import Kind, Task
from training.errors import BadExport, BelowBaseline
from training.networks.bundle_outputs import bundle_outputs
from training.probes.calibrate_tags import align_targets, calibrate_tags
from training.probes.head_bundle import Destination
from training.probes.tag_calibration import (
    fit_calibration,
    fit_platt,
    held_out_probabilities,
    log_loss,
)
from training.probes.tag_metrics import calibration_error, tag_metrics

TAGS = ("loud", "even", "odd")
N_TRACKS = 120


def draw(probabilities: NDArray[np.float64], seed: int = 0) -> NDArray[np.float32]:
    """1 with that probability."""
    uniform = np.random.default_rng(seed).uniform(size=probabilities.shape)
    return (uniform < probabilities).astype(np.float32)


@pytest.fixture
def tagger() -> tuple[NDArray[np.float32], NDArray[np.float32], NDArray[np.int64]]:
    """Probabilities of 1,000 tracks and three labels, labels of another base rate, and folds."""
    logits = np.random.default_rng(0).normal(-2, 2, (1000, 3))
    targets = draw(expit(0.5 * logits + 2))
    return expit(logits).astype(np.float32), targets, np.arange(1000) % 5


def test_slope_and_offset_of_the_labels_are_found() -> None:
    logits = np.random.default_rng(0).normal(-1, 2, 50_000)
    targets = draw(expit(0.6 * logits + 1.5)).astype(np.float64)
    slope, offset = fit_platt(logits, targets)
    assert slope == pytest.approx(0.6, abs=0.03)
    assert offset == pytest.approx(1.5, abs=0.05)


def test_the_slope_is_finite_where_the_tags_divide_the_tracks_without_error() -> None:
    logits = np.linspace(-3, 3, 100)
    slope, offset = fit_platt(logits, (logits > 0).astype(np.float64))
    assert 1 < slope < 100
    assert abs(offset) < 1


def test_held_out_probabilities_are_better_calibrated(
    tagger: tuple[NDArray[np.float32], NDArray[np.float32], NDArray[np.int64]],
) -> None:
    probabilities, targets, folds = tagger
    before = tag_metrics(probabilities, targets)
    after = tag_metrics(held_out_probabilities(probabilities, targets, folds), targets)
    assert after["log loss"] < before["log loss"] - 0.3
    assert after["calibration error (15 bins)"] < 0.05 < before["calibration error (15 bins)"]
    assert after["macro AUC"] == pytest.approx(before["macro AUC"], abs=0.01)


def test_labels_of_a_fold_do_not_enter_its_probabilities(
    tagger: tuple[NDArray[np.float32], NDArray[np.float32], NDArray[np.int64]],
) -> None:
    probabilities, targets, folds = tagger
    others = targets.copy()
    others[folds == 0] = 1 - others[folds == 0]
    first, second = (held_out_probabilities(probabilities, y, folds) for y in (targets, others))
    np.testing.assert_array_equal(first[folds == 0], second[folds == 0])
    assert np.abs(first - second)[folds != 0].max() > 0.01


def test_labels_that_gain_nothing_or_have_few_tracks_stay_as_they_are(
    tagger: tuple[NDArray[np.float32], NDArray[np.float32], NDArray[np.int64]],
) -> None:
    probabilities, targets, folds = tagger
    # The second label is drawn from the probabilities themselves; the third has 19 tracks.
    targets[:, 1] = draw(probabilities[:, 1].astype(np.float64), seed=0)
    gained = targets[:, 0].copy()
    targets[:, 2] = 0
    targets[:19, 2] = 1
    calibration = fit_calibration(probabilities, targets, folds)
    assert calibration.is_calibrated[0]
    assert not calibration.is_calibrated[2]
    kept = ~calibration.is_calibrated
    assert (calibration.slopes[kept] == 1).all()
    assert (calibration.offsets[kept] == 0).all()
    np.testing.assert_allclose(
        calibration.predict(probabilities)[:, kept], probabilities[:, kept], atol=2e-6
    )
    # A label that holds where the tagger says that it does not is not turned around.
    targets[:, 0] = draw(expit(-logit(probabilities[:, 0].astype(np.float64))))
    assert not fit_calibration(probabilities, targets, folds).is_calibrated[0]
    # Unknown tracks are left out: the fit is that of the others alone.
    targets[:, 0] = gained
    targets[:500, 0] = np.nan
    of_half = fit_calibration(probabilities, targets, folds)
    alone = fit_calibration(probabilities[500:], targets[500:], folds[500:])
    assert (of_half.slopes[0], of_half.offsets[0]) == (alone.slopes[0], alone.offsets[0])


def test_metrics_are_those_of_their_definitions() -> None:
    rng = np.random.default_rng(0)
    probabilities = rng.uniform(0.05, 0.95, (100, 2)).astype(np.float32)
    targets = draw(probabilities.astype(np.float64), seed=1)
    targets[:, 1] = 0  # is not judged
    targets[:3, 0] = np.nan
    known = ~np.isnan(targets[:, 0])
    p, y = probabilities[known, 0].astype(np.float64), targets[known, 0]
    metrics = tag_metrics(probabilities, targets)
    assert metrics["log loss"] == pytest.approx(-np.log(np.where(y == 1, p, 1 - p)).mean(), 1e-6)
    above = (p[y == 1][:, None] > p[y == 0]).mean()
    assert metrics["macro AUC"] == pytest.approx(above)
    ranked = y[np.argsort(-p)]
    precision = np.cumsum(ranked) / np.arange(1, len(ranked) + 1)
    assert metrics["mean average precision"] == pytest.approx(precision[ranked == 1].mean())
    assert tag_metrics(probabilities, np.zeros((100, 2), np.float32)) == {}
    # Two bins: frequency 0.5 at 0.2, and 1 at 0.8.
    stated = np.array([0.2, 0.2, 0.8, 0.8], np.float32)
    held = np.array([0.0, 1.0, 1.0, 1.0])
    assert calibration_error(stated, held) == pytest.approx((0.6 + 0.4) / 4)


def prepare(tracks: pd.DataFrame, out: Path, labels: tuple[str, ...], kind: Kind) -> Path:
    data = (Data(name="noise", use="tags", licence="ours"),)
    task = Task(f"noise-{out.name}", "tags", kind, labels, tracks, "by artist", data)
    list(prepare_task(task, out, AUDIO, workers=1))
    return out


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tagger of three tags, and tasks of them; `odd` has too few tracks."""
    folder = tmp_path_factory.mktemp("tags")
    write_level_encoder(folder / "tagger", tags=3)
    write_level_encoder(folder / "named", tags=3, labels=TAGS)
    rng = np.random.default_rng(0)
    rows = []
    for track in range(N_TRACKS):
        levels = np.repeat(rng.uniform(0, 0.5, 2), AUDIO.window_samples // 2)
        path = folder / f"{track:03}.wav"
        soundfile.write(path, rng.uniform(-1, 1, len(levels)) * levels, AUDIO.sample_rate)
        rows.append((path.stem, str(path), f"artist {track // 2}"))
    tracks = pd.DataFrame(rows, columns=["track_id", "path", "artist"])
    encoder = read(folder / "tagger")
    unlabelled = tracks.assign(**dict.fromkeys(TAGS, 0.0))
    data = TaskData.load(prepare(unlabelled, folder / "unlabelled", TAGS, "multilabel"))
    logits = logit(bundle_outputs(encoder, data)["tags"].astype(np.float64))
    targets = draw(expit(logits + 1.3))
    targets[:, 2] = np.arange(N_TRACKS) < 15
    targets[::9, 0] = np.nan
    labelled = tracks.assign(**dict(zip(TAGS, targets.T, strict=True)))
    prepare(labelled, folder / "task", TAGS, "multilabel")
    prepare(labelled.drop(columns="loud"), folder / "two", ("odd", "even"), "multilabel")
    prepare(labelled.drop(columns=["loud", "even"]), folder / "odd", ("odd",), "regression")
    other = labelled.rename(columns={"loud": "silent"}).drop(columns=["even", "odd"])
    prepare(other, folder / "other", ("silent",), "multilabel")
    return folder


def run(content: bytes, inputs: NDArray[np.float32]) -> dict[str, NDArray[np.float32]]:
    session = ort.InferenceSession(content, providers=["CPUExecutionProvider"])
    names = [output.name for output in session.get_outputs()]
    return dict(zip(names, session.run(names, {session.get_inputs()[0].name: inputs}), strict=True))


def test_the_bundle_is_a_multilabel_classifier_that_states_what_is_calibrated(
    folder: Path, tmp_path: Path
) -> None:
    destination = Destination(tmp_path / "tags", default=False)
    made, errors = calibrate_tags(folder / "task", folder / "tagger", destination)
    card, encoder = read(tmp_path / "tags").card, read(folder / "tagger")
    assert (card.kind, card.multilabel, card.labels, card.default) == (
        "classifier",
        True,
        TAGS,
        False,
    )
    assert card.head is not None
    assert (card.head.input, card.head.encoder) == ("tags", encoder.digest)
    assert max(errors.values()) < 1e-5
    whole, head = made.graph_bytes(card.graph()), made.graph_bytes(card.head)
    verify_session(card, ort.InferenceSession(whole, providers=["CPUExecutionProvider"]))
    data = TaskData.load(folder / "task")
    tags = bundle_outputs(encoder, data)["tags"]
    probabilities = run(head, tags)["probabilities"]
    outputs = run(whole, data.prepared.waveforms(data.rows))
    np.testing.assert_allclose(outputs["probabilities"], probabilities, atol=1e-6)
    known = ~np.isnan(data.targets[:, 0])
    for label in (0, 1):
        rows = known if label == 0 else slice(None)
        targets = data.targets[rows, label].astype(np.float64)
        stated, scaled = (logit(p[rows, label].astype(np.float64)) for p in (tags, probabilities))
        assert log_loss(scaled, targets) < log_loss(stated, targets)
    np.testing.assert_allclose(probabilities[:, 2], tags[:, 2], atol=2e-6)
    metrics = card.provenance.metrics
    assert metrics["calibrated labels"] == "loud, even"
    assert metrics["labels as the encoder states them"] == "odd"
    assert float(metrics["log loss: after"] or 9) < float(metrics["log loss: before"] or 0)
    assert 0.5 < float(metrics["macro AUC"] or 0) < 1  # once: a positive slope changes no order
    assert "noise-task" in card.provenance.split
    assert "need not sum to 1" in next(t.meaning for t in card.outputs if t.name == "probabilities")


def test_labels_of_the_encoders_card_that_the_task_lacks_stay_as_they_are(
    folder: Path, tmp_path: Path
) -> None:
    made, _ = calibrate_tags(folder / "two", folder / "named", Destination(tmp_path / "tags"))
    assert made.card.labels == TAGS
    assert made.card.provenance.metrics["calibrated labels"] == "even"
    two = TaskData.load(folder / "two")
    aligned = align_targets(two, TAGS)
    assert np.isnan(aligned[:, 0]).all()
    np.testing.assert_array_equal(aligned[:, [2, 1]], two.targets)


def test_what_cannot_be_calibrated_is_refused_with_the_remedy(folder: Path, tmp_path: Path) -> None:
    def refused(match: str, task: str, encoder: str, source: str = "tags") -> None:
        destination = Destination(tmp_path / "tags")
        with pytest.raises(BadExport, match=match):
            calibrate_tags(folder / task, folder / encoder, destination, source=source)

    refused("is a regression task; give one that says of each label", "odd", "tagger")
    refused("tags has 3 outputs, and there are 2 labels", "two", "tagger")
    refused("none of the encoder's labels loud, even, odd", "other", "named")
    refused("'logits': is not one of embedding, features", "task", "tagger", "logits")
    assert not (tmp_path / "tags").exists()


def test_the_card_states_the_baseline_on_the_same_folds(folder: Path, tmp_path: Path) -> None:
    task, destination = folder / "task", Destination(tmp_path / "tags")
    made, _ = calibrate_tags(task, folder / "tagger", destination, baseline_task=task)
    metrics = made.card.provenance.metrics
    baseline = float(metrics["logistic regression on mel statistics: macro AUC"] or 0)
    assert 0 < baseline < float(metrics["macro AUC"] or 0)


def test_a_task_without_a_label_to_judge_has_no_baseline(folder: Path, tmp_path: Path) -> None:
    task, destination = folder / "unlabelled", Destination(tmp_path / "tags")
    with pytest.raises(BadExport, match="no label has 20 tracks with it and 20 without"):
        calibrate_tags(task, folder / "tagger", destination, baseline_task=task)
    assert not (tmp_path / "tags").exists()


def test_tags_that_order_tracks_no_better_than_the_baseline_are_not_written(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    task, stage = folder / "task", "training.probes.calibrate_tags"
    monkeypatch.setattr(f"{stage}._judge_baseline", lambda *_: {"macro AUC": 1.0})
    with pytest.raises(BelowBaseline, match="macro AUC"):
        calibrate_tags(task, folder / "tagger", Destination(tmp_path / "tags"), baseline_task=task)
    assert not (tmp_path / "tags").exists()
