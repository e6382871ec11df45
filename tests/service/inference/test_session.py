"""Good bundles are loaded, bad ones refused by name and reason; the provider is the real one."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import onnx
import pytest

from service.errors import CannotStart, UnknownModel
from service.inference.devices import CPU, CUDA, count_cuda_devices
from service.inference.registry import load_models
from service.settings import Settings
from tests.bundles import AUDIO, DIM, WIDTH, graph_bytes, write_bundle
from tests.running import running
from tests.sounds import golden, write


def as_double(graph: bytes) -> bytes:
    """The same graph for float64, which no window is."""
    model = onnx.load_from_string(graph)
    for value in [*model.graph.input, *model.graph.output]:
        value.type.tensor_type.elem_type = onnx.TensorProto.DOUBLE
    return bytes(model.SerializeToString())


def test_bad_bundles_are_refused_and_the_others_go_on(tmp_path: Path) -> None:
    write_bundle(tmp_path, "good")
    write_bundle(tmp_path, "nan", graph_bytes(broken=True))
    write_bundle(tmp_path, "lacking", graph_bytes(outputs=("embedding",)))
    write_bundle(tmp_path, "no-onnx", b"no ONNX")
    changed = write_bundle(tmp_path, "changed")
    (changed.folder / "model.onnx").write_bytes(graph_bytes(broken=True))
    (write_bundle(tmp_path, "schema").folder / "card.json").write_text('{"name": "schema"}')
    write_bundle(tmp_path, "double", as_double(graph_bytes()))
    shutil.copytree(tmp_path / "good", tmp_path / "copy")
    models = load_models(Settings(models_dir=tmp_path))
    assert list(models.loaded) == ["good"]
    reasons = {
        "nan": "not finite",
        "lacking": "no output features",
        "no-onnx": "cannot be loaded",
        "changed": "not the file that its card describes",
        "schema": "breaks the schema",
        "double": "cannot be loaded and run",
        "copy": "its card names it good",
    }
    assert models.refused.keys() == reasons.keys()
    for name, reason in reasons.items():
        assert name in models.refused[name]
        assert reason in models.refused[name]


def test_the_outputs_have_the_cards_shapes(tmp_path: Path) -> None:
    write_bundle(tmp_path, "good")
    model = load_models(Settings(models_dir=tmp_path)).loaded["good"]
    outputs = model.run(np.zeros((3, AUDIO.window_samples), np.float32))
    assert {name: values.shape for name, values in outputs.items()} == {
        "embedding": (3, DIM),
        "features": (3, WIDTH),
    }


def test_an_unknown_model_lists_the_known_models(tmp_path: Path) -> None:
    write_bundle(tmp_path, "good")
    with pytest.raises(UnknownModel) as caught:
        load_models(Settings(models_dir=tmp_path)).find("other")
    assert caught.value.limit == "good"


def test_no_bundle_is_no_service(tmp_path: Path) -> None:
    with pytest.raises(CannotStart, match="no bundle"):
        load_models(Settings(models_dir=tmp_path))


def test_a_required_gpu_that_is_not_used_is_fatal(tmp_path: Path) -> None:
    write_bundle(tmp_path, "good")
    used = load_models(Settings(models_dir=tmp_path)).loaded["good"].provider
    if used == CUDA:
        assert load_models(Settings(models_dir=tmp_path, require_gpu=True)).loaded
    else:
        assert used == CPU
        with pytest.raises(CannotStart, match="REQUIRE_GPU"):
            load_models(Settings(models_dir=tmp_path, require_gpu=True))


def test_a_missing_default_model_is_reported_at_startup(tmp_path: Path) -> None:
    write_bundle(tmp_path, "levels")
    assert load_models(Settings(models_dir=tmp_path, default_model="levels")).loaded
    with pytest.raises(CannotStart, match="DEFAULT_MODEL") as refused:
        load_models(Settings(models_dir=tmp_path, default_model="level"))
    assert refused.value.limit == "levels"


def test_the_cpu_is_used_without_an_alarm(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    if count_cuda_devices():
        pytest.skip("there is a CUDA device")
    write_bundle(tmp_path, "good")
    load_models(Settings(models_dir=tmp_path))
    assert capfd.readouterr().err == ""


def test_several_models_and_a_refused_one_are_served(tmp_path: Path) -> None:
    folder = tmp_path / "models"
    folder.mkdir()
    digests = {name: write_bundle(folder, name).digest for name in ("one", "two")}
    write_bundle(folder, "bad", graph_bytes(broken=True))
    clip = write(tmp_path / "clip.wav", golden(2.0))
    with running(tmp_path / "log", models_dir=folder, decode_workers=1) as service:
        listed = service.http.get("/models").json()
        assert [model["name"] for model in listed["models"]] == ["one", "two"]
        assert [model["name"] for model in listed["refused"]] == ["bad"]
        assert "refused  bad" in service.log()
        for name, digest in digests.items():
            answer = service.embedding(clip, model=name)
            assert answer["model"]["digest"] == digest
            assert answer["cached"] is False
            assert answer["window"]["seconds"] == AUDIO.window_s
        missing = service.embed(clip)  # the default model is not among these
        assert missing.status_code == 404
        assert missing.json()["limit"] == "one, two"
