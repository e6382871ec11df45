"""Nested choice of input, kind, encoder and hyperparameters, judged beside the mel baseline."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import onnxruntime as ort
import pandas as pd
import pytest
import soundfile
from numpy.typing import NDArray

from models.bundle import read, verify_session
from models.card import CONCATENATED, Data, Patches
from tests.bundles import AUDIO, in_space
from tests.training.probes.level_encoder import write_level_encoder
from training.datasets.prepared import TaskData, check_same_tracks, prepare_task
from training.datasets.task import Kind, Task
from training.errors import BadExport, BelowBaseline, MissingInput, OtherTracks
from training.networks.bundle_outputs import bundle_outputs
from training.probes.head_bundle import Destination
from training.probes.inputs import load_inputs
from training.probes.models import RECIPES, fit_probe
from training.probes.nested import BASELINE, evaluate, make_procedure
from training.probes.probe import probe
from training.probes.search import SearchSpace, Split, choose
from training.probes.settings import KINDS, ProbeSettings, match_sources
from training.transfer.results import Result, read_results

LABELS = ("first", "second", "third", "fourth")
N_TRACKS = 48
ALL_KINDS = [(task_kind, kind) for task_kind in KINDS for kind in KINDS[task_kind]]


def write_sounds(folder: Path) -> pd.DataFrame:
    """Noise or tones, two tracks an artist; `label` is the loud quarter, `pitched` which it is."""
    rng = np.random.default_rng(0)
    folder.mkdir()
    rows = []
    for track in range(N_TRACKS):
        quarter, is_pitched = track % 4, track // 4 % 2
        levels = rng.uniform(0.05, 0.15, 4)
        levels[quarter] += 0.3
        seconds = np.arange(AUDIO.window_samples) / AUDIO.sample_rate
        # Of the same level as the noise, so that no level tells them apart.
        tone = np.sin(2 * np.pi * rng.uniform(900, 1100) * seconds) * np.pi / 4
        noise = rng.uniform(-1, 1, AUDIO.window_samples)
        sound = (tone if is_pitched else noise) * np.repeat(levels, 2000)
        path = folder / f"{track:02}.wav"
        soundfile.write(path, sound, AUDIO.sample_rate)
        pitched = "tone" if is_pitched else "noise"
        facts = (path.stem, str(path), f"artist {track // 2}", LABELS[quarter], pitched)
        rows.append((*facts, levels[quarter]))
    names = ["track_id", "path", "artist", "label", "pitched", "loudness"]
    return pd.DataFrame(rows, columns=names)


def prepare(tracks: pd.DataFrame, out: Path, kind: Kind, labels: tuple[str, ...]) -> Path:
    columns = {"track_id", "path", "artist", "fold"}
    columns |= {"label"} if kind == "classification" else set(labels)
    kept = tracks[[name for name in tracks.columns if name in columns]]
    data = (Data(name="noise", use="audio and labels", licence="ours"),)
    task = Task(f"noise-{out.name}", "mood", kind, labels, kept, "by artist", data)
    list(prepare_task(task, out, AUDIO, workers=1))
    return out


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Encoders, sounds and tasks: of the loud quarter, its level, and the pitch."""
    folder = tmp_path_factory.mktemp("nested")
    write_level_encoder(folder / "levels")
    write_level_encoder(folder / "coarse", sizes={"embedding": 2, "features": 2, "whole": 1})
    tracks = write_sounds(folder / "audio")
    prepare(tracks, folder / "quarter", "classification", LABELS)
    prepare(tracks, folder / "loudness", "regression", ("loudness",))
    pitched = tracks.assign(label=tracks["pitched"])
    prepare(pitched, folder / "pitch", "classification", ("noise", "tone"))
    return folder


def run(content: bytes, inputs: NDArray[np.float32]) -> dict[str, NDArray[np.float32]]:
    session = ort.InferenceSession(content, providers=["CPUExecutionProvider"])
    names = [output.name for output in session.get_outputs()]
    return dict(zip(names, session.run(names, {session.get_inputs()[0].name: inputs}), strict=True))


@pytest.mark.parametrize("n_tracks", [40, 120])
@pytest.mark.parametrize(("task_kind", "kind"), ALL_KINDS)
def test_the_search_predicts_as_the_model_that_is_exported(
    task_kind: Kind, kind: str, n_tracks: int
) -> None:
    """With more and with fewer dimensions than tracks: a rotation, and a kernel made beforehand."""
    rng = np.random.default_rng(0)
    inputs = np.asarray(rng.standard_normal((n_tracks, 60)) * rng.uniform(0.1, 9, 60), np.float32)
    values = np.asarray(inputs[:, :2] + rng.standard_normal((n_tracks, 2)), np.float32)
    targets = values if task_kind == "regression" else np.arange(n_tracks) % 3
    recipe = RECIPES[task_kind][kind]
    chosen = {name: choices[len(choices) // 2] for name, choices in recipe.grid.items()}
    training = np.arange(n_tracks) % 4 > 0
    split = Split.of(inputs, training)
    n_outputs = 2 if task_kind == "regression" else 3
    predicted = split.predict(recipe, chosen, targets, n_outputs, 0)
    model = fit_probe(recipe, chosen, inputs[training], targets[training], n_outputs, 0)
    wanted = model.outputs(inputs[~training])
    np.testing.assert_allclose(predicted, wanted, atol=2e-2 * wanted.std())


def test_the_best_input_and_kind_are_chosen() -> None:
    """Of a class that is a distance from the centre, an RBF kernel knows more than a line."""
    rng = np.random.default_rng(0)
    inputs = rng.standard_normal((200, 2)).astype(np.float32)
    targets = ((inputs**2).sum(1) > 1.4).astype(np.int64)
    noise = rng.standard_normal((200, 2)).astype(np.float32)
    space = SearchSpace(
        {"noise": noise, "known": inputs}, ["logistic", "rbf-svm"], "classification"
    )
    choice = choose(space, targets, np.arange(200) % 4, 2)
    assert (choice.input_name, choice.kind) == ("known", "rbf-svm")
    alone = SearchSpace({"noise": noise}, ["logistic"], "classification")
    assert choice.loss < choose(alone, targets, np.arange(200) % 4, 2).loss - 0.3
    # Where nothing is known, the strongest regularization is best.
    strongest = RECIPES["classification"]["logistic"].grid["C"][0]
    assert choose(alone, targets, np.arange(200) % 4, 2).hyperparameters == {"C": strongest}


@pytest.mark.parametrize("task", ["quarter", "loudness"])
def test_a_head_on_several_outputs_takes_them_concatenated_in_order(
    task: str, folder: Path, tmp_path: Path
) -> None:
    kind = "logistic" if task == "quarter" else "ridge"
    made, errors = probe(
        [folder / task],
        [folder / "levels"],
        Destination(tmp_path / "mood", default=False),
        tmp_path / "results",
        ProbeSettings(kind, "quarters+whole"),
    )
    encoder = read(folder / "levels")
    card = read(tmp_path / "mood").card
    assert card.head is not None
    assert (card.head.input, card.head.input_name) == (("quarters", "whole"), CONCATENATED)
    assert (card.head.encoder, card.default) == (encoder.digest, False)
    assert max(errors.values()) < 1e-5
    whole, head = made.graph_bytes(card.graph()), made.graph_bytes(card.head)
    verify_session(card, ort.InferenceSession(whole, providers=["CPUExecutionProvider"]))
    data = TaskData.load(folder / task)
    waveforms = data.prepared.waveforms(data.rows)
    levels = run(encoder.graph_bytes(encoder.card.graph()), waveforms)
    outputs = run(whole, waveforms)
    answer = "probabilities" if task == "quarter" else "values"
    assert list(outputs) == [answer, "embedding", "features"]
    joined = np.concatenate([levels["quarters"], levels["whole"]], axis=1)
    np.testing.assert_allclose(run(head, joined)[answer], outputs[answer], atol=1e-6)
    np.testing.assert_allclose(outputs["features"], levels["features"], atol=1e-6)
    accuracy = (outputs[answer].argmax(1) == data.targets).mean() if task == "quarter" else 1
    assert accuracy > 0.95


def test_input_and_encoder_are_chosen_in_every_fold_and_the_card_says_so(
    folder: Path, tmp_path: Path
) -> None:
    """Halves do not tell the first quarter from the second; quarters do."""
    reported: list[Result] = []
    made, _ = probe(
        [folder / "quarter"],
        [folder / "coarse", folder / "levels"],
        Destination(tmp_path / "mood"),
        tmp_path / "results",
        ProbeSettings(source="features,quarters"),
        report=reported.append,
    )
    runs = read_results(tmp_path / "results")
    assert [run.fold for run in reported] == [0, 1, 2, 3, 4]
    method = "probe logistic on coarse,levels features,quarters"
    assert {run.method for run in runs} == {method}
    encoder = read(folder / "levels")
    assert {run.settings["input"] for run in runs} == {"quarters"}
    assert {run.settings["encoder"] for run in runs} == {"levels"}
    assert {run.teacher for run in runs} == {encoder.digest}
    card = made.card
    assert card.head is not None
    assert (card.head.input, card.head.encoder) == ("quarters", encoder.digest)
    facts = card.provenance.hyperparameters
    assert (facts["input"], facts["encoder"]) == ("quarters", "levels")
    choices = str(facts["choice of each fold"]).split("; ")
    assert len(choices) == 5
    assert all(" on levels quarters (C=" in choice for choice in choices)
    names = "coarse features, levels features, levels quarters"
    assert facts["chosen from"] == f"logistic on {names}"
    assert float(card.provenance.metrics["accuracy: mean"] or 0) > 0.9


def test_a_probe_mixes_no_outputs_of_encoders_of_different_spaces(
    folder: Path, tmp_path: Path
) -> None:
    """Each input is of one encoder, and the head's card has the space of the one chosen."""
    spaces = {"coarse": "a" * 64, "levels": "b" * 64}
    encoders = {}
    for name, space in spaces.items():
        shutil.copytree(folder / name, tmp_path / "encoders" / name)
        encoders[name] = in_space(read(tmp_path / "encoders" / name), space)
    paths = [encoder.folder for encoder in encoders.values()]
    settings = ProbeSettings(source="features+whole,quarters+whole")
    data = TaskData.load(folder / "quarter")
    inputs = load_inputs([data], paths, settings.sources)
    names = [(found.encoder.card.name, found.source_name) for found in inputs]
    assert names == [
        ("coarse", "features+whole"),
        ("levels", "features+whole"),
        ("levels", "quarters+whole"),
    ]
    for found in inputs:
        outputs = bundle_outputs(encoders[found.encoder.card.name], data)
        joined = np.concatenate([outputs[name] for name in found.source], axis=1)
        np.testing.assert_array_equal(found.values, joined)
    destination = Destination(tmp_path / "mood")
    made, _ = probe([folder / "quarter"], paths, destination, tmp_path / "results", settings)
    assert made.card.head is not None
    assert made.card.head.encoder == encoders["levels"].digest
    assert made.card.space == spaces["levels"]
    runs = read_results(tmp_path / "results")
    assert {(run.teacher_name, run.space) for run in runs} == {("levels", spaces["levels"])}


def test_test_tracks_do_not_enter_the_choice_of_their_fold(folder: Path, tmp_path: Path) -> None:
    """Other labels of the tracks that a fold holds out: the same choice and the same logits."""

    def result_of(task: Path, results: Path) -> Result:
        settings = ProbeSettings(source="features,quarters")
        data = TaskData.load(task)
        inputs = load_inputs([data], [folder / "levels"], settings.sources)
        return evaluate(make_procedure(data, inputs, settings), results, lambda result: None)[0]

    data = TaskData.load(folder / "quarter")
    changed = data.prepared.tracks.copy()
    held_out = changed["fold"] == 0
    changed.loc[held_out, "label"] = np.roll(changed.loc[held_out, "label"].to_numpy(), 1)
    paths = [str(folder / "audio" / f"{track}.wav") for track in changed["track_id"]]
    kept = changed[["track_id", "artist", "label", "fold"]].assign(path=paths)
    prepare(kept, tmp_path / "changed", "classification", LABELS)
    before = result_of(folder / "quarter", tmp_path / "before")
    after = result_of(tmp_path / "changed", tmp_path / "after")
    assert after.targets != before.targets
    assert (after.settings, after.logits) == (before.settings, before.logits)


def test_a_probe_that_beats_the_same_search_on_mel_statistics_states_it(
    folder: Path, tmp_path: Path
) -> None:
    made, _ = probe(
        [folder / "quarter"],
        [folder / "levels"],
        Destination(tmp_path / "mood"),
        tmp_path / "results",
        ProbeSettings(source="quarters"),
        baseline_task=folder / "quarter",
    )
    runs = read_results(tmp_path / "results")
    baseline = [run for run in runs if run.method == BASELINE]
    assert [run.fold for run in baseline] == [0, 1, 2, 3, 4]
    assert {run.teacher for run in baseline} == {None}
    assert {str(run.settings["kind"]) for run in baseline} <= {"logistic", "rbf-svm"}
    mean = float(np.mean([run.metrics["accuracy"] for run in baseline]))
    metrics = made.card.provenance.metrics
    assert metrics[f"{BASELINE}: accuracy: mean"] == pytest.approx(mean, abs=1e-4)
    assert mean < float(metrics["accuracy: mean"] or 0)


def test_a_probe_below_the_same_search_on_mel_statistics_is_not_written(
    folder: Path, tmp_path: Path
) -> None:
    with pytest.raises(BelowBaseline, match=r"accuracy is 0\.\d+ .* mel statistics has [01]\.\d+"):
        probe(
            [folder / "pitch"],
            [folder / "levels"],
            Destination(tmp_path / "mood"),
            tmp_path / "results",
            ProbeSettings(source="whole"),
            baseline_task=folder / "pitch",
        )
    assert not (tmp_path / "mood").exists()
    runs = read_results(tmp_path / "results")
    assert len({(run.method, run.fold) for run in runs}) == 10
    baseline = [run.metrics["accuracy"] for run in runs if run.method == BASELINE]
    assert np.mean(baseline) > 0.9


def test_task_folders_of_other_tracks_targets_or_windows_are_refused(
    folder: Path, tmp_path: Path
) -> None:
    data = TaskData.load(folder / "quarter")

    def refused(match: str, task: Path, error: type[Exception] = OtherTracks) -> None:
        with pytest.raises(error, match=match):
            probe(
                [folder / "quarter"],
                [folder / "levels"],
                Destination(tmp_path / "mood"),
                tmp_path / "results",
                ProbeSettings(),
                baseline_task=task,
            )

    tracks = data.prepared.tracks
    paths = [str(folder / "audio" / f"{track}.wav") for track in tracks["track_id"]]
    same = tracks[["track_id", "artist", "label", "fold"]].assign(path=paths)
    refused("targets differ", folder / "pitch")
    fewer = prepare(same[1:], tmp_path / "fewer", "classification", LABELS)
    refused("1 tracks are in one alone", fewer)
    folds = same.assign(fold=(same["fold"] + 1) % 5)
    refused("folds differ", prepare(folds, tmp_path / "folds", "classification", LABELS))
    order = same[::-1]
    refused("order differs", prepare(order, tmp_path / "order", "classification", LABELS))
    refused("tasteprint-train dataset", tmp_path / "none", MissingInput)
    check_same_tracks(data, TaskData.load(folder / "quarter"))
    # A copy of the folder whose windows are said to be patches.
    patches = prepare(same, tmp_path / "patches", "classification", LABELS)
    source = json.loads((patches / "source.json").read_text())
    source["audio"]["patches"] = Patches(seconds=0.5, starts_s=(0, 0.5)).model_dump()
    (patches / "source.json").write_text(json.dumps(source))
    refused("holds patches; decode whole windows", patches, BadExport)
    assert not (tmp_path / "results").exists()


def test_inputs_that_no_encoder_has_are_refused_by_name(folder: Path) -> None:
    outputs = {"tagger": ("embedding", "features", "mean_pool"), "levels": ("features", "whole")}
    found = match_sources([("features",), ("mean_pool", "features")], outputs)
    assert found == [
        ("tagger", ("features",)),
        ("tagger", ("mean_pool", "features")),
        ("levels", ("features",)),
    ]
    with pytest.raises(BadExport, match=r"'mean_pool\+max_pool': 'max_pool' is not one of embed"):
        match_sources([("mean_pool", "max_pool")], outputs)
    with pytest.raises(BadExport, match="outputs of no single encoder"):
        match_sources([("mean_pool", "whole")], outputs)
    with pytest.raises(BadExport, match="encoder levels: it has none of the inputs"):
        match_sources([("mean_pool",)], outputs)


def test_one_strength_is_refused_for_several_kinds(folder: Path, tmp_path: Path) -> None:
    settings = ProbeSettings("logistic,rbf-svm", strength=1.0)
    with pytest.raises(BadExport, match="strength 1: means something else for each of"):
        probe(
            [folder / "quarter"],
            [folder / "levels"],
            Destination(tmp_path / "mood"),
            tmp_path / "results",
            settings,
        )
