"""SIGHUP takes bundles that were replaced, without losing a request."""

from __future__ import annotations

import signal
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np

from models.bundle import Bundle
from models.catalogue import Catalogue, CatalogueSource, save
from tests.bundles import (
    DIM,
    SIZES,
    graph_bytes,
    in_space,
    small_models,
    write_bundle,
    write_head,
)
from tests.running import Service, running, wait_until
from tests.service.test_server import frozen
from tests.sounds import golden, write

OTHER = graph_bytes(outputs=tuple(SIZES), root="Abs")


def digest(service: Service, name: str = "levels") -> str:
    models = service.http.get("/models").json()["models"]
    return next((model["digest"] for model in models if model["name"] == name), "")


def hang_up(service: Service) -> None:
    service.process.send_signal(signal.SIGHUP)


def test_a_replaced_bundle_answers_after_sighup(tmp_path: Path) -> None:
    clip = write(tmp_path / "x.wav", golden(2.0))
    with running(tmp_path / "log", **small_models(tmp_path)) as service:
        before = service.embedding(clip)
        new = write_bundle(tmp_path / "models", "levels", OTHER)
        hang_up(service)
        wait_until(lambda: digest(service) == new.digest, "the new bundle is in use")
        after = service.embedding(clip)
        # The new graph has the levels themselves, and the old one their roots.
        np.testing.assert_allclose(np.square(before["embedding"]), after["embedding"], rtol=1e-4)
        assert f"({new.digest[:12]}) now" in service.log()


def test_a_request_in_progress_ends_with_the_model_that_it_began_with(tmp_path: Path) -> None:
    clips = [write(tmp_path / f"{seed}.wav", golden(2.0, seed=seed)) for seed in (1, 2)]
    with running(tmp_path / "log", **small_models(tmp_path)) as service, ThreadPoolExecutor(2) as t:
        old = digest(service)
        expected = service.embedding(clips[0])["embedding"]
        with frozen(service):
            began = t.submit(service.embed, clips[1])
            wait_until(
                lambda: service.metric("tasteprint_windows_in_work 1.0"), "the request is in work"
            )
            new = write_bundle(tmp_path / "models", "levels", OTHER)
            hang_up(service)
            wait_until(lambda: digest(service) == new.digest, "the new bundle is in use")
        answer = began.result()
        assert answer.status_code == 200
        assert answer.json()["model"]["digest"] == old
        fresh = service.embedding(clips[1])
        assert fresh["model"]["digest"] == new.digest
        squared = np.square(answer.json()["embedding"])
        np.testing.assert_allclose(squared, fresh["embedding"], rtol=1e-4)
        # Nor does the cache take the one for the other.
        again = service.embedding(clips[0])["embedding"]
        np.testing.assert_allclose(np.square(expected), again, rtol=1e-4)


def test_a_damaged_bundle_is_logged_and_the_old_one_stays(tmp_path: Path) -> None:
    clip = write(tmp_path / "x.wav", golden(2.0))
    with running(tmp_path / "log", **small_models(tmp_path)) as service:
        before = digest(service)
        (tmp_path / "models" / "levels" / "model.onnx").write_bytes(OTHER)
        hang_up(service)
        wait_until(lambda: "is not the file that its card describes" in service.log(), "a refusal")
        assert service.embed(clip).status_code == 200
        assert digest(service) == before


def test_a_head_stays_right_when_its_encoder_is_replaced(tmp_path: Path) -> None:
    clip = write(tmp_path / "x.wav", golden(2.0))
    settings = small_models(tmp_path)
    models = tmp_path / "models"
    encoder = write_bundle(models, "levels")
    write_head(models, "mood", encoder.digest)
    with running(tmp_path / "log", **settings) as service:
        before = service.answer("/classify/mood", clip)
        new = write_bundle(models, "levels", OTHER)
        write_bundle(models, "added")
        hang_up(service)
        wait_until(lambda: digest(service) == new.digest, "the new encoder is in use")
        assert digest(service, "added")
        other = write(tmp_path / "y.wav", golden(2.0, seed=5))
        assert service.answer("/classify/mood", other)["model"] == before["model"]
        shown = service.http.get("/models/mood").json()
        assert shown["encoder"] is None  # it runs by its full graph


def write_space(models: Path, graph: bytes | None, space: str, ids: list[str]) -> Bundle:
    """A bundle of a CF space, with a catalogue of that space beside it."""
    bundle = in_space(write_bundle(models, "levels", graph), space)
    vectors = np.random.default_rng(0).normal(size=(len(ids), DIM)).astype(np.float32)
    source = CatalogueSource("levels", bundle.card.version, bundle.digest, space)
    save(Catalogue.build(source, ids, vectors, {}), bundle.folder / "catalogue.parquet")
    return bundle


def test_the_catalogue_of_a_bundle_is_replaced_with_it(tmp_path: Path) -> None:
    settings, models = small_models(tmp_path), tmp_path / "models"
    write_space(models, None, 64 * "a", ["one", "two", "three"])
    with running(tmp_path / "log", **settings) as service:
        query = {"track_id": "one"}
        assert len(service.http.get("/similar", params=query).json()["hits"]) == 2
        new = write_space(models, OTHER, 64 * "b", ["one", "two", "three", "four"])
        hang_up(service)
        wait_until(lambda: digest(service) == new.digest, "the new bundle is in use")
        assert len(service.http.get("/similar", params=query).json()["hits"]) == 3
        clip = write(tmp_path / "x.wav", golden(2.0))
        assert service.post("/similar", clip).status_code == 200
