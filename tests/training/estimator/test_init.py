"""Runs that start from a bundle's weights: learning rates, records, and the card."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pandas as pd
import pytest
import torch
from typer.testing import CliRunner

from models.card import Data
from tests.training.estimator.sets import N_FACTORS, make_factors, make_set
from tests.training.networks.tiny_encoder import NAME, TinyEncoder
from training.audio.manifest import load_manifest
from training.audio.windows import Prepared
from training.cli.main import app
from training.errors import OtherRun
from training.estimator.artist_split import split_by_artist
from training.estimator.module import EstimatorModule
from training.estimator.settings import EstimatorSettings
from training.estimator.sources import InitialWeights, SourceRecord, read_init
from training.estimator.train import load_network, train
from training.export.estimator import export_run

pytestmark = pytest.mark.usefixtures("tiny_encoders")

ARTISTS = [f"artist {number}" for number in range(24)]
FACTORS = make_factors(ARTISTS)
WEIGHTS = Data(name="noise", use="audio", licence="CC0")
RECORD = SourceRecord(name="born", version="1", digest="1" * 64, data=(WEIGHTS,))
SETTINGS = EstimatorSettings(
    encoder=NAME,
    width=4,
    crop_s=0.5,
    max_epochs=1,
    batch_size=8,
    accelerator="cpu",
    trainable="head",
)


@pytest.fixture
def init() -> InitialWeights:
    torch.manual_seed(5)
    return InitialWeights(RECORD, TinyEncoder(4, 3))


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_set(tmp_path_factory.mktemp("sets") / "tones", dict.fromkeys(ARTISTS, 2))


def test_a_run_trains_the_head_on_the_weights_of_the_bundle(
    folder: Path, init: InitialWeights, tmp_path: Path
) -> None:
    out = tmp_path / "run"
    split = split_by_artist(load_manifest(folder), validation=0.3)
    train(Prepared.load(folder), FACTORS, split, out, SETTINGS, init=init)
    network, _ = load_network(out)
    for name, weight in init.network.state_dict().items():
        is_kept = torch.equal(network.state_dict()[name], weight)
        assert is_kept != name.startswith("embed."), name
    assert network.embedding_dim == N_FACTORS
    assert read_init(out) == RECORD
    (tmp_path / "data.json").write_text("[]")
    FACTORS.save(tmp_path / "factors")
    inputs = (tmp_path / "models" / "tuned", tmp_path / "data.json", tmp_path / "factors", None)
    written, _ = export_run(out, folder, *inputs, card_version="1.0.0")
    facts = written.card.provenance
    assert "from the weights of born" in facts.method
    assert facts.data[0].use == "initial weights (born): audio"
    assert facts.hyperparameters["trainable"] == "head"
    assert facts.hyperparameters["init_lr_scale"] == 0.1
    with pytest.raises(OtherRun):  # the same run from random weights
        train(Prepared.load(folder), FACTORS, split, out, SETTINGS)


def test_frozen_parts_keep_their_statistics_in_a_run_resumed_within_an_epoch(
    folder: Path, init: InitialWeights, tmp_path: Path
) -> None:
    split = split_by_artist(load_manifest(folder), validation=0.3)
    by_steps = replace(SETTINGS, max_epochs=0, validation_steps=2)  # an epoch is of three steps
    for max_steps in (2, 6):
        settings = replace(by_steps, max_steps=max_steps)
        train(Prepared.load(folder), FACTORS, split, tmp_path, settings, init=init)
        last = torch.load(tmp_path / "last.ckpt", weights_only=True)
        assert last["global_step"] == max_steps
        for name, weight in init.network.state_dict().items():
            if not name.startswith("embed."):
                assert torch.equal(last["state_dict"][f"network.{name}"], weight), name


@pytest.mark.parametrize("teacher_dim", [0, 5])
def test_new_layers_have_the_whole_learning_rate(
    teacher_dim: int,
) -> None:
    module = EstimatorModule(
        4,
        0.5,
        0.01,
        False,
        NAME,
        N_FACTORS,
        teacher_dim=teacher_dim,
        init_lr_scale=0.25,
    )
    optimizer = module.configure_optimizers()
    rates = {
        id(weight): group["lr"] for group in optimizer.param_groups for weight in group["params"]
    }
    found = {name: rates[id(weight)] for name, weight in module.named_parameters()}
    new = {name for name, rate in found.items() if rate == 0.01}
    expected = {f"network.embed.{kind}" for kind in ("weight", "bias")}
    if teacher_dim:
        expected |= {f"teacher_layer.{kind}" for kind in ("weight", "bias")}
    assert new == expected
    assert {rate for name, rate in found.items() if name not in new} == {0.0025}


def test_random_weights_are_not_frozen(folder: Path, tmp_path: Path) -> None:
    pd.DataFrame().to_csv(tmp_path / "split.csv")
    FACTORS.save(tmp_path / "factors")
    inputs = ("--prepared", folder, "--factors", tmp_path / "factors", "--out", tmp_path / "out")
    words = ("estimator", *inputs, "--split", tmp_path / "split.csv", "--trainable", "last")
    refused = CliRunner().invoke(app, [str(word) for word in words])
    assert refused.exit_code == 2
    assert "would freeze random weights" in " ".join(refused.output.split())
