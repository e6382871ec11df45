"""Operational routes, problems of the framework, and the OpenAPI document."""

from __future__ import annotations

import pytest

from models.bundle import bundle_folders, read
from service.schemas.queries import EmbedQuery
from service.settings import MODELS_DIR, Settings
from tests.running import Service


def test_models_are_listed_with_their_cards(service: Service) -> None:
    bundle = read(MODELS_DIR / "cf-estimator")
    listed = service.http.get("/models").json()["models"]
    shown = service.http.get("/models/cf-estimator").json()
    assert shown in listed
    assert shown["digest"] == bundle.digest
    assert shown["card"] == bundle.card.model_dump(mode="json")


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("GET", "/models/other", 404),
        ("GET", "/nowhere", 404),
        ("GET", "/embed", 405),
        ("DELETE", "/models", 405),
        ("GET", "/models?nmae=x", 400),
    ],
)
def test_every_error_is_a_problem(service: Service, method: str, path: str, status: int) -> None:
    response = service.http.request(method, path)
    assert response.status_code == response.json()["status"] == status
    assert response.headers["content-type"] == "application/problem+json"
    assert response.json().keys() >= {"type", "title", "status", "detail", "remedy"}


def test_alive_and_ready(service: Service) -> None:
    assert service.http.get("/healthz").json() == {"status": "ok"}
    ready = service.http.get("/readyz").json()
    assert ready["status"] == "ready"
    shipped = [read(folder).card for folder in bundle_folders(MODELS_DIR)]
    assert ready["providers"].keys() == {card.name for card in shipped if card.default}
    assert ready["probe_ms"] > 0
    assert ready["refused"] == []


def test_openapi_shows_the_upload_and_the_problems(service: Service) -> None:
    api = service.http.get("/openapi.json").json()
    embed = api["paths"]["/embed"]["post"]
    kinds = embed["requestBody"]["content"]
    assert kinds.keys() == {"multipart/form-data", "audio/*", "application/octet-stream"}
    assert kinds["multipart/form-data"]["schema"]["required"] == ["file"]
    assert {parameter["name"] for parameter in embed["parameters"]} == set(EmbedQuery.model_fields)
    for status in ("400", "404", "413", "415", "422", "429", "500", "503"):
        assert embed["responses"][status]["content"].keys() == {"application/problem+json"}
    answer = embed["responses"]["200"]["content"]["application/json"]["schema"]
    assert answer == {"$ref": "#/components/schemas/Embedding"}
    shown = api["components"]["schemas"]["Embedding"]["properties"]
    vectors = {"embedding", "features", "levels"}
    assert shown.keys() == vectors | {"model", "window", "audio", "cached"}


def test_every_setting_is_described() -> None:
    assert all(field.description for field in Settings.model_fields.values())
