"""Which graph runs is chosen by what was measured of it, and what runs can be seen."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

import onnx
import pytest

from models.bundle import Bundle, read
from models.card import Precision
from models.errors import BundleError
from service.inference.heads import load_head
from service.inference.precision import LEAST_AGREEMENT, Wanted, chosen_graph
from service.inference.registry import load_models
from service.inference.session import Model, open_whole, options
from service.inference.thread_split import Split
from service.settings import MODELS_DIR, Settings, cores
from tests.bundles import Doing, graph_bytes, write_bundle, write_head
from tests.convolutions import add_precision, network_bytes
from tests.redis_server import redis_running
from tests.running import running
from tests.service.scrapes import scrape
from tests.sounds import golden, write

LIGHT, HEAVY = network_bytes(channels=4), network_bytes(channels=64)
ONE = Split(cores(), 1)


def with_graph(
    folder: Path, precision: Precision, least: float | None, *, quicker: bool = True
) -> Bundle:
    """An encoder whose further graph is far quicker than its float32 graph, or far slower."""
    contents = (HEAVY, LIGHT) if quicker else (LIGHT, HEAVY)
    return add_precision(write_bundle(folder, "net", contents[0]), precision, contents[1], least)


def chosen(bundle: Bundle, wanted: Wanted = "auto", *, on_gpu: bool = False) -> Precision:
    return chosen_graph(bundle, wanted, on_gpu, options(cores())).precision


def test_a_quicker_int8_graph_that_agrees_runs_on_a_cpu(tmp_path: Path) -> None:
    assert chosen(with_graph(tmp_path, "int8", LEAST_AGREEMENT)) == "int8"


@pytest.mark.parametrize("least", [0.9989, None])
def test_one_that_does_not_agree_or_was_not_measured_never_runs_unasked(
    tmp_path: Path, least: float | None
) -> None:
    bundle = with_graph(tmp_path, "int8", least)
    assert chosen(bundle) == "float32"
    assert chosen(bundle, "int8") == "int8"


def test_a_slower_int8_graph_never_runs_unasked(tmp_path: Path) -> None:
    bundle = with_graph(tmp_path, "int8", 1.0, quicker=False)
    assert chosen(bundle) == "float32"
    assert chosen(bundle, "int8") == "int8"


def test_float16_is_for_gpus_and_int8_for_cpus(tmp_path: Path) -> None:
    half = with_graph(tmp_path, "float16", 0.9999, quicker=False)
    assert chosen(half, on_gpu=True) == "float16"
    assert chosen(half) == "float32"
    assert chosen(with_graph(tmp_path, "float16", 0.998), on_gpu=True) == "float32"
    assert chosen(with_graph(tmp_path, "int8", 1.0), on_gpu=True) == "float32"


def test_a_graph_that_does_not_run_here_leaves_its_place_unless_it_was_named(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    bundle = write_bundle(tmp_path, "net", HEAVY)
    broken = add_precision(bundle, "int8", graph_bytes(broken=True), 1.0)
    assert open_whole(broken, Settings(), ONE).precision == "float32"
    assert "net runs in float32" in caplog.text
    with pytest.raises(BundleError):
        open_whole(broken, Settings(precision="int8"), ONE)


def test_a_precision_that_is_not_there_is_float32_and_said(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    bundle = with_graph(tmp_path, "int8", 1.0)
    with caplog.at_level(logging.WARNING):
        assert chosen(bundle, "float32") == "float32"
        assert not caplog.messages
        assert chosen(bundle, "float16") == "float32"
    assert caplog.messages == ["bundle net has no float16 graph, only float32, int8: float32 runs"]


def test_the_models_that_are_loaded_say_what_they_run(tmp_path: Path) -> None:
    with_graph(tmp_path, "int8", LEAST_AGREEMENT)
    by_setting: dict[Wanted, Precision] = {"auto": "int8", "float32": "float32", "int8": "int8"}
    for setting, runs in by_setting.items():
        model = load_models(Settings(models_dir=tmp_path, precision=setting)).loaded["net"]
        if model.provider == "CPUExecutionProvider":
            assert model.precision == runs


def test_what_runs_in_float32_is_known_by_the_bundles_digest_alone(tmp_path: Path) -> None:
    bundle = with_graph(tmp_path, "int8", 1.0)
    exact, int8 = (opened(bundle, each) for each in ("float32", "int8"))
    assert exact.identity == bundle.digest
    assert int8.identity == f"{bundle.digest}.{bundle.card.graph('int8').sha256}"


def opened(bundle: Bundle, precision: Wanted) -> Model:
    return open_whole(bundle, Settings(precision=precision), ONE)


def on_encoder(
    folder: Path, content: bytes, wanted: Wanted, doing: Doing = "classifier"
) -> tuple[Model, Model]:
    """An encoder that runs that content as its int8 graph, and what becomes of a head on it."""
    encoder = add_precision(write_bundle(folder, "levels"), "int8", content, 1.0)
    bundle = write_head(folder, "mood", encoder.digest, doing)
    assert bundle.card.head
    base = opened(encoder, "int8")
    settings = Settings(precision=wanted)
    return base, load_head(bundle, bundle.card.head, base, settings, ONE)


def test_a_head_takes_what_its_encoder_puts_out_where_its_answer_agrees(tmp_path: Path) -> None:
    base, head = on_encoder(tmp_path, graph_bytes(), "auto")
    assert head.encoder is base
    assert head.precision == "int8"
    assert head.identity == f"{head.bundle.digest}.{base.card.graph('int8').sha256}"


def test_a_head_whose_answer_would_be_another_runs_by_itself(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    _, head = on_encoder(tmp_path, graph_bytes(root="Reciprocal"), "auto")
    assert head.encoder is None
    assert (head.precision, head.identity) == ("float32", head.bundle.digest)
    assert "mood runs by itself" in caplog.text
    base, asked = on_encoder(tmp_path, graph_bytes(root="Reciprocal"), "int8")
    assert asked.encoder is base


def test_so_does_one_whose_values_would_be_half_as_large(tmp_path: Path) -> None:
    _, head = on_encoder(tmp_path, graph_bytes(root="Identity"), "auto", "regressor")
    assert head.encoder is None


def test_answers_of_two_precisions_are_never_mixed_in_redis(tmp_path: Path) -> None:
    bundle = with_graph(tmp_path / "models", "int8", 0.5)
    clip = write(tmp_path / "clip.wav", golden(2.0))
    shared: dict[str, Any] = {"models_dir": tmp_path / "models", "default_model": "net"}
    answers = []
    with redis_running() as redis:
        for precision in ("float32", "int8", "auto"):
            settings = shared | {"redis_url": redis.url, "precision": precision}
            with running(tmp_path / "log", decode_workers=1, **settings) as service:
                answers.append(service.embedding(clip))
                (model,) = service.http.get("/models").json()["models"]
                (stated,) = scrape(service).labels("tasteprint_model_info")
                raw = {"Accept": "application/octet-stream"}
                content = clip.read_bytes()
                whole = service.http.post("/embed", files={"file": content}, headers=raw)
                assert f" in {answers[-1]['model']['precision']}\n" in service.log()
            used = {model["precision"], stated["precision"], whole.headers["tasteprint-precision"]}
            assert used == {answers[-1]["model"]["precision"]}
    first, second, third = answers
    assert [each["model"]["precision"] for each in answers] == ["float32", "int8", "float32"]
    assert {each["model"]["digest"] for each in answers} == {bundle.digest}
    assert [each["cached"] for each in answers] == [False, False, True]
    assert first["embedding"] == third["embedding"] != second["embedding"]


def test_what_is_shipped_agrees_with_float32(tmp_path: Path) -> None:
    card = read(MODELS_DIR / "cf-estimator").card
    assert {graph.precision for graph in card.graphs} == {"float32", "float16", "int8"}
    for graph in card.graphs:
        if graph.precision != "float32":
            assert graph.agreement
            assert graph.agreement.least >= LEAST_AGREEMENT
            assert graph.agreement.windows >= 300
            assert all(data.licence for data in graph.agreement.data)
            model = onnx.load(MODELS_DIR / "cf-estimator" / graph.file, load_external_data=False)
            assert [each.domain for each in model.opset_import] == [""]
