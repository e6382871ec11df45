"""Graphs of other precisions are described beside the card, and change nothing that it says."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from models.bundle import bundle_folders, read
from models.card import Card
from models.errors import BundleError
from tests.bundles import graph_bytes, write_bundle
from tests.convolutions import add_precision

SHIPPED = Path(__file__).parents[2] / "models"


def edit(path: Path, **changes: Any) -> None:
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))


def test_a_further_graph_leaves_card_and_digest_as_they_are(tmp_path: Path) -> None:
    alone = write_bundle(tmp_path, "levels")
    both = add_precision(alone, "int8", graph_bytes(), 0.9995)
    assert (both.digest, both.card_bytes) == (alone.digest, alone.card_bytes)
    assert [graph.precision for graph in both.card.graphs] == ["float32", "int8"]
    stated = both.card.graph("int8").agreement
    assert stated is not None
    assert stated.least == 0.9995
    again = add_precision(both, "int8", graph_bytes(), 0.5)
    assert [graph.precision for graph in again.card.graphs] == ["float32", "int8"]


def test_a_bundle_that_is_written_anew_has_no_graph_of_the_one_before(tmp_path: Path) -> None:
    add_precision(write_bundle(tmp_path, "levels"), "int8", graph_bytes(), 0.9995)
    anew = write_bundle(tmp_path, "levels", graph_bytes(root="Exp"))
    assert [graph.precision for graph in anew.card.graphs] == ["float32"]
    names = {path.name for path in anew.folder.iterdir()}
    assert names == {"card.json", "model.onnx"}


def test_a_graph_that_was_held_against_another_one_is_refused(tmp_path: Path) -> None:
    bundle = add_precision(write_bundle(tmp_path, "levels"), "int8", graph_bytes(), 0.9995)
    other = write_bundle(tmp_path / "other", "levels", graph_bytes(root="Exp"))
    for name in ("card.json", "model.onnx"):
        (bundle.folder / name).write_bytes((other.folder / name).read_bytes())
    with pytest.raises(BundleError, match=r"levels: model\.int8\.json .* another float32 graph"):
        read(bundle.folder)


def test_a_changed_or_missing_further_graph_is_refused(tmp_path: Path) -> None:
    bundle = add_precision(write_bundle(tmp_path, "levels"), "float16", graph_bytes(), 0.9995)
    (bundle.folder / "model.float16.onnx").write_bytes(graph_bytes(root="Exp"))
    with pytest.raises(BundleError, match=r"levels: model\.float16\.onnx is not the file"):
        read(bundle.folder)
    (bundle.folder / "model.float16.onnx").unlink()
    with pytest.raises(BundleError, match=r"model\.float16\.onnx is missing"):
        read(bundle.folder)


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"precision": "float32"}, "one graph a precision"),
        ({"precision": "int4"}, "schema at precision"),
        ({"speed": 2}, "schema at speed"),
    ],
)
def test_a_bad_description_is_refused(tmp_path: Path, change: dict[str, Any], reason: str) -> None:
    bundle = add_precision(write_bundle(tmp_path, "levels"), "int8", graph_bytes(), 0.9995)
    edit(bundle.folder / "model.int8.json", **change)
    with pytest.raises(BundleError, match=rf"model\.int8\.json .*{reason}"):
        read(bundle.folder)


def test_an_agreement_must_be_of_every_output(tmp_path: Path) -> None:
    bundle = add_precision(write_bundle(tmp_path, "levels"), "int8", graph_bytes(), 0.9995)
    path = bundle.folder / "model.int8.json"
    stated = json.loads(path.read_text())["agreement"]
    del stated["outputs"]["features"]
    edit(path, agreement=stated)
    with pytest.raises(BundleError, match="agreement of"):
        read(bundle.folder)


@pytest.mark.parametrize("folder", bundle_folders(SHIPPED), ids=lambda folder: folder.name)
def test_cards_from_before_there_was_an_agreement_are_valid(folder: Path) -> None:
    text = (folder / "card.json").read_text()
    assert "agreement" not in text
    card = Card.model_validate_json(text)
    assert card.schema_version == 1
    assert card.graph().agreement is None


def test_a_card_may_hold_its_further_graphs_itself(tmp_path: Path) -> None:
    bundle = add_precision(write_bundle(tmp_path, "levels"), "int8", graph_bytes(), None)
    card = Card.model_validate_json(bundle.card.model_dump_json())
    assert card.graph("int8").agreement is None
    twice = dict(card) | {"graphs": (*card.graphs, card.graphs[1])}
    with pytest.raises(ValidationError, match="one graph a precision"):
        Card.model_validate(twice)
