"""The catalogue that cf-estimator brings: factors of its own space, asked by default."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from models.bundle import read
from models.catalogue import Catalogue, Filters, load
from service.catalogue.choice import find_catalogue
from service.catalogue.store import CatalogueStore
from service.errors import CannotStart
from service.settings import MODELS_DIR, Settings
from tests.bundles import write_bundle
from tests.running import ROOT, Service
from training.cf.als import Factorization

BUNDLE = MODELS_DIR / "cf-estimator"


@pytest.fixture(scope="module")
def shipped() -> Catalogue:
    path = find_catalogue(Settings())
    assert path is not None
    return load(path)


@pytest.fixture(scope="module")
def factors() -> Factorization:
    return Factorization.load(BUNDLE / "factors")  # which checks the digest of its space


def test_it_has_artists_of_the_space_of_the_model(
    shipped: Catalogue, factors: Factorization
) -> None:
    card = read(BUNDLE).card
    assert shipped.source.space == card.space == factors.space
    columns = {name: column.to_pylist() for name, column in shipped.columns.items()}
    assert all(columns["artist"])
    rows = factors.items.get_indexer([text.removeprefix("artist:") for text in columns["track_id"]])
    assert rows.min() >= 0
    vectors = shipped.predictions_at(list(range(len(shipped))))
    np.testing.assert_allclose(vectors, factors.item_factors[rows], atol=1e-5)
    assert "non-commercial research use" in shipped.about


def test_it_has_the_users_of_the_logs(shipped: Catalogue, factors: Factorization) -> None:
    assert shipped.users
    assert shipped.users.ids.to_pylist() == list(factors.users)
    np.testing.assert_array_equal(shipped.users.factors, factors.user_factors)


def test_no_artist_is_near_to_most_others(shipped: Catalogue) -> None:
    """Of 200 artists as seeds; hubs of predictions are measured by benchmarks/catalogue/hubs.py."""
    seeds = np.random.default_rng(0).choice(len(shipped), 200, replace=False).tolist()
    first = [
        shipped.search(shipped.vectors_at([seed]), Filters(limit=1), seed_positions=[seed])[0]
        for seed in seeds
    ]
    counts = np.unique([hit.track_id for hit in first], return_counts=True)[1]
    assert counts.max() <= 0.05 * len(seeds)


def test_a_newcomers_upload_has_artists_and_listeners(service: Service, shipped: Catalogue) -> None:
    song = ROOT / "examples" / "chords.mp3"
    answer = service.answer("/similar", song)
    assert len(answer["hits"]) == 10
    assert all(hit["artist"] and hit["track_id"].startswith("artist:") for hit in answer["hits"])
    assert answer["catalogue"]["tracks"] == len(shipped)
    listeners = service.answer("/listeners", song, limit=3)["listeners"]
    assert [user["rank"] for user in listeners] == [1, 2, 3]
    scores = [user["score"] for user in listeners]
    assert scores == sorted(scores, reverse=True)


def test_a_catalogue_that_does_not_fit_its_bundle_is_left_out(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """Such as the shipped one, where another model took the name of the default one."""
    other = write_bundle(tmp_path, "cf-estimator")
    (other.folder / "catalogue.parquet").write_bytes((BUNDLE / "catalogue.parquet").read_bytes())
    settings = Settings(models_dir=tmp_path)
    store = CatalogueStore(settings, {"cf-estimator": other})
    assert store.encoder == ""
    assert "is not used" in caplog.text
    assert json.loads((BUNDLE / "card.json").read_text())["space"][:12] in caplog.text


def test_the_shipped_catalogue_is_never_written() -> None:
    with pytest.raises(CannotStart, match="a file of your own"):
        CatalogueStore(Settings(catalogue_writable=True), {"cf-estimator": read(BUNDLE)})
