"""Every shipped encoder is the network that its card names, or the members of its ensemble.

A bundle that is added later is tested without a line here.
"""

from __future__ import annotations

import numpy as np
import onnxruntime as ort
import pytest
import torch
from numpy.typing import NDArray

from models.bundle import Bundle, bundle_folders, read
from tests.running import ROOT
from tests.sounds import golden
from training.export.ensemble import ARCHITECTURE, Member, concatenate_outputs
from training.export.reload import load_network_from_bundle
from training.networks.registry import name_of
from training.networks.waveform import encode_patches

ENCODERS = [
    bundle for bundle in map(read, bundle_folders(ROOT / "models")) if bundle.card.kind == "encoder"
]
NETWORKS = [bundle for bundle in ENCODERS if bundle.card.architecture != ARCHITECTURE]
ENSEMBLES = [bundle for bundle in ENCODERS if bundle.card.architecture == ARCHITECTURE]
BY_DIGEST = {bundle.digest: bundle for bundle in ENCODERS}


def name_of_bundle(bundle: Bundle) -> str:
    return bundle.card.name


def make_windows(bundle: Bundle) -> NDArray[np.float32]:
    """Chords with a silent half, and silence: (2, input_samples)."""
    audio = bundle.card.audio
    seconds = audio.input_samples / audio.sample_rate + 1
    chord = golden(seconds, audio.sample_rate, 1)[: audio.input_samples, 0]
    half = chord * (np.arange(len(chord)) < len(chord) // 2)
    return np.stack([half, np.zeros_like(chord)]).astype(np.float32)


def run(bundle: Bundle, windows: NDArray[np.float32]) -> dict[str, NDArray[np.float32]]:
    session = ort.InferenceSession(bundle.graph_bytes(bundle.card.graph()))
    names = [tensor.name for tensor in bundle.card.outputs]
    return dict(zip(names, session.run(names, {"waveform": windows}), strict=True))


@pytest.mark.parametrize("bundle", NETWORKS, ids=name_of_bundle)
def test_the_graph_is_the_network_of_the_card(bundle: Bundle) -> None:
    """By the front end that trains, an FFT in place of the graph's matrix products."""
    network = load_network_from_bundle(bundle)
    assert name_of(network) == (bundle.card.architecture or "cf-estimator")
    windows = make_windows(bundle)
    found = run(bundle, windows)
    with torch.inference_mode():
        outputs = encode_patches(
            network, network.make_front_end(), torch.from_numpy(windows), levels=True
        )
    names = ["embedding", "features", *network.levels]
    assert set(names) == set(found)
    for name, output in zip(names, outputs, strict=True):
        scale = float(output.abs().max())
        np.testing.assert_allclose(found[name], output.numpy(), rtol=0, atol=2e-3 * scale)


@pytest.mark.parametrize("bundle", ENSEMBLES, ids=name_of_bundle)
def test_an_ensemble_is_its_shipped_members(bundle: Bundle) -> None:
    facts = bundle.card.provenance.hyperparameters
    members = []
    for number in range(1, 1 + sum(key.endswith("_digest") for key in facts)):
        member = BY_DIGEST[str(facts[f"member_{number}_digest"])]
        name, _, output = str(facts[f"member_{number}"]).partition(": ")
        assert name == member.card.name
        members.append(Member(member, output))
    windows = make_windows(bundle)
    expected = concatenate_outputs(members, windows, bundle.card.audio)
    for values in run(bundle, windows).values():
        scale = float(np.abs(expected).max())
        np.testing.assert_allclose(values, expected, rtol=0, atol=1e-4 * scale)


def test_encoders_are_shipped() -> None:
    assert {"cf-estimator", "musicnn-msd"} <= {bundle.card.name for bundle in NETWORKS}
