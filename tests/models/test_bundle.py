"""A bundle that differs from its card is refused, with its name and the reason."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import onnxruntime as ort
import pytest
from pydantic import ValidationError

from models.bundle import Bundle, bundle_folders, read, verify_session
from models.card import AudioInput, Card, Patches
from models.errors import BundleError
from tests.bundles import (
    AUDIO,
    Doing,
    graph_bytes,
    head_bytes,
    in_space,
    write_bundle,
    write_head,
    write_task,
)

SHIPPED = Path(__file__).parents[2] / "models"


def open_session(bundle: Bundle) -> ort.InferenceSession:
    content = bundle.graph_bytes(bundle.card.graph())
    return ort.InferenceSession(content, providers=["CPUExecutionProvider"])


def edit(bundle: Bundle, **changes: Any) -> None:
    card = json.loads(bundle.card_bytes) | changes
    (bundle.folder / "card.json").write_text(json.dumps(card))


@pytest.mark.parametrize("folder", bundle_folders(SHIPPED), ids=lambda folder: folder.name)
def test_every_shipped_bundle_holds(folder: Path) -> None:
    bundle = read(folder)
    verify_session(bundle.card, open_session(bundle))
    assert bundle.card.name == folder.name
    assert all(data.licence for data in bundle.card.provenance.data)


def test_a_changed_graph_is_refused(tmp_path: Path) -> None:
    bundle = write_bundle(tmp_path, "levels")
    (bundle.folder / "model.onnx").write_bytes(graph_bytes() + b"\0")
    with pytest.raises(BundleError, match=r"levels: model\.onnx is not the file") as refused:
        read(bundle.folder)
    assert str(refused.value.limit).endswith(bundle.card.graph().sha256)


def test_a_missing_graph_or_card_is_refused(tmp_path: Path) -> None:
    bundle = write_bundle(tmp_path, "levels")
    (bundle.folder / "model.onnx").unlink()
    with pytest.raises(BundleError, match=r"model\.onnx is missing"):
        read(bundle.folder)
    with pytest.raises(BundleError, match=r"no readable card\.json"):
        read(tmp_path / "nowhere")


def test_a_changed_or_missing_head_is_refused(tmp_path: Path) -> None:
    bundle = write_head(tmp_path, "mood", "0" * 64)
    (bundle.folder / "head.onnx").write_bytes(head_bytes("classifier", "features", seed=1))
    with pytest.raises(BundleError, match=r"mood: head\.onnx is not the file"):
        read(bundle.folder)
    (bundle.folder / "head.onnx").unlink()
    with pytest.raises(BundleError, match=r"head\.onnx is missing"):
        read(bundle.folder)


@pytest.mark.parametrize("doing", ["classifier", "regressor"])
def test_every_kind_of_bundle_holds(tmp_path: Path, doing: Doing) -> None:
    digest = write_bundle(tmp_path, "levels").digest
    for bundle in (write_task(tmp_path, "own", doing), write_head(tmp_path, "on", digest, doing)):
        verify_session(bundle.card, open_session(bundle))
        assert read(bundle.folder).digest == bundle.digest


def test_an_unknown_field_is_refused_by_name(tmp_path: Path) -> None:
    bundle = write_bundle(tmp_path, "levels")
    edit(bundle, sample_rate=8_000)
    with pytest.raises(BundleError, match="schema at sample_rate"):
        read(bundle.folder)


def test_the_digest_changes_with_card_and_graph(tmp_path: Path) -> None:
    bundle = write_bundle(tmp_path, "levels")
    assert read(bundle.folder).digest == bundle.digest
    edit(bundle, version="1.0.1")
    assert read(bundle.folder).digest != bundle.digest


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (graph_bytes(outputs=("embedding",)), "no output features"),
        (graph_bytes(broken=True), "not finite"),
    ],
)
def test_a_graph_that_breaks_its_card_is_refused(
    tmp_path: Path, content: bytes, reason: str
) -> None:
    bundle = write_bundle(tmp_path, "levels", content)
    with pytest.raises(BundleError, match=reason):
        verify_session(bundle.card, open_session(bundle))


def test_a_shape_that_differs_from_the_card_is_refused(tmp_path: Path) -> None:
    bundle = write_bundle(tmp_path, "levels")
    outputs = json.loads(bundle.card_bytes)["outputs"]
    outputs[1]["shape"] = [5]
    edit(bundle, outputs=outputs)
    changed = read(bundle.folder)
    with pytest.raises(BundleError, match="features has another shape"):
        verify_session(changed.card, open_session(changed))


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"kind": "classifier"}, "probabilities"),
        ({"input": {"name": "waveform", "shape": [3], "meaning": ""}}, "8000"),
        ({"name": "../up"}, "pattern"),
        ({"graphs": []}, "at least 1"),
        ({"head": {"file": "head.onnx"}}, "head.sha256"),
    ],
)
def test_a_card_that_contradicts_itself_is_refused(
    tmp_path: Path, change: dict[str, Any], reason: str
) -> None:
    card = json.loads(write_bundle(tmp_path, "levels").card_bytes) | change
    with pytest.raises(ValidationError, match=reason):
        Card.model_validate(card)


@pytest.mark.parametrize("folder", bundle_folders(SHIPPED), ids=lambda folder: folder.name)
def test_a_shipped_card_is_written_again_byte_for_byte(folder: Path) -> None:
    content = (folder / "card.json").read_bytes()
    card = Card.model_validate_json(content)
    assert (card.model_dump_json(indent=2) + "\n").encode() == content


def test_a_card_states_a_space_only_where_it_has_one(tmp_path: Path) -> None:
    bundle = write_bundle(tmp_path, "levels")
    assert b'"space"' not in bundle.card_bytes
    space = "0123456789abcdef" * 4
    changed = in_space(bundle, space)
    assert changed.card.space == json.loads(changed.card_bytes)["space"] == space
    assert changed.digest != bundle.digest


@pytest.mark.parametrize("space", ["", "0123456789ab", "A" * 64, "g" * 64])
def test_a_space_is_a_sha256(tmp_path: Path, space: str) -> None:
    card = json.loads(write_bundle(tmp_path, "levels").card_bytes) | {"space": space}
    with pytest.raises(ValidationError, match="space"):
        Card.model_validate(card)


@pytest.mark.parametrize("starts_s", [(0.0, 0.8), (0.5, 0.0), (0.0, 0.2)])
def test_patches_that_overlap_or_leave_the_window_are_refused(starts_s: tuple[float, ...]) -> None:
    audio = AUDIO.model_dump() | {"patches": {"seconds": 0.25, "starts_s": starts_s}}
    with pytest.raises(ValidationError, match=r"within the window of 1 s, and not overlap"):
        AudioInput.model_validate(audio)


def test_a_card_with_more_patches_than_the_limit_is_refused(tmp_path: Path) -> None:
    def rewrite(n_patches: int) -> Bundle:
        starts_s = [index / 128 for index in range(n_patches)]
        audio = AUDIO.model_copy(update={"patches": Patches(seconds=1 / 128, starts_s=(0.0,))})
        bundle = write_bundle(tmp_path / f"{n_patches}", "patches", audio=audio)
        changed = audio.model_dump() | {"patches": {"seconds": 1 / 128, "starts_s": starts_s}}
        samples = n_patches * audio.patch_samples
        edit(bundle, audio=changed, input=bundle.card.input.model_dump() | {"shape": [samples]})
        return bundle

    assert len(read(rewrite(64).folder).card.audio.patch_starts) == 64
    with pytest.raises(BundleError, match="65 patches, and a window may have 64 at most: state"):
        read(rewrite(65).folder)


def test_patches_in_a_window_of_invalid_length_are_no_further_error() -> None:
    changes = {"window_s": -1.0, "patches": {"seconds": 0.25, "starts_s": (0.0,)}}
    with pytest.raises(ValidationError, match="1 validation error") as refused:
        AudioInput.model_validate(AUDIO.model_dump() | changes)
    assert refused.value.errors()[0]["loc"] == ("window_s",)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"multilabel": True}, "only a classifier"),
        ({"groups": {"light": ["a"]}}, "only a classifier has groups"),
    ],
)
def test_fields_of_classifiers_are_refused_of_encoders(
    tmp_path: Path, change: dict[str, object], words: str
) -> None:
    card = write_bundle(tmp_path, "levels").card
    with pytest.raises(ValidationError, match=words):
        type(card).model_validate(card.model_dump() | change)
