"""A probe's ONNX graphs predict what scikit-learn predicts, from waveform and encoder output."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import onnxruntime as ort
import pandas as pd
import pytest
import soundfile
from numpy.typing import NDArray
from scipy.special import softmax

from models.bundle import read, verify_session
from models.card import Data
from tests.bundles import AUDIO, write_bundle, write_task
from training.datasets.prepared import TaskData, prepare_task
from training.datasets.task import Kind, Task
from training.errors import BadExport, BadTeacher, ParityFailed
from training.networks.bundle_outputs import bundle_outputs
from training.probes.head_bundle import Destination
from training.probes.head_graph import add_head, check_graph
from training.probes.models import RECIPES, fit_probe
from training.probes.probe import probe
from training.probes.search import SearchSpace, assign_inner_folds, fit_best
from training.probes.settings import KINDS, ProbeSettings
from training.probes.sklearn_to_onnx import to_head
from training.transfer.results import Cell, read_results

# Not in the order of the alphabet; a track is loud in the quarter that its label names.
LABELS = ("third", "first", "second")
QUARTERS = {"first": 0, "second": 1, "third": 2}
TARGETS = ("early", "late")
N_ARTISTS = 20
ALL_KINDS = [(task_kind, kind) for task_kind in KINDS for kind in KINDS[task_kind]]
# Fixed first hyperparameter of each kind, where the test is not about its choice.
STRENGTH = {"mlp": 1.0, "ridge": 1.0}


def sounds(folder: Path) -> pd.DataFrame:
    """Noise of a second, two tracks an artist; `label`, `early` and `late` say how it goes."""
    rng = np.random.default_rng(0)
    rows = []
    for track in range(2 * N_ARTISTS):
        label = LABELS[track % 3]
        levels = rng.uniform(0.05, 0.15, 4)
        levels[QUARTERS[label]] += 0.4
        noise = rng.uniform(-1, 1, AUDIO.window_samples) * np.repeat(levels, 2000)
        path = folder / f"{track:02}.wav"
        soundfile.write(path, noise, AUDIO.sample_rate)
        rows.append(
            (path.stem, str(path), f"artist {track // 2}", label, levels[0], 10 * levels[2])
        )
    return pd.DataFrame(rows, columns=["track_id", "path", "artist", "label", *TARGETS])


def task_of(
    tracks: pd.DataFrame, task_kind: Kind, out: Path, labels: tuple[str, ...] = LABELS
) -> Path:
    data = (Data(name="noise", use="audio and labels", licence="ours"),)
    tracks = tracks.drop(columns=[*TARGETS] if task_kind == "classification" else ["label"])
    task = Task(f"noise-{task_kind}", "mood", task_kind, labels, tracks, "by artist", data)
    list(prepare_task(task, out, AUDIO, workers=1))
    return out


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An encoder, the sounds, and the two tasks."""
    folder = tmp_path_factory.mktemp("probe")
    write_bundle(folder, "levels")
    tracks = sounds(folder)
    task_of(tracks, "classification", folder / "classification")
    task_of(tracks, "regression", folder / "regression", TARGETS)
    # One class has tracks in the first fold alone.
    folds = (np.arange(len(tracks)) // 2) % 4 + 1
    rare = tracks.assign(fold=np.where(tracks["label"] == "second", 0, folds))
    task_of(rare, "classification", folder / "rare")
    return folder


def run(content: bytes, inputs: NDArray[np.float32]) -> dict[str, NDArray[np.float32]]:
    session = ort.InferenceSession(content, providers=["CPUExecutionProvider"])
    names = [output.name for output in session.get_outputs()]
    answers = session.run(names, {session.get_inputs()[0].name: inputs})
    return dict(zip(names, answers, strict=True))


@pytest.mark.parametrize(("task_kind", "kind"), ALL_KINDS)
def test_the_bundle_is_accepted_and_its_head_predicts_as_the_whole_graph(
    task_kind: Kind, kind: str, folder: Path, tmp_path: Path
) -> None:
    source = "embedding" if kind == "rbf-svm" else "features"
    made, errors = probe(
        [folder / task_kind],
        [folder / "levels"],
        Destination(tmp_path / "mood"),
        tmp_path / "results",
        ProbeSettings(kind, source, STRENGTH.get(kind, 10.0)),
    )
    written, encoder = read(tmp_path / "mood"), read(folder / "levels")
    assert written.digest == made.digest
    assert max(errors.values()) < 1e-5
    assert written.card.head is not None
    whole, head = written.graph_bytes(written.card.graph()), written.graph_bytes(written.card.head)
    verify_session(written.card, ort.InferenceSession(whole, providers=["CPUExecutionProvider"]))
    assert (written.card.head.input, written.card.head.encoder) == (source, encoder.digest)
    data = TaskData.load(folder / task_kind)
    outputs = run(whole, data.prepared.waveforms(data.rows))
    name = "probabilities" if task_kind == "classification" else "values"
    assert list(outputs) == [name, "embedding", "features"]
    np.testing.assert_allclose(run(head, outputs[source])[name], outputs[name], atol=1e-6)
    np.testing.assert_allclose(outputs[source], bundle_outputs(encoder, data)[source], atol=1e-6)
    if task_kind == "classification":  # the labels are in the card's order
        np.testing.assert_allclose(outputs[name].sum(1), 1, atol=1e-6)
        assert (outputs[name].argmax(1) == data.targets).mean() > 0.95
    else:
        assert np.corrcoef(outputs[name][:, 1], data.targets[:, 1])[0, 1] > 0.9
        assert abs(outputs[name] - data.targets).mean() < 0.3


@pytest.mark.parametrize("n_classes", [2, 3])
@pytest.mark.parametrize("kind", RECIPES["classification"])
def test_probabilities_are_those_of_scikit_learn(kind: str, n_classes: int) -> None:
    rng = np.random.default_rng(0)
    inputs = np.asarray(rng.standard_normal((90, 5)) * [1, 10, 0.1, 1, 1] + 3, np.float32)
    targets = (inputs[:, 0] + rng.standard_normal(90) > 3).astype(np.int64)
    targets[:20] = n_classes - 1
    folds = np.arange(90) % 4
    strength = 1000.0 if kind == "rbf-svm" else 1.0  # float32 would not be exact enough
    space = SearchSpace({"features": inputs}, [kind], "classification", strength)
    _, fitted = fit_best(space, targets, folds, n_classes)
    exact = inputs.astype(np.float64)
    if "svm" in kind:
        margins = fitted.pipeline.decision_function(exact)
        logits = margins if n_classes > 2 else np.stack([np.zeros(90), margins], 1)
    else:
        logits = np.log(fitted.pipeline.predict_proba(exact))
    wanted = softmax(logits / fitted.temperature, axis=1)
    head = to_head(fitted, "features", 5, "probabilities")
    np.testing.assert_allclose(run(head, inputs)["probabilities"], wanted, atol=2e-6)
    np.testing.assert_allclose(fitted.predict(inputs), wanted, atol=1e-6)


@pytest.mark.parametrize("n_targets", [1, 3])
@pytest.mark.parametrize("kind", RECIPES["regression"])
def test_values_are_those_of_scikit_learn_in_the_targets_own_unit(
    kind: str, n_targets: int
) -> None:
    rng = np.random.default_rng(0)
    inputs = rng.standard_normal((60, 5)).astype(np.float32)
    targets = np.asarray(inputs[:, :n_targets] * 100 + 1000, np.float32)
    recipe = RECIPES["regression"][kind]
    settings = {name: choices[1] for name, choices in recipe.grid.items()}
    fitted = fit_probe(recipe, settings, inputs, targets, n_targets, seed=0)
    standard = fitted.pipeline.predict(inputs).reshape(60, n_targets)
    wanted = standard * targets.std(0) + targets.mean(0)
    values = run(to_head(fitted, "features", 5, "values"), inputs)["values"]
    np.testing.assert_allclose(values, wanted, rtol=1e-5)


@pytest.mark.parametrize(("task_kind", "kind"), ALL_KINDS)
def test_rounding_of_dead_channels_changes_no_prediction(task_kind: Kind, kind: str) -> None:
    """A channel that is constant but for its last digits; another runtime rounds it otherwise."""
    rng = np.random.default_rng(0)
    inputs = rng.standard_normal((60, 6)).astype(np.float32)
    inputs[:, 3:] = np.array([0.02, 1e-7, 300], np.float32) * (1 + 1e-6 * inputs[:, 3:])
    targets = (inputs[:, 0] > 0).astype(np.int64)
    values = inputs[:, :2] if task_kind == "regression" else targets
    recipe = RECIPES[task_kind][kind]
    settings = {name: choices[-1] for name, choices in recipe.grid.items()}
    fitted = fit_probe(recipe, settings, inputs, values, 2, seed=0)
    rounded = inputs.copy()
    rounded[:, 3:] = rounded[:, 3:].mean(0)
    predicted = fitted.predict(inputs)
    np.testing.assert_allclose(fitted.predict(rounded), predicted, atol=5e-3)
    name = "values" if task_kind == "regression" else "probabilities"
    head = to_head(fitted, "features", 6, name)
    np.testing.assert_allclose(run(head, inputs)[name], predicted, atol=2e-4)


def test_the_whole_graph_keeps_the_encoders_weights_and_another_head_is_refused(
    folder: Path,
) -> None:
    encoder, data = read(folder / "levels"), TaskData.load(folder / "classification")
    inputs = bundle_outputs(encoder, data)["features"]
    recipe = RECIPES["classification"]["logistic"]
    one, other = (
        fit_probe(recipe, {"C": c}, inputs, data.targets, len(LABELS), seed=0) for c in (0.1, 10)
    )
    head = to_head(one, "features", 4, "probabilities")
    whole = add_head(encoder, head, ("features",), "probabilities")
    before = onnx.load_from_string(encoder.graph_bytes(encoder.card.graph())).graph.initializer
    after = onnx.load_from_string(whole).graph.initializer
    assert {tensor.name for tensor in before} <= {tensor.name for tensor in after}
    waveforms = data.prepared.waveforms(data.rows[:3])
    assert check_graph(one, encoder, ("features",), whole, waveforms)["probabilities"] < 1e-6
    with pytest.raises(ParityFailed, match="probabilities"):
        check_graph(other, encoder, ("features",), whole, waveforms)


def test_a_class_without_training_tracks_in_a_fold_is_scored_all_the_same(
    folder: Path, tmp_path: Path
) -> None:
    made, _ = probe(
        [folder / "rare"],
        [folder / "levels"],
        Destination(tmp_path / "rare"),
        tmp_path / "results",
        ProbeSettings(strength=1.0),
    )
    runs = read_results(tmp_path / "results" / "noise-classification")
    assert [run.fold for run in runs] == [0, 1, 2, 3, 4]
    assert runs[0].metrics["accuracy"] == 0
    assert all(len(row) == 3 for row in runs[0].logits or [])
    assert min(run.metrics["accuracy"] for run in runs[1:]) > 0.9
    assert made.card.labels == LABELS


def test_results_and_card_state_method_settings_and_metrics(folder: Path, tmp_path: Path) -> None:
    made, _ = probe(
        [folder / "classification"],
        [folder / "levels"],
        Destination(tmp_path / "mood"),
        tmp_path,
        ProbeSettings(),
    )
    runs = read_results(tmp_path / "noise-classification")
    cells = [Cell("probe logistic on levels features", 4, fold, 0) for fold in range(5)]
    assert [run.method for run in runs] == [cell.method for cell in cells]
    assert all((tmp_path / "noise-classification" / cell.file).exists() for cell in cells)
    encoder = read(folder / "levels")
    assert {run.teacher for run in runs} == {encoder.digest}
    tracks = sorted(track for run in runs for track in run.tracks)
    assert tracks == [f"{track:02}" for track in range(2 * N_ARTISTS)]
    facts = made.card.provenance
    assert (facts.method, facts.teacher) == ("probe: logistic on features", encoder.digest)
    assert facts.hyperparameters["C"] in RECIPES["classification"]["logistic"].grid["C"]
    assert len(str(facts.hyperparameters["C of each fold"]).split(", ")) == 5
    assert float(facts.metrics["accuracy: mean"] or 0) > 0.9
    assert float(facts.metrics["calibration error (15 bins): after"] or 0) < 0.1


def test_no_artist_is_in_two_inner_folds(folder: Path) -> None:
    tracks = TaskData.load(folder / "classification").prepared.tracks
    some = tracks[tracks["fold"] != 0]  # its index has gaps
    folds = pd.Series(assign_inner_folds(some, seed=0)[0])
    assert folds.nunique() == 4
    assert (folds.groupby(some["artist"].to_numpy()).nunique() == 1).all()


def test_kinds_are_those_of_the_recipes() -> None:
    assert {task_kind: tuple(recipes) for task_kind, recipes in RECIPES.items()} == KINDS


def test_what_cannot_be_fitted_is_refused_with_the_remedy(folder: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"

    def refused(match: str, task: str, encoder: str = "levels", **options: str) -> None:
        settings = ProbeSettings(**options)  # type: ignore[arg-type]
        with pytest.raises((BadExport, BadTeacher), match=match):
            probe([folder / task], [folder / encoder], Destination(out), out, settings)

    refused(
        "'ridge': it is not for classification; choose logistic, linear",
        "classification",
        kind="ridge",
    )
    refused("'logistic': it is not .* choose ridge", "regression", kind="logistic")
    refused("'svm': unknown; choose logistic", "regression", kind="svm")
    refused("'logits': is not one of embedding, features", "classification", source="logits")
    write_task(folder, "mood")
    refused("mood is a classifier; give an encoder", "classification", "mood")
    write_bundle(folder, "long", audio=AUDIO.model_copy(update={"window_s": 2.0}))
    refused(
        "long takes .*window_s=2.0.* decode the data set for that encoder", "classification", "long"
    )
    tracks = sounds(folder)
    one = tracks.index < 6
    artists, labels = np.where(one, "one", tracks["artist"]), np.where(one, "first", "second")
    alike = tracks.assign(artist=artists, label=labels)
    task_of(alike, "classification", folder / "alike", ("first", "second"))
    refused("one label alone; add other artists", "alike")
    task_of(alike, "classification", folder / "absent", LABELS)
    refused("no track has the label third", "absent")
    assert not out.exists()
