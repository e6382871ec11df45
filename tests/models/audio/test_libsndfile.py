"""Channels are mixed down to their mean, at full scale."""

from __future__ import annotations

import numpy as np
import pytest

from models.audio.libsndfile import mix_down


@pytest.mark.parametrize("channels", [1, 2, 3, 8])
@pytest.mark.parametrize("dtype", [np.int16, np.float32])
def test_the_mean_of_the_channels(dtype: type[np.generic], channels: int) -> None:
    random = np.random.default_rng(channels)
    frames = random.integers(-32_768, 32_768, (1_000, channels)).astype(dtype)
    frames[:2] = [[-32_768], [32_767]]
    frames[2, ::2], frames[2, 1::2] = -32_768, 32_767
    mono = mix_down(frames, 32_768)
    assert mono.dtype == np.float32
    np.testing.assert_allclose(mono, frames.astype(float).mean(axis=1) / 32_768, atol=2e-7)
