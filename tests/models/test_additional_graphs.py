"""Additional graphs are described beside the card and leave the bundle's digest unchanged."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from models.bundle import Bundle, add_graph, bundle_folders, read, write
from models.card import Card
from models.errors import BundleError
from tests.bundles import graph_bytes, write_bundle
from tests.convolutions import add_precision

SHIPPED = Path(__file__).parents[2] / "models"


def edit(path: Path, **changes: Any) -> None:
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))


def test_an_additional_graph_leaves_card_and_digest_unchanged(tmp_path: Path) -> None:
    alone = write_bundle(tmp_path, "levels")
    both = add_precision(alone, "int8", graph_bytes(), 0.9995)
    assert (both.digest, both.card_bytes) == (alone.digest, alone.card_bytes)
    assert [graph.precision for graph in both.card.graphs] == ["float32", "int8"]
    stated = both.card.graph("int8").agreement
    assert stated is not None
    assert stated.minimum == 0.9995
    again = add_precision(both, "int8", graph_bytes(), 0.5)
    assert [graph.precision for graph in again.card.graphs] == ["float32", "int8"]


def test_a_bundle_that_is_overwritten_loses_its_additional_graphs(tmp_path: Path) -> None:
    add_precision(write_bundle(tmp_path, "levels"), "int8", graph_bytes(), 0.9995)
    rewritten = write_bundle(tmp_path, "levels", graph_bytes(root="Exp"))
    assert [graph.precision for graph in rewritten.card.graphs] == ["float32"]
    names = {path.name for path in rewritten.folder.iterdir()}
    assert names == {"card.json", "model.onnx"}


def test_a_graph_that_was_compared_with_another_float32_graph_is_refused(tmp_path: Path) -> None:
    bundle = add_precision(write_bundle(tmp_path, "levels"), "int8", graph_bytes(), 0.9995)
    other = write_bundle(tmp_path / "other", "levels", graph_bytes(root="Exp"))
    for name in ("card.json", "model.onnx"):
        (bundle.folder / name).write_bytes((other.folder / name).read_bytes())
    with pytest.raises(BundleError, match=r"levels: model\.int8\.json .* another float32 graph"):
        read(bundle.folder)


def test_a_changed_or_missing_additional_graph_is_refused(tmp_path: Path) -> None:
    bundle = add_precision(write_bundle(tmp_path, "levels"), "float16", graph_bytes(), 0.9995)
    (bundle.folder / "model.float16.onnx").write_bytes(graph_bytes(root="Exp"))
    with pytest.raises(BundleError, match=r"levels: model\.float16\.onnx is not the file"):
        read(bundle.folder)
    (bundle.folder / "model.float16.onnx").unlink()
    with pytest.raises(
        BundleError, match=r"model\.float16\.onnx is missing; .* remove model\.float16\.json"
    ):
        read(bundle.folder)


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"precision": "float32"}, "describes a graph in float32"),
        ({"precision": "float16"}, "describes a graph in float16"),
        ({"precision": "int4"}, "schema at precision"),
        ({"speed": 2}, "schema at speed"),
    ],
)
def test_a_bad_description_is_refused(tmp_path: Path, change: dict[str, Any], reason: str) -> None:
    bundle = add_precision(write_bundle(tmp_path, "levels"), "int8", graph_bytes(), 0.9995)
    edit(bundle.folder / "model.int8.json", **change)
    with pytest.raises(BundleError, match=rf"model\.int8\.json .*{reason}") as refused:
        read(bundle.folder)
    assert refused.value.remedy.endswith("`tasteprint-train quantize`, or remove model.int8.json")


def test_a_description_that_is_a_dangling_link_is_refused(tmp_path: Path) -> None:
    folder = write_bundle(tmp_path, "levels").folder
    (folder / "model.int8.json").symlink_to(folder / "nothing")
    with pytest.raises(BundleError, match=r"levels: no readable model\.int8\.json"):
        read(folder)
    assert add_precision(read(folder, additional=()), "int8", graph_bytes(), 1.0).card.graph("int8")


def test_only_the_requested_descriptions_are_read(tmp_path: Path) -> None:
    bundle = add_precision(write_bundle(tmp_path, "levels"), "float16", graph_bytes(), 1.0)
    (bundle.folder / "model.int8.json").write_text("{}")
    found = read(bundle.folder, additional=["float16"]).card.graphs
    assert [graph.precision for graph in found] == ["float32", "float16"]
    assert [graph.precision for graph in read(bundle.folder, additional=()).card.graphs] == [
        "float32"
    ]


def contents(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def with_int8_in_card(folder: Path) -> Bundle:
    """A bundle whose `card.json` states its int8 graph itself."""
    described = add_precision(write_bundle(folder, "levels"), "int8", graph_bytes(), None)
    files = {graph.file: described.graph_bytes(graph) for graph in described.card.graphs}
    return write(described.folder, described.card, files)


def test_a_graph_that_would_be_refused_is_never_written(tmp_path: Path) -> None:
    bundle = with_int8_in_card(tmp_path)
    before = contents(bundle.folder)
    assert set(before) == {"card.json", "model.onnx", "model.int8.onnx"}
    with pytest.raises(BundleError, match=r"levels: its card\.json states a graph in int8 itself"):
        add_precision(bundle, "int8", graph_bytes(root="Exp"), 1.0)
    assert contents(bundle.folder) == before
    good = add_precision(bundle, "float16", graph_bytes(), 1.0).card.graph("float16")
    before = contents(bundle.folder)
    with pytest.raises(BundleError, match=r"model\.float16\.onnx is not the file"):
        add_graph(bundle, good, graph_bytes(root="Exp"))
    assert good.agreement
    other = good.agreement.model_copy(update={"reference": "0" * 64})
    with pytest.raises(BundleError, match="another float32 graph"):
        add_graph(bundle, good.model_copy(update={"agreement": other}), graph_bytes())
    assert contents(bundle.folder) == before
    assert read(bundle.folder).card.graph("float16") == good


def test_an_agreement_must_state_every_output(tmp_path: Path) -> None:
    bundle = add_precision(write_bundle(tmp_path, "levels"), "int8", graph_bytes(), 0.9995)
    path = bundle.folder / "model.int8.json"
    stated = json.loads(path.read_text())["agreement"]
    del stated["outputs"]["features"]
    edit(path, agreement=stated)
    with pytest.raises(BundleError, match="agreement of"):
        read(bundle.folder)


@pytest.mark.parametrize("folder", bundle_folders(SHIPPED), ids=lambda folder: folder.name)
def test_a_card_without_agreement_is_valid(folder: Path) -> None:
    stated = json.loads((folder / "card.json").read_text())
    for graph in stated["graphs"]:
        del graph["agreement"]
    card = Card.model_validate(stated)
    assert card.schema_version == 1
    assert card.graph().agreement is None


def test_a_card_may_state_several_graphs_itself(tmp_path: Path) -> None:
    bundle = add_precision(write_bundle(tmp_path, "levels"), "int8", graph_bytes(), None)
    card = Card.model_validate_json(bundle.card.model_dump_json())
    assert card.graph("int8").agreement is None
    twice = dict(card) | {"graphs": (*card.graphs, card.graphs[1])}
    with pytest.raises(ValidationError, match="only one graph per precision"):
        Card.model_validate(twice)
