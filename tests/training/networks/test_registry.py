"""A further encoder is one file and one entry: trained, evaluated, exported and read back."""

from __future__ import annotations

from collections import deque
from dataclasses import replace
from datetime import date
from pathlib import Path

import numpy as np
import onnxruntime as ort
import pandas as pd
import pytest
import soundfile
import torch

from models.bundle import verify_session
from models.card import Provenance
from models.errors import BundleError
from tests.bundles import write_bundle
from tests.training.networks.tiny_encoder import ENTRY, NAME, TinyEncoder
from training.audio.windows import Prepared, prepare
from training.cf.als import Factorization
from training.cf.settings import AlsSettings
from training.errors import OtherAudio, UnknownEncoder
from training.estimator.evaluate import predict
from training.estimator.settings import EstimatorSettings
from training.estimator.train import load_network, train
from training.export.estimator import export_encoder
from training.export.reload import load_network_from_bundle
from training.networks.cf_estimator import CFEstimator
from training.networks.registry import (
    DEFAULT_ENCODER,
    ENCODERS,
    class_of_card,
    encoder_class,
    find_entry,
    name_of,
)

N_TRACKS, N_FACTORS = 12, 6
SETTINGS = EstimatorSettings(
    encoder=NAME, width=4, max_epochs=1, batch_size=4, crop_s=0.5, accelerator="cpu"
)


@pytest.fixture(autouse=True)
def _registered(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(ENCODERS, NAME, ENTRY)


@pytest.fixture(scope="module")
def prepared(tmp_path_factory: pytest.TempPathFactory) -> Prepared:
    folder = tmp_path_factory.mktemp("tiny")
    rng, rate = np.random.default_rng(0), TinyEncoder.audio.sample_rate
    rows = []
    for index in range(N_TRACKS):
        path = folder / f"{index}.wav"
        soundfile.write(path, rng.uniform(-0.5, 0.5, 3 * rate) * (index + 1) / N_TRACKS, rate)
        name = str(index)
        rows.append({"track_id": name, "item_id": name, "artist": name, "path": str(path)})
    deque(prepare(pd.DataFrame(rows), folder / "prepared", TinyEncoder.audio), maxlen=0)
    return Prepared.load(folder / "prepared")


@pytest.fixture(scope="module")
def factors() -> Factorization:
    vectors = np.random.default_rng(1).standard_normal((N_TRACKS, N_FACTORS)).astype(np.float32)
    items = pd.Index([str(index) for index in range(N_TRACKS)])
    return Factorization(vectors, vectors, items, items, AlsSettings(N_FACTORS), {})


def split_of(prepared: Prepared) -> pd.DataFrame:
    parts = ["train"] * 8 + ["validation"] * 2 + ["test"] * 2
    return prepared.tracks[["track_id", "item_id", "artist"]].assign(part=parts)


def test_it_is_trained_evaluated_exported_and_read_back(
    prepared: Prepared, factors: Factorization, tmp_path: Path
) -> None:
    train(prepared, factors, split_of(prepared), tmp_path / "run", SETTINGS)
    network, settings = load_network(tmp_path / "run")
    assert settings == SETTINGS
    assert isinstance(network, TinyEncoder)
    rows = np.arange(4)
    embeddings = predict(network, prepared, rows, lambda _, batches: batches)
    assert embeddings.shape == (4, N_FACTORS)  # the size of the factors

    facts = Provenance(
        method=f"{network.title}, MSE + cosine proximity",
        data=(),
        seed=0,
        hyperparameters=settings.to_record(),
        code_version="test",
        metrics={},
        split="none",
        created=date(2026, 1, 1),
    )
    written, errors = export_encoder(network, tmp_path / "model", prepared.waveforms(rows), facts)
    assert max(errors.values()) < 1e-4
    card = written.card
    assert (card.architecture, card.audio) == (NAME, TinyEncoder.audio)
    assert (card.output_shape("embedding"), card.output_shape("features")) == ((N_FACTORS,), (8,))
    graph = written.graph_bytes(card.graph())
    verify_session(card, ort.InferenceSession(graph, providers=["CPUExecutionProvider"]))

    again = load_network_from_bundle(written)
    assert isinstance(again, TinyEncoder)
    for name, weight in network.state_dict().items():
        assert torch.equal(again.state_dict()[name], weight), name


def test_windows_for_another_encoder_are_refused(
    prepared: Prepared, factors: Factorization, tmp_path: Path
) -> None:
    settings = replace(SETTINGS, encoder=DEFAULT_ENCODER, width=32)
    with pytest.raises(OtherAudio, match="prepare the audio again"):
        train(prepared, factors, split_of(prepared), tmp_path, settings)


def test_names_and_classes_map_to_each_other() -> None:
    assert encoder_class(DEFAULT_ENCODER) is CFEstimator
    assert name_of(TinyEncoder(4, 6)) == NAME
    assert find_entry(DEFAULT_ENCODER).widths == (32, 64, 128, 256)
    with pytest.raises(UnknownEncoder, match="no encoder 'other'; choose one of cf-"):
        encoder_class("other")


def test_a_card_without_architecture_is_of_the_cf_estimator(tmp_path: Path) -> None:
    card = write_bundle(tmp_path, "levels").card
    assert card.architecture is None
    assert "architecture" not in card.model_dump_json()
    assert class_of_card(card) is CFEstimator
    named = card.model_copy(update={"architecture": NAME})
    assert '"architecture":"tiny"' in named.model_dump_json()
    assert class_of_card(named) is TinyEncoder


def test_weights_of_another_architecture_are_refused(tmp_path: Path) -> None:
    bundle = write_bundle(tmp_path, "levels")
    other = replace(bundle, card=bundle.card.model_copy(update={"architecture": NAME}))
    with pytest.raises(BundleError, match="does not hold the weights of a tiny"):
        load_network_from_bundle(other)


def test_the_default_encoder_leaves_no_trace_in_records() -> None:
    assert "encoder" not in EstimatorSettings().to_record()
    assert SETTINGS.to_record()["encoder"] == NAME


def test_crops_are_multiples_of_what_the_pooling_divides() -> None:
    assert CFEstimator.crop_multiple == 120_000
    lengths = [CFEstimator.crop_samples(crop_s) for crop_s in (0, 1, 7.5, 12, 30)]
    assert lengths == [0, 120_000, 120_000, 240_000, 480_000]
    assert TinyEncoder.crop_samples(0.5) == 4_000
