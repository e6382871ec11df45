"""A head runs on its encoder where that is loaded, else by the bundle's full graph."""

from __future__ import annotations

import asyncio
from pathlib import Path

import numpy as np
import pytest

from service.inference.model import Model
from service.inference.registry import load_models
from service.settings import Settings
from tests.bundles import (
    AUDIO,
    DIM,
    LEVELS,
    WIDTH,
    graph_bytes,
    head_bytes,
    in_space,
    write_bundle,
    write_head,
)
from tests.service.tasks import LONG, counted
from tests.sounds import golden, write


def loaded(folder: Path) -> dict[str, Model]:
    return load_models(Settings(models_dir=folder)).loaded


def refused(folder: Path) -> dict[str, str]:
    return load_models(Settings(models_dir=folder)).refused


@pytest.mark.parametrize("name", ["a-mood", "mood"])  # before and after its encoder
def test_a_head_is_loaded_on_its_encoder_in_any_order(tmp_path: Path, name: str) -> None:
    write_head(tmp_path, name, write_bundle(tmp_path, "levels").digest)
    models = loaded(tmp_path)
    assert list(models) == sorted([name, "levels"])
    assert models[name].encoder is models["levels"]
    assert (models[name].input_name, models[name].output_names) == ("features", ["probabilities"])


def test_without_its_encoder_the_full_graph_answers_the_same(tmp_path: Path) -> None:
    clip = write(tmp_path / "clip.wav", golden(3.0, 16_000, 1), 16_000)
    levels = write_bundle(tmp_path / "both", "levels")
    for folder in ("both", "alone"):
        write_head(tmp_path / folder, "mood", levels.digest)
    assert loaded(tmp_path / "alone")["mood"].encoder is None

    async def scenario() -> None:
        for window in ("middle", "all"):
            answers = []
            for folder in ("both", "alone"):
                async with counted(tmp_path / folder, "mood") as service:
                    query = {"window": window, "vectors": True}
                    answers.append(await service.answer("/classify/mood", clip, **query))
            shared, whole = answers
            assert shared["window"] == whole["window"]
            assert whole["window"]["how"] == window
            assert shared["embedding"] == pytest.approx(whole["embedding"], abs=1e-6)
            for one, other in zip(shared["labels"], whole["labels"], strict=True):
                assert one == other | {"probability": pytest.approx(other["probability"], abs=1e-6)}

    asyncio.run(scenario())


def test_a_bad_head_is_refused_by_name_and_other_bundles_are_loaded(tmp_path: Path) -> None:
    levels = write_bundle(tmp_path, "levels").digest
    long = write_bundle(tmp_path, "long", audio=LONG).digest
    heads = {
        "wide": (head_bytes("classifier", "features", dim=DIM), "inputs differ"),
        "other-input": (head_bytes("classifier", "embedding"), "inputs differ"),
        "other-output": (head_bytes("regressor", "features"), "no output probabilities"),
        "other-weights": (head_bytes("classifier", "features", seed=1), "differs from its full"),
        "no-onnx": (b"no ONNX", "cannot be loaded"),
    }
    for name, (content, _) in heads.items():
        write_head(tmp_path, name, levels, head=content)
    write_head(tmp_path, "other-audio", long)
    write_head(tmp_path, "good", levels)
    (write_head(tmp_path, "changed", levels).folder / "head.onnx").write_bytes(b"changed")
    models = load_models(Settings(models_dir=tmp_path))
    assert list(models.loaded) == ["good", "levels", "long"]
    reasons = {name: reason for name, (_, reason) in heads.items()}
    reasons |= {"other-audio": "audio input", "changed": "head.onnx is not the file"}
    assert models.refused.keys() == reasons.keys()
    for name, reason in reasons.items():
        assert name in models.refused[name]
        assert reason in models.refused[name]


def test_a_bad_head_is_refused_also_without_its_encoder(tmp_path: Path) -> None:
    write_bundle(tmp_path, "levels")
    write_head(tmp_path, "mood", "0" * 64, head=head_bytes("classifier", "features", seed=1))
    assert "differs from its full graph" in refused(tmp_path)["mood"]


def test_a_head_whose_own_graph_holds_another_encoder_is_refused(tmp_path: Path) -> None:
    other = write_bundle(tmp_path, "other", graph_bytes(root="Exp"))
    write_head(tmp_path, "mood", other.digest)
    assert "other's embedding differs from its full graph's" in refused(tmp_path)["mood"]


def test_a_head_on_a_head_runs_its_own_graph(tmp_path: Path) -> None:
    first = write_head(tmp_path, "first", write_bundle(tmp_path, "levels").digest)
    write_head(tmp_path, "second", first.digest)
    assert loaded(tmp_path)["second"].encoder is None


def test_a_head_on_several_outputs_takes_them_in_its_order(tmp_path: Path) -> None:
    levels = write_bundle(tmp_path, "levels", levels=True)
    write_head(tmp_path, "mood", levels.digest, on=("fine", "features", "coarse"))
    model = loaded(tmp_path)["mood"]
    assert model.encoder is not None
    assert (model.input_name, model.input_shape) == ("concatenated", (8 + WIDTH + 2,))
    encoded = model.encoder.run(np.ones((1, AUDIO.window_samples), np.float32))
    encoded |= {"coarse": np.full((1, 2), 2.0, np.float32), "fine": np.full((1, 8), 3, np.float32)}
    assert model.head_input(encoded).tolist() == [[3] * 8 + [1] * WIDTH + [2] * 2]


def test_a_head_on_outputs_that_its_encoder_lacks_is_refused_by_name(tmp_path: Path) -> None:
    levels = write_bundle(tmp_path, "levels")
    write_head(tmp_path, "mood", levels.digest, on=("features", "coarse"))
    assert "mood: its encoder levels has no output coarse" in refused(tmp_path)["mood"]


def test_a_head_on_levels_that_does_not_fit_them_is_refused(tmp_path: Path) -> None:
    levels = write_bundle(tmp_path, "levels", levels=True)
    bundle = write_head(tmp_path, "mood", levels.digest, on=("coarse", "fine"))
    assert loaded(tmp_path)["mood"].encoder is not None
    head = head_bytes("classifier", ("coarse", "fine"), seed=1)
    write_head(tmp_path, "other", levels.digest, on=("coarse", "fine"), head=head)
    narrow = head_bytes("classifier", ("coarse", "fine"), dim=sum(LEVELS.values()) - 1)
    write_head(tmp_path, "narrow", levels.digest, on=("coarse", "fine"), head=narrow)
    assert bundle.card.name not in refused(tmp_path)
    assert "differs from its full graph" in refused(tmp_path)["other"]
    assert "inputs differ" in refused(tmp_path)["narrow"]


def test_a_head_on_levels_runs_its_full_graph_without_its_encoder(tmp_path: Path) -> None:
    clip = write(tmp_path / "clip.wav", golden(3.0, 16_000, 1), 16_000)
    levels = write_bundle(tmp_path / "both", "levels", levels=True)
    for folder in ("both", "alone"):
        write_head(tmp_path / folder, "mood", levels.digest, on=("fine", "coarse"))
    assert loaded(tmp_path / "alone")["mood"].encoder is None

    async def scenario() -> None:
        for window in ("middle", "all"):
            answers = []
            for folder in ("both", "alone"):
                async with counted(tmp_path / folder, "mood") as service:
                    answers.append(await service.answer("/classify/mood", clip, window=window))
            shared, whole = (answer["labels"] for answer in answers)
            for one, other in zip(shared, whole, strict=True):
                assert one == other | {"probability": pytest.approx(other["probability"], abs=1e-6)}

    asyncio.run(scenario())


def test_a_head_that_states_another_space_than_its_encoder_is_refused(tmp_path: Path) -> None:
    space, other = "a" * 64, "b" * 64
    digest = in_space(write_bundle(tmp_path, "levels"), space).digest
    in_space(write_head(tmp_path, "mood", digest), space)
    write_head(tmp_path, "silent", digest)
    in_space(write_head(tmp_path, "strange", digest), other)
    registry = load_models(Settings(models_dir=tmp_path))
    assert registry.loaded.keys() == {"levels", "mood", "silent"}
    words = "bundle strange: it states another CF space than its encoder levels"
    assert registry.refused["strange"].startswith(words)


def test_every_head_of_an_encoder_shares_its_run(tmp_path: Path) -> None:
    clip = write(tmp_path / "clip.wav", golden(3.0, 16_000, 1), 16_000)
    levels = write_bundle(tmp_path, "levels", levels=True)
    write_head(tmp_path, "mood", levels.digest, on="features")
    write_head(tmp_path, "on-levels", levels.digest, on=("fine", "coarse"))
    write_head(tmp_path, "tags", levels.digest, "tagger", on=("features", "coarse"), task="tags")

    async def scenario() -> None:
        async with counted(tmp_path) as service:
            whole = await service.answer("/analyze", clip)
            assert whole["models"].keys() == {"levels", "mood", "on-levels", "tags"}
            assert not any("problem" in part for part in whole["models"].values())
            assert service.runs == dict.fromkeys(whole["models"], 1)
            assert service.decodings == {AUDIO.window_s: 1}

    asyncio.run(scenario())


def test_readiness_goes_through_the_head_and_its_encoder_once(tmp_path: Path) -> None:
    levels = write_bundle(tmp_path, "levels")
    for name in ("mood", "other-mood"):
        write_head(tmp_path, name, levels.digest)

    async def scenario() -> None:
        async with counted(tmp_path) as service:
            ready = (await service.http.get("/readyz")).json()
            assert ready["providers"].keys() == {"levels", "mood", "other-mood"}
            assert service.runs == dict.fromkeys(ready["providers"], 1)
            assert service.decodings == {AUDIO.window_s: 1}

    asyncio.run(scenario())
