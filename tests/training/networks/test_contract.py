"""One contract, every encoder of the registry: sizes, batches, patches, silence, export, reload."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import onnxruntime as ort
import pytest
import torch
from torch import Tensor

from models.bundle import Bundle
from tests.training.export.test_bundle import PROVENANCE
from training.export.estimator import export_encoder
from training.export.reload import load_network_from_bundle
from training.networks.base import Encoder
from training.networks.registry import ENCODERS, encoder_class, find_entry, name_of
from training.networks.waveform import WaveformEncoder, encode_patches

WIDTH, DIM, N_PATCHES = 4, 6, 2


def build(name: str) -> Encoder:
    """A small network of two patches, its weights random."""
    kind, widths = encoder_class(name), find_entry(name).widths
    torch.manual_seed(0)
    network = kind.build(width=min(widths, default=WIDTH), embedding_dim=DIM, crop_s=0.0)
    patch_s = 0.0 if kind.audio.patches else kind.crop_multiple / kind.audio.sample_rate
    network.audio = kind.patched_audio(N_PATCHES, patch_s)
    return network


def make_noise(network: Encoder, n_windows: int = 3) -> Tensor:
    """Windows of noise, one loud and one quiet, whose loudness changes within them."""
    rng = np.random.default_rng(0)
    n_samples = network.audio.input_samples
    loudness = np.repeat(rng.uniform(0.05, 1, (n_windows, 50)), -(-n_samples // 50), axis=1)
    loudness *= np.geomspace(0.5, 0.02, n_windows)[:, None]
    noise = loudness[:, :n_samples] * rng.uniform(-1, 1, (n_windows, n_samples))
    return torch.from_numpy(noise.astype(np.float32))


@dataclass(frozen=True)
class Case:
    """A network whose input scale and batch norms have met noise, and its bundle."""

    name: str
    network: Encoder
    bundle: Bundle

    @property
    def outputs(self) -> dict[str, int]:
        network = self.network
        own = {"embedding": network.embedding_dim, "features": network.features_dim}
        return own | dict(network.levels)

    def hear(self, windows: Tensor) -> dict[str, Tensor]:
        """Every output by the front end that trains."""
        with torch.inference_mode():
            front_end = self.network.make_front_end()
            found = encode_patches(self.network, front_end, windows, levels=True)
        return dict(zip(self.outputs, found, strict=True))


@pytest.fixture(scope="module", params=sorted(ENCODERS))
def case(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Case:
    network = build(request.param)
    noise = make_noise(network)
    patches = noise.reshape(-1, network.audio.patch_samples)
    inputs = network.make_front_end()(patches)
    network.standardize([inputs])
    with torch.no_grad():
        network.train()(inputs)
    stated = PROVENANCE.model_copy(update={"hyperparameters": {"width": network.width}})
    folder = tmp_path_factory.mktemp("models") / request.param
    bundle, _ = export_encoder(network.eval(), folder, noise.numpy(), stated)
    return Case(request.param, network, bundle)


def assert_close(found: Tensor, expected: Tensor, tolerance: float = 1e-4) -> None:
    torch.testing.assert_close(
        found, expected, rtol=0, atol=tolerance * max(1e-3, float(expected.abs().max()))
    )


def test_outputs_have_the_stated_sizes_and_hear_the_difference(case: Case) -> None:
    windows = make_noise(case.network)
    for name, output in case.hear(windows).items():
        assert output.shape == (len(windows), case.outputs[name])
        assert output.isfinite().all()
        assert float((output[0] - output[-1]).abs().max()) > 0
    embedding, features = case.network(
        case.network.make_front_end()(windows[:, : case.network.audio.patch_samples])
    )
    assert embedding.shape == (len(windows), DIM)
    assert features.shape == (len(windows), case.network.features_dim)


def test_alone_is_as_in_a_batch(case: Case) -> None:
    windows = make_noise(case.network)
    together = case.hear(windows)
    for row, window in enumerate(windows):
        for name, output in case.hear(window[None]).items():
            assert_close(output[0], together[name][row])


def test_the_order_of_patches_changes_nothing(case: Case) -> None:
    windows = make_noise(case.network)
    turned = windows.reshape(len(windows), N_PATCHES, -1).flip(1).reshape(len(windows), -1)
    again = case.hear(turned)
    for name, output in case.hear(windows).items():
        assert_close(again[name], output)


def test_silence_with_and_without_an_offset_is_one_finite_answer(case: Case) -> None:
    silence = torch.zeros(1, case.network.audio.input_samples)
    quiet, offset = case.hear(silence), case.hear(silence + 0.25)
    for name, output in quiet.items():
        assert output.isfinite().all()
        assert_close(offset[name], output)


def test_every_weight_learns(case: Case) -> None:
    network = build(case.name).train()
    windows = make_noise(network)
    encoded = network(network.make_front_end()(windows[:, : network.audio.patch_samples]))
    encoded.embedding.square().sum().backward()
    for name, weight in network.named_parameters():
        assert weight.grad is not None, name
        assert weight.grad.isfinite().all(), name


def test_the_graph_is_the_network_with_the_front_end_that_trains(case: Case) -> None:
    windows = make_noise(case.network)
    session = ort.InferenceSession(case.bundle.graph_bytes(case.bundle.card.graph()))
    silent = torch.zeros(1, windows.shape[1])
    for heard in (windows, windows[:1], silent):
        expected = case.hear(heard)
        found = session.run(list(expected), {"waveform": heard.numpy()})
        for values, output in zip(found, expected.values(), strict=True):
            assert_close(torch.from_numpy(values), output, 1e-3)


def test_the_card_states_the_network_and_rebuilds_it(case: Case) -> None:
    card = case.bundle.card
    assert (card.architecture or "cf-estimator") == case.name == name_of(case.network)
    assert {tensor.name: tensor.shape[0] for tensor in card.outputs} == case.outputs
    assert card.audio == case.network.audio
    again = load_network_from_bundle(case.bundle)
    assert again.width == case.network.width
    windows = make_noise(case.network)
    with torch.inference_mode():
        found, expected = WaveformEncoder(again)(windows), WaveformEncoder(case.network)(windows)
    for output, other in zip(found, expected, strict=True):
        assert_close(output, other, 1e-6)


def test_crops_of_training_are_whole_patches_at_most(case: Case) -> None:
    kind = encoder_class(case.name)
    longest = kind.crop_samples(kind.audio.patch_samples / kind.audio.sample_rate)
    assert longest % kind.crop_multiple == 0
    assert 0 < longest <= kind.audio.patch_samples
    crop = make_noise(case.network)[:, : min(longest, case.network.audio.patch_samples)]
    with torch.inference_mode():
        encoded = case.network(case.network.make_front_end()(crop))
    assert encoded.embedding.isfinite().all()


@pytest.mark.parametrize("name", sorted(ENCODERS))
def test_another_embedding_has_its_size(name: str) -> None:
    network = build(name).eval()
    network.replace_embedding(3)
    patches = make_noise(network)[:, : network.audio.patch_samples]
    with torch.inference_mode():
        found = network(network.make_front_end()(patches))
    assert found.embedding.shape[1] == network.embedding_dim == 3
