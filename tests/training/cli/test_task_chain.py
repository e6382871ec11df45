"""From a folder of custom data to a served classifier, by the command line."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path

import httpx
import numpy as np
import pandas as pd
import pytest
from typer.testing import CliRunner

from models import bundle
from models.bundle import read
from tests.running import running
from tests.training.cli.test_chain import run
from tests.training.tasks import LABELS, make_task, make_teacher, write_teacher
from training.cli.main import app
from training.datasets.accounts import ACCOUNTS
from training.datasets.prepared import TaskData
from training.errors import (
    BadCrop,
    BadDataset,
    BadExport,
    BadFold,
    BadTeacher,
    BadTransfer,
    OtherRun,
    UnknownMethod,
)
from training.export.bundle import write_bundle
from training.export.torch_to_onnx import export_checked
from training.networks.bundle_outputs import bundle_outputs
from training.networks.task_model import TaskModel
from training.networks.waveform import WaveformTaskModel
from training.transfer.final_fit import ship
from training.transfer.grid import compare, grid
from training.transfer.results import Cell, read_results
from training.transfer.settings import TransferSettings
from training.transfer.sources import Sources

SPACE = "0123456789abcdef" * 4
FAST = ("--max-epochs", "1", "--batch-size", "8", "--accelerator", "cpu")


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Tones with their labels, and a teacher of a CF space."""
    folder = tmp_path_factory.mktemp("tones")
    data = make_task(folder, n_tracks=24)
    write_teacher(folder / "models" / "teacher", data, SPACE)
    labels = data.prepared.tracks[["track_id", "label", "artist"]]
    labels.assign(file=labels["track_id"] + ".wav").to_csv(folder / "labels.csv", index=False)
    return folder


def test_three_commands_make_a_head_that_is_served(world: Path) -> None:
    task, results, models = world / "task", world / "results", world / "models"
    audio = ("--data", world / "audio", "--labels", world / "labels.csv", "--task", "pitch")
    output = run("dataset", "custom", *audio, "--licence", "CC0", "--out", task)
    assert "24 windows" in output
    teacher = ("--teacher", models / "teacher")
    shared = ("--task", task, *teacher)
    output = run(
        "compare", *shared, "--methods", "base,fix", "--folds", "0,1", "--out", results, *FAST
    )
    assert (results / "report.md").read_text() in output
    facts = TaskData.load(task)
    (account,) = json.loads((results / facts.facts.name / ACCOUNTS).read_text())
    assert account["met"]["tracks"] == account["left_counts"]["tracks"] == len(facts.rows)
    assert f"the task {facts.facts.name}: {len(facts.rows)} of " in output
    ship_it = ("ship", *shared, "--results", results, "--method", "fix", "--out", models / "pitch")
    output = run(*ship_it)
    written = bundle.read(models / "pitch")
    assert written.digest in output.replace("\n", "")
    card = written.card
    assert (card.kind, card.task, card.labels) == ("classifier", "pitch", LABELS)
    assert card.provenance.teacher == bundle.read(models / "teacher").digest
    assert card.space == SPACE  # its embedding is the teacher's
    taught = {(run.method, run.teacher_name, run.space) for run in read_results(results)}
    assert {("base", None, None), ("fix", "teacher", SPACE)} <= taught
    assert card.provenance.data[0].licence == "CC0"
    assert card.provenance.metrics["runs"] == 2
    assert {"accuracy: mean", "accuracy: standard deviation", "temperature"} <= set(
        card.provenance.metrics
    )
    offline = bundle_outputs(written, TaskData.load(task))["probabilities"]
    np.testing.assert_allclose(offline.sum(1), 1, atol=1e-5)
    with running(world / "log", models_dir=models, default_model="teacher") as service:
        served = service.answer("/classify/pitch", world / "audio" / "000.wav")
        encoder = httpx.get(f"{service.url}/models/pitch").json()["encoder"]
    assert encoder == "teacher"  # the head shares the encoder's run
    probabilities = {entry["label"]: entry["probability"] for entry in served["labels"]}
    for index, label in enumerate(LABELS):
        assert probabilities[label] == pytest.approx(float(offline[0, index]), abs=2e-3)


def test_a_model_is_shipped_to_be_loaded_on_demand(world: Path, tmp_path: Path) -> None:
    task, teacher = world / "prepared", world / "models" / "teacher"
    list(
        compare(
            Sources(task, teacher),
            tmp_path,
            [Cell("fix", 32, 0, 0)],
            TransferSettings(crop_s=7.5, accelerator="cpu"),
        )
    )
    shared = ("--task", task, "--teacher", teacher, "--results", tmp_path, "--method", "fix")
    for name, options in (("pitch", ()), ("rare", ("--on-demand",))):
        run("ship", *shared, "--out", tmp_path / "models" / name, *options)
    written = [bundle.read(tmp_path / "models" / name).card.default for name in ("pitch", "rare")]
    assert written == [True, False]


def test_a_cell_with_a_results_file_is_not_run_again(world: Path, tmp_path: Path) -> None:
    cells = [Cell("linear on features", 32, 0, 0), Cell("fix", 32, 0, 0)]
    arguments = (Sources(world / "prepared", world / "models" / "teacher"), tmp_path, cells)
    settings = TransferSettings(crop_s=7.5, accelerator="cpu")
    assert len(list(compare(*arguments, settings))) == 2
    stamps = {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*.json")}
    assert list(compare(*arguments, settings)) == []
    assert {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*.json")} == stamps
    # Results do not depend on the devices; fix has an optimiser of its own and takes no crops.
    others = replace(settings, devices=2, learning_rate=0.1, crop_s=15.0)
    assert list(compare(*arguments, others)) == []
    (fixed,) = tmp_path.rglob("fix-*.json")
    fixed.write_text(fixed.read_text().replace('"learning_rate":0.01', '"learning_rate":0.02'))
    with pytest.raises(OtherRun, match="other settings"):
        list(compare(*arguments, settings))


def test_results_of_other_labels_are_refused(world: Path, tmp_path: Path) -> None:
    sources = Sources(tmp_path / "task", world / "models" / "teacher")
    arguments = (sources, tmp_path / "results")
    shutil.copytree(world / "prepared", tmp_path / "task")
    cells = [Cell("majority or mean", 32, 0, 0)]
    assert len(list(compare(*arguments, cells, TransferSettings(crop_s=7.5)))) == 1
    tracks = tmp_path / "task" / "tracks.csv"
    swapped = tracks.read_text().replace("high", "LOW").replace("low", "high")
    tracks.write_text(swapped.replace("LOW", "low"))
    with pytest.raises(OtherRun, match="data"):
        list(compare(*arguments, cells, TransferSettings(crop_s=7.5)))


def test_transfer_keeps_its_folder(world: Path, tmp_path: Path) -> None:
    shared = ("--task", world / "prepared", "--teacher", world / "models" / "teacher")
    output = run("transfer", *shared, "--method", "kd", "--fold", "1", "--out", tmp_path, *FAST)
    (result,) = read_results(tmp_path)
    assert (result.method, result.fold) == ("kd", 1)
    assert json.loads(output[output.index("{") :])["accuracy"] == pytest.approx(
        result.metrics["accuracy"]
    )
    kept = tmp_path / "tones-classification" / "kd-w32-f1-s0"
    parts = TaskData.load(world / "prepared").parts(1)
    assert pd.read_csv(kept / "split.csv")["part"].tolist() == parts.tolist()
    for name in ("best.ckpt", "settings.json", "environment.json", "curves.svg"):
        assert (kept / name).stat().st_size, name
    held_out = TaskData.load(world / "prepared").prepared.tracks["track_id"][parts == "test"]
    assert list(result.tracks) == list(held_out)
    # A distilled network is trained for the task: its embedding leaves the teacher's space.
    out = tmp_path / "models" / "pitch"
    run(
        "ship",
        *shared,
        "--results",
        tmp_path,
        "--method",
        "kd",
        "--accelerator",
        "cpu",
        "--out",
        out,
    )
    assert (result.teacher_name, result.space) == ("teacher", SPACE)
    assert read(out).card.space is None


def test_a_stopped_grid_has_complete_rounds_of_all_methods() -> None:
    cells = grid(["base", "kd", "linear on features"], [32], [0, 1], [0, 1])
    assert [cell.seed for cell in cells] == sorted(cell.seed for cell in cells)
    assert {cell.method for cell in cells if (cell.seed, cell.fold) == (1, 1)} == {"base", "kd"}
    assert len({cell.file for cell in cells}) == len(cells)


def test_cells_that_cannot_be_run_are_refused(world: Path, tmp_path: Path) -> None:
    sources = Sources(world / "prepared", world / "models" / "teacher")
    arguments = (sources, tmp_path)
    settings = TransferSettings(crop_s=7.5)
    with pytest.raises(
        UnknownMethod, match="'kdd'; choose one of base, fix, init, kd, kd-pool, init-kd"
    ):
        list(compare(*arguments, [Cell("kdd", 32, 0, 0)], settings))
    with pytest.raises(BadFold, match="no fold 5; the data set has folds 0 to 4"):
        list(compare(*arguments, [Cell("fix", 32, 5, 0)], settings))
    with pytest.raises(BadTransfer, match="width 64 needs a teacher of that width"):
        list(compare(*arguments, [Cell("base", 64, 0, 0), Cell("init", 64, 0, 0)], settings))
    with pytest.raises(BadCrop, match=r"crops of 40 s do not fit: they must be at most 30 s"):
        list(compare(*arguments, [Cell("base", 32, 0, 0)], replace(settings, crop_s=40.0)))
    results = tmp_path / "none"
    folder = results / "tones-classification"
    folder.mkdir(parents=True)
    list(compare(sources, results, [Cell("fix", 32, 0, 0)], settings))
    with pytest.raises(BadExport, match="kd at width 32: has no run"):
        ship(sources, results, tmp_path / "models" / "x", method="kd", width=32)
    other = tmp_path / "models" / "other"
    shutil.copytree(sources.teacher, other)
    card = other / "card.json"
    card.write_text(card.read_text().replace('"version": "1.0.0"', '"version": "1.0.1"'))
    with pytest.raises(BadExport, match="compared with another teacher"):
        ship(
            replace(sources, teacher=other),
            results,
            tmp_path / "models" / "x",
            method="fix",
            width=32,
        )


def test_a_classifier_is_refused_as_a_teacher(world: Path, tmp_path: Path) -> None:
    """A classifier would have been trained on the labels of the test part."""
    facts = read(world / "models" / "teacher").card.provenance
    data = TaskData.load(world / "prepared")
    teacher = make_teacher()
    graph = export_checked(
        WaveformTaskModel(TaskModel(teacher, 2), softmax=True).eval(),
        "waveform",
        data.prepared.waveforms(data.rows[:1]),
        ["probabilities", "embedding", "features"],
    )
    sizes = {"probabilities": 2, "embedding": 40, "features": 32}
    folder = tmp_path / "pitch"
    write_bundle(
        folder,
        graph,
        sizes,
        facts,
        kind="classifier",
        task="pitch",
        audio=teacher.audio,
        architecture=None,
        names=LABELS,
    )
    cells = [Cell("kd", 32, 0, 0)]
    with pytest.raises(BadTeacher, match="pitch is a classifier"):
        list(compare(Sources(data.folder, folder), tmp_path, cells, TransferSettings(crop_s=7.5)))


def test_labels_that_change_are_read_again(world: Path, tmp_path: Path) -> None:
    """Decoded windows are reused; the table of labels is read anew."""
    labels = pd.read_csv(world / "labels.csv", dtype=str)
    arguments = ("--data", world / "audio", "--labels", tmp_path / "labels.csv", "--out", tmp_path)
    labels.to_csv(tmp_path / "labels.csv", index=False)
    run("dataset", "custom", *arguments)
    before = TaskData.load(tmp_path).targets
    labels["label"] = labels["label"].map({"high": "low", "low": "high"})
    labels.to_csv(tmp_path / "labels.csv", index=False)
    run("dataset", "custom", *arguments)
    assert (TaskData.load(tmp_path).targets == 1 - before).all()


@pytest.mark.parametrize("bad", ["high", ""])
def test_a_class_whose_files_are_all_unreadable_is_an_error(
    world: Path, tmp_path: Path, bad: str
) -> None:
    """No file of one class, or of both, can be decoded."""
    audio = tmp_path / "audio"
    shutil.copytree(world / "audio", audio)
    labels = pd.read_csv(world / "labels.csv", dtype=str)
    for file in labels.loc[labels["label"].str.contains(bad), "file"]:
        (audio / file).write_text("no sound")
    arguments = ("--data", audio, "--labels", world / "labels.csv", "--out", tmp_path / "task")
    result = CliRunner().invoke(app, ["dataset", "custom", *map(str, arguments)])
    assert isinstance(result.exception, BadDataset)
    assert "no window is left of the label high" in str(result.exception)
    assert "refused.csv lists the refused files" in str(result.exception)
