"""The registry: names, classes, cards and crop lengths of the encoders."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from models.card import Patches
from models.errors import BundleError
from tests.bundles import write_bundle
from tests.training.networks.tiny_encoder import ENTRIES, NAME, TinyEncoder
from training.errors import BadCrop, BadPatches, UnknownEncoder
from training.estimator.settings import EstimatorSettings
from training.export.reload import load_network_from_bundle
from training.networks.base import even_patches
from training.networks.cf_estimator import CFEstimator
from training.networks.musicnn import MusiCNN
from training.networks.registry import (
    DEFAULT_ENCODER,
    ENCODERS,
    class_of_card,
    encoder_class,
    find_entry,
    name_of,
)


@pytest.fixture(autouse=True)
def _registered(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(ENCODERS, NAME, ENTRIES[NAME])


def test_names_and_classes_map_to_each_other() -> None:
    assert encoder_class(DEFAULT_ENCODER) is CFEstimator
    assert name_of(TinyEncoder(4, 6)) == NAME
    assert find_entry(DEFAULT_ENCODER).widths == (32, 64, 128, 256)
    with pytest.raises(UnknownEncoder, match="no encoder 'other'; choose one of cf-"):
        encoder_class("other")


def test_a_card_without_architecture_is_of_the_cf_estimator(tmp_path: Path) -> None:
    card = write_bundle(tmp_path, "levels").card
    assert card.architecture is None
    assert "architecture" not in card.model_dump_json()
    assert class_of_card(card) is CFEstimator
    named = card.model_copy(update={"architecture": NAME})
    assert '"architecture":"tiny"' in named.model_dump_json()
    assert class_of_card(named) is TinyEncoder


def test_weights_of_another_architecture_are_refused(tmp_path: Path) -> None:
    bundle = write_bundle(tmp_path, "levels")
    other = replace(bundle, card=bundle.card.model_copy(update={"architecture": NAME}))
    with pytest.raises(BundleError, match="does not hold the weights of a tiny"):
        load_network_from_bundle(other)


def test_the_default_encoder_leaves_no_trace_in_records() -> None:
    assert "encoder" not in EstimatorSettings().to_record()
    assert EstimatorSettings(encoder=NAME).to_record()["encoder"] == NAME


def test_crops_are_multiples_of_what_the_pooling_divides() -> None:
    assert CFEstimator.crop_multiple == 120_000
    lengths = [CFEstimator.crop_samples(crop_s) for crop_s in (0, 1, 7.5, 12, 30)]
    assert lengths == [0, 120_000, 120_000, 240_000, 480_000]
    assert TinyEncoder.crop_samples(0.5) == 4_000
    with pytest.raises(BadCrop, match="at most 30 s, the length of the windows"):
        CFEstimator.crop_samples(30.1)


def test_patches_are_in_the_centres_of_equal_parts_and_default_to_the_encoders() -> None:
    assert CFEstimator.patched_audio(0, 0) is CFEstimator.audio
    audio = CFEstimator.patched_audio(2, 7.5)
    assert audio.patches == Patches(seconds=7.5, starts_s=(3.75, 18.75))
    assert audio.model_copy(update={"patches": None}) == CFEstimator.audio
    assert CFEstimator.patched_audio(0, 15).patches == Patches(seconds=15.0, starts_s=(7.5,))
    assert MusiCNN.patched_audio(5, 0).patches == even_patches(5, 3.0, 30.0)
    assert MusiCNN.patched_audio(0, 1.5).patches == even_patches(3, 1.5, 30.0)


@pytest.mark.parametrize(
    ("patches", "patch_s", "reason"),
    [
        (2, 3.0, r"2 patches of 3 s .* a multiple of 7\.5 s"),
        (3, 15.0, "3 patches of 15 s .* longer than 30 s"),
        (2, 0.0, "2 patches of 30 s .* longer than 30 s"),
    ],
)
def test_patches_that_an_encoder_cannot_take_are_refused(
    patches: int, patch_s: float, reason: str
) -> None:
    with pytest.raises(BadPatches, match=f"{reason}.*--patches and --patch-s"):
        CFEstimator.patched_audio(patches, patch_s)
