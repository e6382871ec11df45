"""Runs with a teacher: clips without factors, who may be heard, and what run and card state."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from typer.testing import CliRunner

from tests.training.estimator.conftest import ARTISTS, RECORD
from tests.training.estimator.sets import make_factors
from tests.training.networks.tiny_encoder import DEEP
from training.audio.manifest import load_manifest
from training.audio.prepared_sets import load_sets
from training.cli.main import app
from training.datasets.artist_key import artist_key
from training.datasets.folds import deal_fold
from training.errors import OtherRun
from training.estimator import train as stage
from training.estimator.artist_split import split_by_artist
from training.estimator.module import EstimatorModule
from training.estimator.settings import EstimatorSettings
from training.estimator.sources import read_teacher
from training.estimator.teacher import Teacher
from training.export.estimator import export_run
from training.fitting.dataset import Loader, WindowDataset
from training.fitting.trainer import AudioModule

pytestmark = pytest.mark.usefixtures("tiny_encoders")

FACTORS = make_factors(ARTISTS[:20])
SETTINGS = EstimatorSettings(
    encoder=DEEP,
    width=4,
    crop_s=0.5,
    max_epochs=1,
    batch_size=8,
    accelerator="cpu",
    balance=True,
)


@pytest.fixture(scope="module")
def split(folders: tuple[Path, Path]) -> pd.DataFrame:
    return split_by_artist(load_manifest(folders[0]), fold=0, validation=0.3)


@pytest.fixture(scope="module")
def teacher(folders: tuple[Path, Path]) -> Teacher:
    """Eight random outputs for every clip."""
    tracks = pd.Index(load_sets(folders).tracks["track_id"])
    outputs = np.random.default_rng(0).normal(size=(len(tracks), 8)).astype(np.float32)
    return Teacher(RECORD, tracks, outputs)


@pytest.fixture
def fitted(monkeypatch: pytest.MonkeyPatch) -> dict[str, Loader]:
    """The loaders of the next `train`, which then fits nothing."""
    loaders: dict[str, Loader] = {}

    def fit(
        module: AudioModule,
        training: Loader,
        validation: Loader,
        out: Path,
        *_: object,
        **__: object,
    ) -> Path:
        loaders.update(train=training, validation=validation)
        return out

    monkeypatch.setattr(stage, "fit", fit)
    monkeypatch.setattr(stage, "draw_run", lambda *_, **__: None)  # there is no network to draw
    return loaders


def test_clips_without_factors_teach_in_training_alone_and_no_held_out_artist_is_heard(
    folders: tuple[Path, Path],
    split: pd.DataFrame,
    teacher: Teacher,
    fitted: dict[str, Loader],
    tmp_path: Path,
) -> None:
    prepared, told = load_sets(folders), list[str]()
    inputs = (prepared, FACTORS, split, tmp_path, SETTINGS)
    stage.train(*inputs, teacher=teacher, unlabelled={"more"}, tell=told.append)
    training, validation = (fitted[part].dataset for part in ("train", "validation"))
    assert isinstance(training, WindowDataset)
    assert isinstance(validation, WindowDataset)
    tracks = prepared.tracks.set_index("row").loc[training.rows]
    keys = tracks["artist"].map(artist_key)
    part_of = dict(zip(split["artist"], split["part"], strict=True))
    assert {part_of.get(key, "train") for key in keys} == {"train"}
    assert 0 not in set(keys.map(deal_fold))
    factors, taught = training.targets
    has_factor = tracks["item_id"].isin(FACTORS.items).to_numpy()
    np.testing.assert_array_equal(~np.isnan(factors).any(1), has_factor)
    assert (tracks["set"][~has_factor] == "more").any()
    assert (tracks["set"][~has_factor] == "renderings").any()
    assert not np.isnan(taught).any()
    assert len(validation.targets) == 1  # factors alone, of one set
    assert not np.isnan(validation.targets[0]).any()
    *accounts, line = told
    assert accounts[1].startswith("train part: ")
    n_more = int((tracks["set"] == "more").sum())
    assert line.startswith(f"{n_more} clips without factors; left out: {24 - n_more} of ")


def test_without_a_teacher_clips_without_factors_are_not_trained_on(
    folders: tuple[Path, Path], split: pd.DataFrame, fitted: dict[str, Loader], tmp_path: Path
) -> None:
    stage.train(load_sets(folders[:1]), FACTORS, split, tmp_path, SETTINGS)
    training = fitted["train"].dataset
    assert isinstance(training, WindowDataset)
    (factors,) = training.targets
    assert not np.isnan(factors).any()


def test_a_run_with_a_teacher_leaves_a_network_without_the_layer_and_a_card_with_the_teacher(
    folders: tuple[Path, Path], split: pd.DataFrame, teacher: Teacher, tmp_path: Path
) -> None:
    out = tmp_path / "run"
    inputs = (load_sets(folders), FACTORS, split, out, SETTINGS)
    stage.train(*inputs, teacher=teacher, unlabelled={"more"})
    module = EstimatorModule.load_from_checkpoint(out / "best.ckpt", map_location="cpu")
    assert module.teacher_layer is not None
    assert module.teacher_layer.out_features == 8
    log = pd.concat(pd.read_csv(log) for log in (out / "logs").glob("*/metrics.csv"))
    assert log["teacher_loss"].notna().any()
    network, _ = stage.load_network(out)
    assert not [name for name in network.state_dict() if "teacher" in name]
    assert read_teacher(out) == teacher.record
    (tmp_path / "data.json").write_text("[]")
    FACTORS.save(tmp_path / "factors")
    written, _ = export_run(
        out,
        folders[0],
        tmp_path / "models" / "taught",
        tmp_path / "data.json",
        tmp_path / "factors",
        None,
        card_version="1.0.0",
    )
    facts = written.card.provenance
    assert facts.teacher == teacher.record.digest
    assert facts.method.endswith("its features learn features of wise")
    stated = {name: facts.hyperparameters[name] for name in ("teacher_output", "teacher_weight")}
    assert stated == {"teacher_output": "features", "teacher_weight": 1.0}
    with pytest.raises(OtherRun):  # the same run without its teacher
        stage.train(load_sets(folders[:1]), FACTORS, split, out, SETTINGS)


def test_clips_without_factors_need_a_teacher(
    folders: tuple[Path, Path], split: pd.DataFrame, tmp_path: Path
) -> None:
    split.to_csv(tmp_path / "split.csv", index=False)
    FACTORS.save(tmp_path / "factors")
    inputs = ("--prepared", folders[0], "--factors", tmp_path / "factors", "--out", tmp_path / "o")
    words = ("estimator", *inputs, "--split", tmp_path / "split.csv", "--unlabelled", folders[1])
    refused = CliRunner().invoke(app, [*map(str, words), "--encoder", DEEP, "--width", "4"])
    assert refused.exit_code == 2
    assert "has no targets without a teacher" in " ".join(refused.output.replace("│", " ").split())
