"""A model states the CF space of its embedding; a caller's vectors of another space are refused."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator
from hashlib import sha256
from pathlib import Path

import httpx
import pytest

from tests.bundles import in_space, write_bundle, write_head
from tests.running import Service, running
from tests.service.on_demand import on_demand, serving
from tests.service.tasks import counted
from tests.service.test_bad_input import assert_problem
from tests.sounds import golden, write

OLD, NEW = "0123456789ab" + "0" * 52, "0123456789ac" + "f" * 52
WORDS = b"These are words.\n" * 100


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Encoders of two spaces and of none, and a head on one of them."""
    folder = tmp_path_factory.mktemp("models")
    new = in_space(write_bundle(folder, "new"), NEW)
    in_space(write_bundle(folder, "old"), OLD)
    write_bundle(folder, "tagger")
    in_space(write_head(folder, "mood", new.digest), NEW)
    return folder


@pytest.fixture(scope="module")
def spaces(folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    log = tmp_path_factory.mktemp("spaces") / "log"
    settings = {"models_dir": folder, "default_model": "new", "decode_workers": 1}
    with running(log, **settings) as service:
        yield service


def ask(service: Service, route: str, **query: str) -> httpx.Response:
    """A request with that query; its body is no audio."""
    if route.startswith("/embeddings"):
        return service.http.get(route, params=query)
    return service.http.post(route, files={"file": WORDS}, params=query)


def test_every_answer_states_the_space_of_its_model(spaces: Service, short_clip: Path) -> None:
    assert spaces.embedding(short_clip)["model"]["space"] == NEW
    assert spaces.embedding(short_clip, model="old")["model"]["space"] == OLD
    assert spaces.answer("/classify/mood", short_clip)["model"]["space"] == NEW
    whole = spaces.answer("/analyze", short_clip)["models"]
    stated = {name: part["model"].get("space") for name, part in whole.items()}
    assert stated == {"mood": NEW, "new": NEW, "old": OLD, "tagger": None}
    batch = spaces.http.post("/embed/batch", files=[("file", ("x", short_clip.read_bytes()))])
    assert json.loads(batch.text)["answer"]["model"]["space"] == NEW
    digest = sha256(short_clip.read_bytes()).hexdigest()
    assert spaces.http.get(f"/embeddings/{digest}").json()["model"]["space"] == NEW


def test_a_model_without_a_space_states_none(spaces: Service, short_clip: Path) -> None:
    assert "space" not in spaces.embedding(short_clip, model="tagger")["model"]


@pytest.mark.parametrize(("model", "space"), [("new", NEW), ("tagger", None)])
def test_vectors_as_bytes_have_the_space_in_a_header(
    spaces: Service, short_clip: Path, model: str, space: str | None
) -> None:
    content, headers = short_clip.read_bytes(), {"Accept": "application/octet-stream"}
    files = {"file": content}
    answer = spaces.http.post("/embed", files=files, params={"model": model}, headers=headers)
    assert answer.headers.get("Tasteprint-Space") == space


def test_models_are_listed_with_their_spaces(spaces: Service) -> None:
    listed = spaces.http.get("/models").json()["models"]
    assert {model["name"]: model["space"] for model in listed} == {
        "mood": NEW,
        "new": NEW,
        "old": OLD,
        "tagger": None,
    }
    assert {model["name"]: model["card"].get("space") for model in listed} == {
        model["name"]: model["space"] for model in listed
    }


@pytest.mark.parametrize("n_digits", [12, 20, 64])
def test_vectors_of_the_models_space_are_served(
    spaces: Service, short_clip: Path, n_digits: int
) -> None:
    known = spaces.embedding(short_clip)
    assert spaces.embedding(short_clip, space=NEW[:n_digits]) == known | {"cached": True}
    older = spaces.embedding(short_clip, model="old", space=OLD[:n_digits])
    assert older["model"]["name"] == "old"
    assert spaces.embedding(short_clip, model="mood", space=NEW)["model"]["name"] == "mood"


@pytest.mark.parametrize("route", ["/embed", "/embed/batch", f"/embeddings/{'0' * 64}"])
def test_vectors_of_another_space_are_refused_before_the_audio_is_read(
    spaces: Service, route: str
) -> None:
    """The body is no audio, and nothing is remembered: other problems come later."""
    problem = assert_problem(ask(spaces, route, space=OLD), 409, "other-space")
    assert problem["detail"].startswith(
        f"the card of new states the CF space {NEW[:12]} for its embedding, and your vectors live "
        f"in {OLD[:12]}: "
    )
    assert (problem["value"], problem["limit"]) == (OLD, NEW)
    assert "embed your tracks again with this model, or name" in problem["remedy"]
    assert "the model of your space (old); GET /models" in problem["remedy"]


@pytest.mark.parametrize("route", ["/embed", "/embed/batch", f"/embeddings/{'0' * 64}"])
def test_a_model_without_a_space_is_refused_in_words(spaces: Service, route: str) -> None:
    problem = assert_problem(ask(spaces, route, model="tagger", space=NEW), 409, "other-space")
    assert "the card of tagger states no CF space for its embedding" in problem["detail"]
    assert "limit" not in problem
    assert "(mood, new)" in problem["remedy"]


def test_a_space_that_no_model_has_is_refused_without_naming_one(spaces: Service) -> None:
    problem = assert_problem(ask(spaces, "/embed", space="a" * 12), 409, "other-space")
    assert "name the model of your space; GET /models" in problem["remedy"]


@pytest.mark.parametrize("space", ["", OLD[:11], OLD + "0", "cf-estimator"])
def test_what_is_no_digest_is_no_space(spaces: Service, space: str) -> None:
    problem = assert_problem(ask(spaces, "/embed", space=space), 422, "invalid-parameter")
    assert problem["detail"].startswith("space: ")


def test_a_space_in_upper_case_is_that_space(spaces: Service) -> None:
    assert_problem(ask(spaces, "/embed", space=NEW.upper()), 415, "not-audio")


def test_an_unknown_model_is_unknown_in_any_space(spaces: Service) -> None:
    refused = ask(spaces, "/embed", model="other", space=NEW)
    assert_problem(refused, 404, "unknown-model")


@pytest.mark.parametrize("route", ["/classify/mood", "/analyze"])
def test_routes_of_tasks_take_no_space(spaces: Service, route: str) -> None:
    assert_problem(ask(spaces, route, space=NEW), 400, "unknown-parameter")


def test_a_refused_request_decodes_and_runs_nothing(folder: Path, tmp_path: Path) -> None:
    clip = write(tmp_path / "clip.wav", golden(3.0, 16_000, 1), 16_000)

    async def scenario() -> None:
        async with counted(folder, "new") as service:
            files = {"file": ("x", clip.read_bytes())}
            refused = await service.http.post("/embed", files=files, params={"space": OLD})
            assert refused.status_code == 409
            assert not service.decodings
            assert not service.runs
            await service.answer("/embed", clip, space=NEW)
            assert service.decodings.total() == 1
            assert service.runs == {"new": 1}

    asyncio.run(scenario())


def test_a_model_on_demand_is_not_loaded_to_be_refused(tmp_path: Path) -> None:
    write_bundle(tmp_path, "levels")
    on_demand(in_space(write_bundle(tmp_path, "rare"), NEW))
    clip = write(tmp_path / "clip.wav", golden(3.0, 16_000, 1), 16_000)

    async def scenario() -> None:
        async with serving(tmp_path, default_model="levels") as here:
            refused = await here.post("/embed", clip, model="rare", space=OLD)
            assert refused.status_code == 409
            assert await here.listed() == {"levels": True, "rare": False}
            answered = await here.post("/embed", clip, model="rare", space=NEW[:12])
            assert answered.json()["model"]["space"] == NEW
            assert await here.listed() == {"levels": True, "rare": True}

    asyncio.run(scenario())
