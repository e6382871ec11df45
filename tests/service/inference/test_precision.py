"""The graph that runs is chosen by its measured agreement and speed, and is reported."""

from __future__ import annotations

import logging
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import onnx
import pytest

from models.bundle import Bundle, bundle_folders, read
from models.card import Precision
from models.errors import BundleError
from service.cores import cores
from service.inference import precision
from service.inference.heads import load_head
from service.inference.model import Model
from service.inference.precision import MIN_AGREEMENT, PrecisionSetting, choose_graph
from service.inference.registry import load_models
from service.inference.session import open_model, session_options
from service.inference.thread_split import ThreadSplit
from service.settings import MODELS_DIR, Settings
from tests.bundles import Doing, graph_bytes, write_bundle, write_head
from tests.convolutions import add_precision, network_bytes
from tests.redis_server import redis_running
from tests.running import running
from tests.service.scrapes import scrape
from tests.sounds import golden, write

LIGHT, HEAVY = network_bytes(channels=4), network_bytes(channels=64)
ONE = ThreadSplit(cores(), 1)


def with_graph(
    folder: Path, precision: Precision, agreement: float | None, *, faster: bool = True
) -> Bundle:
    """An encoder whose additional graph is far faster than its float32 graph, or far slower."""
    contents = (HEAVY, LIGHT) if faster else (LIGHT, HEAVY)
    return add_precision(
        write_bundle(folder, "net", contents[0]), precision, contents[1], agreement
    )


def chosen(bundle: Bundle, wanted: PrecisionSetting = "auto", *, on_gpu: bool = False) -> Precision:
    return choose_graph(bundle, wanted, on_gpu, session_options(1)).precision


def test_a_faster_int8_graph_that_agrees_runs_on_a_cpu(tmp_path: Path) -> None:
    assert chosen(with_graph(tmp_path, "int8", MIN_AGREEMENT)) == "int8"


@pytest.mark.parametrize("agreement", [0.9989, None])
def test_a_graph_without_measured_agreement_is_never_chosen_automatically(
    tmp_path: Path, agreement: float | None
) -> None:
    bundle = with_graph(tmp_path, "int8", agreement)
    assert chosen(bundle) == "float32"
    assert chosen(bundle, "int8") == "int8"


def test_a_slower_int8_graph_is_never_chosen_automatically(tmp_path: Path) -> None:
    bundle = with_graph(tmp_path, "int8", 1.0, faster=False)
    assert chosen(bundle) == "float32"
    assert chosen(bundle, "int8") == "int8"


def test_what_other_threads_compute_meanwhile_does_not_count(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    open_run = precision._open_run
    bundle, options = with_graph(tmp_path, "int8", 1.0), session_options(1)
    request = open_run(bundle, bundle.card.graph(), options)  # takes longer than the int8 graph
    with ThreadPoolExecutor(1) as requests:

        def run_beside(*arguments: Any) -> Callable[[], object]:
            run = open_run(*arguments)
            if arguments[1].precision != "int8":
                return run
            return lambda: (requests.submit(lambda: [request(), request()]).result(), run())

        monkeypatch.setattr(precision, "_open_run", run_beside)
        assert choose_graph(bundle, "auto", False, options).precision == "int8"


def test_float16_is_for_gpus_and_int8_for_cpus(tmp_path: Path) -> None:
    half = with_graph(tmp_path, "float16", 0.9999, faster=False)
    assert chosen(half, on_gpu=True) == "float16"
    assert chosen(half) == "float32"
    assert chosen(with_graph(tmp_path, "float16", 0.998), on_gpu=True) == "float32"
    assert chosen(with_graph(tmp_path, "int8", 1.0), on_gpu=True) == "float32"


def test_float32_replaces_a_graph_that_does_not_run_here_unless_set_by_name(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    bundle = write_bundle(tmp_path, "net", HEAVY)
    broken = add_precision(bundle, "int8", graph_bytes(broken=True), 1.0)
    assert open_model(broken, Settings(), ONE).precision == "float32"
    assert "net runs in float32" in caplog.text
    with pytest.raises(BundleError):
        open_model(broken, Settings(precision="int8"), ONE)


def test_a_precision_without_a_graph_is_float32_with_a_warning(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    bundle = with_graph(tmp_path, "int8", 1.0)
    with caplog.at_level(logging.WARNING):
        assert chosen(bundle, "float32") == "float32"
        assert not caplog.messages
        assert chosen(bundle, "float16") == "float32"
    assert caplog.messages == ["bundle net has no float16 graph, only float32, int8: float32 runs"]


def test_loaded_models_state_the_precision_that_runs(tmp_path: Path) -> None:
    with_graph(tmp_path, "int8", MIN_AGREEMENT)
    by_setting: dict[PrecisionSetting, Precision] = {
        "auto": "int8",
        "float32": "float32",
        "int8": "int8",
    }
    for setting, runs in by_setting.items():
        model = load_models(Settings(models_dir=tmp_path, precision=setting)).loaded["net"]
        if model.provider == "CPUExecutionProvider":
            assert model.precision == runs


def test_the_identity_in_float32_is_the_digest_of_the_bundle(tmp_path: Path) -> None:
    bundle = with_graph(tmp_path, "int8", 1.0)
    exact, int8 = (opened(bundle, precision) for precision in ("float32", "int8"))
    assert exact.identity == bundle.digest
    assert int8.identity == f"{bundle.digest}.{bundle.card.graph('int8').sha256}"


def opened(bundle: Bundle, precision: PrecisionSetting) -> Model:
    return open_model(bundle, Settings(precision=precision), ONE)


def on_encoder(
    folder: Path,
    content: bytes,
    wanted: PrecisionSetting,
    doing: Doing = "classifier",
    measured: float = 1.0,
) -> tuple[Model, Model]:
    """An encoder that runs that content as its int8 graph, and a head that was loaded on it.

    Parameters
    ----------
    measured : minimum agreement that the int8 graph states
    """
    encoder = add_precision(write_bundle(folder, "levels"), "int8", content, measured)
    bundle = write_head(folder, "mood", encoder.digest, doing)
    assert bundle.card.head
    base = opened(encoder, "int8")
    settings = Settings(precision=wanted)
    return base, load_head(bundle, bundle.card.head, base, settings, ONE)


def test_a_head_runs_on_its_int8_encoder_where_its_outputs_agree(tmp_path: Path) -> None:
    base, head = on_encoder(tmp_path, graph_bytes(), "auto")
    assert head.encoder is base
    assert head.precision == "int8"
    assert head.identity == f"{head.bundle.digest}.{base.card.graph('int8').sha256}"


def test_a_head_whose_outputs_would_differ_runs_by_its_full_graph(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    _, head = on_encoder(tmp_path, graph_bytes(root="Reciprocal"), "auto")
    assert head.encoder is None
    assert (head.precision, head.identity) == ("float32", head.bundle.digest)
    assert "mood runs by its full graph" in caplog.text
    base, asked = on_encoder(tmp_path, graph_bytes(root="Reciprocal"), "int8")
    assert asked.encoder is base


def test_a_head_whose_values_would_be_half_as_large_runs_by_its_full_graph(tmp_path: Path) -> None:
    _, head = on_encoder(tmp_path, graph_bytes(root="Identity"), "auto", "regressor")
    assert head.encoder is None


@pytest.mark.parametrize(
    ("measured", "is_on_encoder"), [(MIN_AGREEMENT, True), (MIN_AGREEMENT - 1e-4, False)]
)
def test_a_head_may_differ_on_noise_where_its_inputs_agree_on_real_audio(
    tmp_path: Path, measured: float, is_on_encoder: bool
) -> None:
    # The sigmoid of the noise's mean level is 0.56 instead of its root 0.5: agreement 0.993.
    content = graph_bytes(root="Sigmoid")
    base, head = on_encoder(tmp_path, content, "auto", "regressor", measured)
    assert head.encoder is (base if is_on_encoder else None)


def test_answers_of_two_precisions_are_never_mixed_in_redis(tmp_path: Path) -> None:
    bundle = with_graph(tmp_path / "models", "int8", 0.5)
    clip = write(tmp_path / "clip.wav", golden(2.0))
    shared: dict[str, Any] = {"models_dir": tmp_path / "models", "default_model": "net"}
    answers = []
    with redis_running() as redis:
        for precision in ("float32", "int8", "auto"):
            settings = shared | {"redis_url": redis.url, "precision": precision}
            settings["redis_timeout_ms"] = 10_000  # no slow answer is taken for a failure
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
    assert [answer["model"]["precision"] for answer in answers] == ["float32", "int8", "float32"]
    assert {answer["model"]["digest"] for answer in answers} == {bundle.digest}
    assert [answer["cached"] for answer in answers] == [False, False, True]
    assert first["embedding"] == third["embedding"] != second["embedding"]


def test_the_shipped_estimator_has_every_precision() -> None:
    card = read(MODELS_DIR / "cf-estimator").card
    assert {graph.precision for graph in card.graphs} == {"float32", "float16", "int8"}


@pytest.mark.parametrize("folder", bundle_folders(MODELS_DIR), ids=lambda folder: folder.name)
def test_shipped_graphs_agree_with_float32(folder: Path) -> None:
    for graph in read(folder).card.graphs:
        if graph.precision != "float32":
            assert graph.agreement
            assert graph.agreement.minimum >= MIN_AGREEMENT
            assert graph.agreement.windows >= 300
            assert all(data.licence for data in graph.agreement.data)
            model = onnx.load(folder / graph.file, load_external_data=False)
            assert [opset.domain for opset in model.opset_import] == [""]
