"""The registry loads default bundles at the start, and finds the others by name and task."""

from __future__ import annotations

from pathlib import Path

import pytest

from service.errors import CannotStart
from service.inference.registry import load_models
from service.settings import Settings
from tests.bundles import graph_bytes, write_bundle, write_head, write_task
from tests.service.on_demand import on_demand


def test_the_start_opens_no_session_of_a_bundle_that_is_not_default(tmp_path: Path) -> None:
    write_bundle(tmp_path, "levels")
    for name in ("a-later", "later"):  # before and after a default one
        on_demand(write_bundle(tmp_path, name, b"no ONNX"))  # which a session would refuse
    models = load_models(Settings(models_dir=tmp_path))
    assert (list(models.loaded), models.refused) == (["levels"], {})
    assert [bundle.card.name for bundle in models.usable] == ["a-later", "later", "levels"]


def test_a_bundle_that_is_not_default_is_refused_at_the_start_if_its_files_differ(
    tmp_path: Path,
) -> None:
    write_bundle(tmp_path, "levels")
    changed = on_demand(write_bundle(tmp_path, "changed"))
    (changed.folder / "model.onnx").write_bytes(b"changed")
    models = load_models(Settings(models_dir=tmp_path))
    assert "not the file that its card describes" in models.refused["changed"]


def test_a_service_starts_without_any_default_bundle(tmp_path: Path) -> None:
    on_demand(write_bundle(tmp_path, "later"))
    models = load_models(Settings(models_dir=tmp_path))
    assert (models.loaded, models.defaults) == ({}, [])
    with pytest.raises(CannotStart, match="DEFAULT_MODEL") as refused:
        load_models(Settings(models_dir=tmp_path, default_model="other"))
    assert refused.value.limit == "later"


def test_the_default_model_of_embed_is_loaded_at_the_start_and_counts_as_default(
    tmp_path: Path,
) -> None:
    for name in ("later", "levels"):
        on_demand(write_bundle(tmp_path, name))
    models = load_models(Settings(models_dir=tmp_path, default_model="later"))
    assert list(models.loaded) == ["later"]
    assert models.defaults == [models.loaded["later"]]


def test_a_default_head_has_its_encoder_loaded_which_does_not_become_a_default(
    tmp_path: Path,
) -> None:
    levels = on_demand(write_bundle(tmp_path, "levels"))
    on_demand(write_bundle(tmp_path, "other", graph_bytes(root="Exp")))
    write_head(tmp_path, "a-mood", levels.digest)
    models = load_models(Settings(models_dir=tmp_path))
    assert list(models.loaded) == ["a-mood", "levels"]
    assert models.loaded["a-mood"].encoder is models.loaded["levels"]
    assert models.defaults == [models.loaded["a-mood"]]


def test_a_task_prefers_default_models_and_among_them_its_namesake(tmp_path: Path) -> None:
    def chosen() -> str:
        models = load_models(Settings(models_dir=tmp_path))
        return models.for_task("classifier", "mood", None).card.name

    write_bundle(tmp_path, "levels")
    on_demand(write_task(tmp_path, "a-mood"))
    assert chosen() == "a-mood"
    on_demand(write_task(tmp_path, "mood"))
    assert chosen() == "mood"
    write_task(tmp_path, "z-mood")
    assert chosen() == "z-mood"
    write_task(tmp_path, "mood")
    assert chosen() == "mood"


def test_a_model_refused_later_is_the_last_that_a_task_takes(tmp_path: Path) -> None:
    write_bundle(tmp_path, "levels")
    for name in ("a-mood", "mood"):
        on_demand(write_task(tmp_path, name))
    models = load_models(Settings(models_dir=tmp_path))
    models.refused["mood"] = "on cue"
    assert models.for_task("classifier", "mood", None).card.name == "a-mood"


def test_a_service_whose_default_bundles_are_all_refused_does_not_start(tmp_path: Path) -> None:
    write_bundle(tmp_path, "levels", b"no ONNX")
    on_demand(write_bundle(tmp_path, "later"))
    with pytest.raises(CannotStart) as refused:
        load_models(Settings(models_dir=tmp_path))
    assert "levels" in str(refused.value.value)
