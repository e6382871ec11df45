"""A second encoder in one file goes through every stage by the command line, and is served."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import soundfile
import torch
from numpy.typing import NDArray
from typer.testing import CliRunner

from models.bundle import read
from models.card import Card
from tests.running import Service, running
from tests.training.cli.test_chain import run
from tests.training.networks.tiny_encoder import (
    DEEP,
    FIXED,
    NAME,
    TinyEncoder,
)
from training.audio.windows import Prepared
from training.cf.als import Factorization
from training.cli.main import app
from training.datasets.prepared import TaskData
from training.errors import (
    BadCrop,
    BadTransfer,
    OtherAudio,
    OtherEmbedding,
    OtherEncoder,
    OtherManifest,
    OtherRun,
)
from training.estimator.artist_split import load_split
from training.estimator.settings import EstimatorSettings
from training.estimator.train import load_network, train
from training.evaluation.report import read_measures
from training.export.reload import load_network_from_bundle
from training.networks.bundle_outputs import bundle_outputs
from training.networks.registry import DEFAULT_ENCODER
from training.transfer import train as transfer_train
from training.transfer.final_fit import ship
from training.transfer.grid import compare
from training.transfer.results import Cell, read_results
from training.transfer.settings import TransferSettings
from training.transfer.sources import Sources

N_ARTISTS, N_FACTORS, WIDTH = 20, 6, 4
LABELS = ("loud", "quiet")
FAST = ("--max-epochs", "1", "--batch-size", "8", "--accelerator", "cpu")
SETTINGS = TransferSettings(
    encoder=NAME, width=WIDTH, crop_s=0.5, max_epochs=1, batch_size=8, accelerator="cpu"
)


@dataclass(frozen=True)
class World:
    """Folders of one run of the chain: recordings, prepared windows and the models made of them."""

    folder: Path

    @property
    def encoder(self) -> Path:
        return self.folder / "models" / "mine"

    @property
    def task(self) -> TaskData:
        return TaskData.load(self.folder / "task")

    def card(self, name: str) -> Card:
        return read(self.folder / "models" / name).card

    def outputs(self, name: str) -> dict[str, NDArray[np.float32]]:
        """Outputs of a model for every track of the task, in the tracks' order."""
        return bundle_outputs(read(self.folder / "models" / name), self.task)

    def compare(self, out: Path, method: str, settings: TransferSettings = SETTINGS) -> None:
        cells = [Cell(method, settings.width, 0, 0)]
        list(compare(Sources(self.task.folder, self.encoder), out, cells, settings))


@pytest.fixture(scope="module", autouse=True)
def _patched(tiny_encoders: None) -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        # The output layer of `fix` takes thousands of epochs, for accuracy that no test needs here.
        patch.setattr(transfer_train, "LAYER_EPOCHS", 100)
        yield


@pytest.fixture(scope="module")
def recordings(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Loud and quiet noise of 3 s by artists of two tracks each, and who listened to whom."""
    folder = tmp_path_factory.mktemp("second")
    (folder / "audio").mkdir()
    rng, rate = np.random.default_rng(0), TinyEncoder.audio.sample_rate
    tracks, plays = [], []
    for artist in range(N_ARTISTS):
        is_quiet = artist % 2
        for clip in range(2):
            track = f"{artist:02}-{clip}"
            noise = rng.uniform(-0.5, 0.5, 3 * rate) * (0.05 if is_quiet else 1)
            soundfile.write(folder / "audio" / f"{track}.wav", noise, rate)
            label = LABELS[is_quiet]
            tracks.append((track, artist, f"artist {artist}", f"{track}.wav", label))
        plays += [(user + 40 * is_quiet, artist) for user in rng.choice(40, 15, replace=False)]
    columns = ["track_id", "item_id", "artist", "file", "label"]
    pd.DataFrame(tracks, columns=columns).to_csv(folder / "tracks.csv", index=False)
    pd.DataFrame(plays, columns=["user_id", "item_id"]).to_csv(folder / "logs.csv", index=False)
    return folder


@pytest.fixture(scope="module")
def world(recordings: Path) -> World:
    """The encoder trained, evaluated and exported; models of a task on it by three methods."""
    folder = recordings
    prepared, split, factors = folder / "prepared", folder / "split.csv", folder / "factors"
    logs, estimator, evaluation = folder / "logs.csv", folder / "estimator", folder / "evaluation"
    audio, tracks, models = folder / "audio", folder / "tracks.csv", folder / "models"
    manifest = ("--manifest", tracks, "--audio", audio, "--artist-column", "artist")
    run("prepare", *manifest, "--encoder", NAME, "--out", prepared)
    run("split", "--prepared", prepared, "--out", split)
    size = ("--factors", str(N_FACTORS))
    run("factorize", "--logs", logs, "--split", split, *size, "--out", factors)
    inputs = ("--prepared", prepared, "--factors", factors)
    network = ("--encoder", NAME, "--width", str(WIDTH), "--crop-s", "0.5")
    run("estimator", *inputs, "--split", split, *network, *FAST, "--out", estimator)
    measured = ("--run", estimator, *inputs, "--logs", logs, "--min-listeners", "5")
    run("evaluate", *measured, "--out", evaluation)
    (folder / "data.json").write_text('[{"name": "noise", "use": "audio", "licence": "CC0"}]')
    stated = ("--data", folder / "data.json", "--evaluation", evaluation)
    run("export", "--run", estimator, *inputs, *stated, "--out", models / "mine")

    task, results = folder / "task", folder / "results"
    labelled = ("--data", audio, "--labels", tracks, "--task", "loudness")
    teacher = ("--teacher", models / "mine")
    run("dataset", "custom", *labelled, *teacher, "--out", task)
    cells = ("--task", task, *teacher, "--widths", str(WIDTH), "--folds", "0,1")
    run("compare", *cells, *FAST, "--out", results)
    for method in ("fix", "kd"):
        shipped = ("--method", method, "--width", str(WIDTH), "--out", models / f"by-{method}")
        run("ship", "--task", task, *teacher, "--results", results, *shipped)
    fitted = ("--results", results, "--out", models / "by-probe")
    run("probe", "--task", task, "--encoder", models / "mine", *fitted)
    return World(folder)


@pytest.fixture(scope="module")
def service(world: World) -> Iterator[Service]:
    models = world.folder / "models"
    with running(world.folder / "log", models_dir=models, default_model="mine") as service:
        yield service


def test_the_card_states_architecture_sizes_and_audio(world: World) -> None:
    card = world.card("mine")
    assert (card.architecture, card.audio) == (NAME, TinyEncoder.audio)
    assert (card.output_shape("embedding"), card.output_shape("features")) == ((6,), (8,))
    assert card.provenance.method.startswith(TinyEncoder.title)
    measures = read_measures(world.folder / "evaluation")["groups"]["prepared"]["methods"]
    assert card.provenance.metrics["network: user_auc"] == round(
        measures["network"]["user_auc"][0], 4
    )


def test_its_bundle_is_judged_as_the_run_is_and_beside_itself(world: World, tmp_path: Path) -> None:
    folder = world.folder
    inputs = ("--prepared", folder / "prepared", "--factors", folder / "factors")
    logs = ("--logs", folder / "logs.csv", "--min-listeners", "5")
    judged = ("--bundle", world.encoder, "--split", folder / "split.csv")
    run("evaluate", *judged, *inputs, *logs, "--encoder", world.encoder, "--out", tmp_path / "a")
    by_run = read_measures(folder / "evaluation")["groups"]["prepared"]["methods"]["network"]
    methods = read_measures(tmp_path / "a")["groups"]["prepared"]["methods"]
    for measure, (mean, _, _) in methods["network"].items():
        assert mean == pytest.approx(by_run[measure][0], abs=0.02)  # by ONNX and by torch
    assert methods["ridge on mine"].keys() == methods["network"].keys()
    table = run("evaluation-summary", "--evaluation", tmp_path / "a", "--out", tmp_path / "pooled")
    assert "| ridge on mine |" in table


def test_the_bundle_gives_the_trained_network_back(world: World) -> None:
    network, settings = load_network(world.folder / "estimator")
    assert (settings.encoder, settings.width) == (NAME, WIDTH)
    again = load_network_from_bundle(read(world.encoder))
    assert isinstance(again, TinyEncoder)
    for name, weight in network.state_dict().items():
        if not name.endswith("num_batches_tracked"):
            assert torch.equal(again.state_dict()[name], weight), name


def test_every_method_and_baseline_has_results(world: World) -> None:
    runs = read_results(world.folder / "results")
    methods = {run.method for run in runs}
    assert {"base", "fix", "init", "kd", "linear on untrained features"} <= methods
    assert "probe logistic on mine features" in methods
    assert {run.settings["encoder"] for run in runs if run.method in ("base", "fix")} == {NAME}
    teacher = world.outputs("mine")["embedding"]
    np.testing.assert_array_equal(world.outputs("by-fix")["embedding"], teacher)
    np.testing.assert_array_equal(world.outputs("by-probe")["embedding"], teacher)
    assert abs(world.outputs("by-kd")["embedding"] - teacher).max() > 1e-3


@pytest.mark.parametrize("name", ["by-fix", "by-kd", "by-probe"])
def test_a_task_model_states_the_encoder_and_its_audio(world: World, name: str) -> None:
    card = world.card(name)
    assert (card.task, card.labels, card.architecture) == ("loudness", LABELS, NAME)
    assert (card.audio, card.output_shape("embedding")) == (TinyEncoder.audio, (N_FACTORS,))
    assert (card.head is None) == (name == "by-kd")


def test_the_service_embeds_by_it(world: World, service: Service) -> None:
    answer = service.embedding(world.folder / "audio" / "00-0.wav")
    assert answer["window"] == {"starts": [0.5], "seconds": 2.0, "how": "middle"}
    assert answer["model"]["name"] == "mine"
    for output in ("embedding", "features"):
        np.testing.assert_allclose(answer[output], world.outputs("mine")[output][0], atol=1e-3)


@pytest.mark.parametrize("name", ["by-fix", "by-kd", "by-probe"])
def test_the_service_classifies_by_models_on_it(world: World, service: Service, name: str) -> None:
    answer = service.answer("/classify/loudness", world.folder / "audio" / "00-0.wav", model=name)
    assert answer["window"]["seconds"] == 2.0
    assert_probabilities(answer["labels"], world, name)


def test_the_service_analyzes_by_all_of_them(world: World, service: Service) -> None:
    whole = service.answer("/analyze", world.folder / "audio" / "00-0.wav")
    assert whole["window"]["seconds"] == 2.0
    assert set(whole["models"]) == {"mine", "by-fix", "by-kd", "by-probe"}
    embedding = world.outputs("mine")["embedding"][0]
    np.testing.assert_allclose(whole["models"]["mine"]["embedding"], embedding, atol=1e-3)
    for name in ("by-fix", "by-kd", "by-probe"):
        assert_probabilities(whole["models"][name]["labels"], world, name)


def test_the_service_lists_models_and_the_encoder_they_share(service: Service) -> None:
    listed = {
        model["card"]["name"]: model for model in service.http.get("/models").json()["models"]
    }
    assert {name: model["encoder"] for name, model in listed.items()} == {
        "by-fix": "mine",
        "by-kd": None,
        "by-probe": "mine",
        "mine": None,
    }
    assert {model["card"]["audio"]["window_s"] for model in listed.values()} == {2.0}
    assert {model["card"]["architecture"] for model in listed.values()} == {NAME}


def assert_probabilities(labels: list[dict[str, float | str]], world: World, name: str) -> None:
    """The first track's probabilities, by label, are those of the bundle's graph."""
    served = {str(entry["label"]): float(entry["probability"]) for entry in labels}
    wanted = dict(zip(LABELS, world.outputs(name)["probabilities"][0].tolist(), strict=True))
    assert served == pytest.approx(wanted, abs=2e-3)


def test_a_student_may_have_another_architecture(world: World, tmp_path: Path) -> None:
    cells = ("--task", world.task.folder, "--teacher", world.encoder, "--out", tmp_path)
    student = ("--encoder", DEEP, "--width", "3")
    run("transfer", *cells, "--method", "kd", *student, *FAST)
    (result,) = read_results(tmp_path)
    assert result.settings["encoder"] == DEEP
    sources = Sources(world.task.folder, world.encoder)
    written, _ = ship(sources, tmp_path, tmp_path / "deep", method="kd", width=3, accelerator="cpu")
    assert (written.card.architecture, written.card.output_shape("features")) == (DEEP, (6,))
    with pytest.raises(OtherRun):  # the results are of another encoder
        world.compare(tmp_path, "kd", replace(SETTINGS, width=3))


def test_networks_that_do_not_fit_are_refused(world: World, tmp_path: Path) -> None:
    with pytest.raises(OtherEncoder, match=r"init takes .* a tiny, and --encoder is tiny-deep"):
        world.compare(tmp_path, "init", replace(SETTINGS, encoder=DEEP))
    with pytest.raises(BadTransfer, match=r"width 8 .* the teacher has width 4"):
        world.compare(tmp_path, "init", replace(SETTINGS, width=8))
    with pytest.raises(OtherEmbedding, match="a tiny-fixed, has 3 dimensions, the teacher's 6"):
        world.compare(tmp_path, "kd", replace(SETTINGS, encoder=FIXED))
    world.compare(tmp_path, "base", replace(SETTINGS, encoder=FIXED))  # needs no common size
    with pytest.raises(OtherAudio, match="the encoder cf-estimator takes"):
        world.compare(tmp_path, "kd", replace(SETTINGS, encoder=DEFAULT_ENCODER, width=32))
    with pytest.raises(BadCrop, match="crops of 3 s do not fit: they must be at most 2 s"):
        world.compare(tmp_path, "base", replace(SETTINGS, crop_s=3.0))
    with pytest.raises(BadCrop, match=r"a multiple of 0\.5 s, the teacher's segment"):
        world.compare(tmp_path, "init", replace(SETTINGS, crop_s=0.3))


def test_windows_and_crops_that_do_not_fit_the_estimator_are_refused(
    world: World, tmp_path: Path
) -> None:
    arguments = (
        Prepared.load(world.folder / "prepared"),
        Factorization.load(world.folder / "factors"),
        load_split(world.folder / "split.csv"),
        tmp_path,
    )
    with pytest.raises(OtherAudio, match="prepare the audio again"):
        train(*arguments, EstimatorSettings())
    with pytest.raises(BadCrop, match="crops of 3 s do not fit: they must be at most 2 s"):
        train(*arguments, EstimatorSettings(encoder=NAME, width=WIDTH, crop_s=3.0))


def test_windows_of_two_encoders_are_not_mixed(world: World) -> None:
    manifest = ("--manifest", world.folder / "tracks.csv", "--audio", world.folder / "audio")
    artists = ("--artist-column", "artist", "--out", world.folder / "prepared")
    refused = CliRunner().invoke(app, list(map(str, ("prepare", *manifest, *artists))))
    assert isinstance(refused.exception, OtherManifest)
    assert "or for another encoder" in str(refused.exception)
