"""MusiCNN's shipped bundles: the published network's own outputs, and loading them into torch."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from models.bundle import read
from models.errors import BundleError
from training.export.reload import load_network_from_bundle

ROOT = Path(__file__).parents[3]
REFERENCE = ROOT.parent / "shared" / "data" / "musicnn-reference"


@pytest.mark.skipif(not REFERENCE.exists(), reason="the reference outputs are not here")
@pytest.mark.parametrize("weights", ["msd", "mtt"])
def test_the_shipped_weights_give_the_published_outputs(weights: str) -> None:
    network = load_network_from_bundle(read(ROOT / "models" / f"musicnn-{weights}"))
    patches = torch.from_numpy(np.load(REFERENCE / "patches.npy"))
    with torch.no_grad():
        outputs = network.forward_with_levels(patches)
    found = dict(zip(["embedding", "features", *network.levels], outputs, strict=True))
    expected = np.load(REFERENCE / f"{weights}.npz")
    names = {"features": "penultimate", "max_pool": "max_pool", "mean_pool": "mean_pool"}
    for name, key in (names | {"tags": "tags"}).items():
        difference = np.abs(found[name].numpy() - expected[key]).max()
        assert difference <= 1e-5 * np.abs(expected[key]).max(), name


def test_a_bundle_is_loaded_with_its_patches_and_tags() -> None:
    bundle = read(ROOT / "models" / "musicnn-msd")
    network = load_network_from_bundle(bundle)
    assert network.audio == bundle.card.audio
    assert network.levels["tags"] == len(bundle.card.labels) == 50


def test_weights_of_another_network_are_refused() -> None:
    bundle = read(ROOT / "models" / "cf-estimator-paper")
    card = bundle.card.model_copy(update={"architecture": "musicnn"})
    with pytest.raises(BundleError, match="weights of a musicnn"):
        load_network_from_bundle(type(bundle)(bundle.folder, card, bundle.card_bytes))
