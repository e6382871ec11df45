"""The network of the paper's table 1, and the shortcut that leaves its numbers as they are."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from training.networks.cf_estimator import CFEstimator, DoubleConv
from training.networks.registry import DEFAULT_ENCODER, find_entry


@pytest.mark.parametrize("width", find_entry(DEFAULT_ENCODER).widths)
def test_every_width_gives_an_embedding_and_its_features(width: int) -> None:
    network = CFEstimator(width).eval()
    with torch.no_grad():
        embedding, features = network(torch.zeros(1, 1, 96, 320))
    assert embedding.shape == (1, 40)
    assert features.shape == (1, width)


def test_there_are_five_blocks_of_two_convolutions() -> None:
    network = CFEstimator(32)
    convolutions = [part for part in network.modules() if isinstance(part, nn.Conv2d)]
    assert len(network.blocks) == 5
    assert len(convolutions) == 10
    assert {part.kernel_size for part in convolutions} == {(3, 3)}


def test_gating_after_the_pooling_gives_the_same_numbers() -> None:
    torch.manual_seed(0)
    block = DoubleConv(4, 16, nn.MaxPool2d((4, 5))).eval()
    x = torch.randn(2, 4, 24, 40)
    with torch.no_grad():
        convolved = block.convolve(x)
        before = block.pool(convolved * block.excite(convolved))
        torch.testing.assert_close(block(x), before, atol=0, rtol=0)


def test_a_long_spectrogram_is_heard_as_the_mean_of_its_segments() -> None:
    torch.manual_seed(0)
    network = CFEstimator(32, segment_frames=320).eval()
    clips = torch.randn(2, 1, 96, 1280)
    with torch.no_grad():
        outputs = network(clips)
        parts = [network(segment) for segment in torch.chunk(clips, 4, dim=3)]
    features = torch.stack([part.features for part in parts]).mean(0)
    embedding = torch.stack([part.embedding for part in parts]).mean(0)
    torch.testing.assert_close(outputs.features, features, atol=1e-6, rtol=1e-5)
    torch.testing.assert_close(outputs.embedding, embedding, atol=1e-6, rtol=1e-5)


def test_a_clip_alone_and_in_a_batch_agree() -> None:
    torch.manual_seed(0)
    network = CFEstimator(32).eval()
    clips = torch.randn(3, 1, 96, 640) * 20 - 40
    with torch.no_grad():
        together = network(clips).embedding
        alone = torch.cat([network(clip[None]).embedding for clip in clips])
    torch.testing.assert_close(together, alone, atol=1e-5, rtol=1e-4)
