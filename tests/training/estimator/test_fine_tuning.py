"""Fine-tuning starts from the given network, hears what it hears in use, and is interruptible."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from numpy.typing import NDArray

from models.card import AudioInput
from training.errors import OtherRun
from training.estimator.clips import Clips
from training.estimator.fine_tuning import PlacedPatches, best_step, fine_tune, interruptible
from training.estimator.settings import EstimatorSettings
from training.networks.inference import torch_forward
from training.networks.musicnn import MusiCNN

AUDIO = MusiCNN.patched_audio(2, 0.25)
N = 6


def make_windows(n: int = N) -> NDArray[np.int16]:
    rng = np.random.default_rng(0)
    n_samples = int(AUDIO.window_s * AUDIO.sample_rate)
    return rng.integers(-9000, 9000, (n, n_samples), dtype=np.int16)


def make_clips(n: int = N) -> Clips:
    rng = np.random.default_rng(1)
    tracks = pd.DataFrame({"track_id": [f"t{row}" for row in range(n)], "row": range(n)})
    tracks = tracks.assign(set="songs", artist=[f"a{row // 2}" for row in range(n)])
    return Clips(tracks, rng.normal(size=(n, 3)).astype(np.float32))


def make_network() -> MusiCNN:
    torch.manual_seed(0)
    network = MusiCNN(4, 3, embed_source=("features",), has_levels=False)
    network.audio = AUDIO
    return network.eval()


def tune(network: MusiCNN, out: Path, start: str = "a", **changed: object) -> MusiCNN:
    stated = {"max_epochs": 1, "validation_steps": 1, "batch_size": 3, "trainable": "head"}
    settings = EstimatorSettings(encoder="musicnn", width=4, **(stated | changed))  # type: ignore[arg-type]
    windows, clips = make_windows(), make_clips()
    heard = windows[:, : AUDIO.input_samples]
    fine_tune(network, windows, heard, clips, clips, out, settings, start=start)
    return network


def test_a_training_input_is_as_many_patches_as_in_use_each_from_its_part() -> None:
    windows = make_windows()
    dataset = PlacedPatches(windows, make_clips(), AUDIO, seed=0)
    half = windows.shape[1] // 2
    for number in range(3 * N):
        heard, target = dataset[number]
        assert heard.shape == (AUDIO.input_samples,)
        starts = dataset.draw_starts(np.random.default_rng((0, number)))
        assert 0 <= starts[0] <= half - AUDIO.patch_samples
        assert half <= starts[1] <= 2 * half - AUDIO.patch_samples
        cut = windows[number % N][starts[1] : starts[1] + AUDIO.patch_samples]
        np.testing.assert_array_equal(heard[AUDIO.patch_samples :], cut)
        np.testing.assert_array_equal(target, make_clips().factors[number % N])


def test_a_song_is_heard_elsewhere_in_every_epoch_and_alike_in_a_resumed_run() -> None:
    first, again = (PlacedPatches(make_windows(), make_clips(), AUDIO, seed=0) for _ in range(2))
    assert first[2][0].equal(again[2][0])
    assert not first[2][0].equal(first[2 + N][0])


def test_a_whole_window_is_heard_from_its_start() -> None:
    whole = AudioInput(
        sample_rate=16_000, window_s=30.0, short_audio="repeat", min_audio_s=0.5, patches=None
    )
    dataset = PlacedPatches(make_windows(), make_clips(), whole, seed=0)
    np.testing.assert_array_equal(dataset[1][0], make_windows()[1])


def test_training_without_a_rate_is_the_network_that_was_given(tmp_path: Path) -> None:
    """Batch norms keep their statistics: else the network would change without a step."""
    network, before = make_network(), make_network().state_dict()
    tune(network, tmp_path / "run", learning_rate=0.0, trainable="all")
    assert all(before[key].equal(weight) for key, weight in network.state_dict().items())
    waveforms = np.zeros((1, AUDIO.input_samples), np.float32)
    forward = torch_forward(network, network.make_front_end())
    same = torch_forward(make_network(), make_network().make_front_end())
    np.testing.assert_array_equal(forward(waveforms)[0], same(waveforms)[0])


def test_the_network_has_the_weights_of_the_last_step_and_the_best_one_is_known(
    tmp_path: Path,
) -> None:
    network = tune(make_network(), tmp_path / "run")
    before, after = (found.state_dict()["embed.weight"] for found in (make_network(), network))
    assert not before.equal(after)
    step, loss = best_step(tmp_path / "run")
    logs = pd.read_csv(tmp_path / "run" / "logs" / "version_0" / "metrics.csv")
    losses = logs["val_loss"].dropna()
    assert loss == pytest.approx(losses.min(), abs=1e-6)
    assert step == int(losses.argmin()) + 1


def test_a_run_from_other_weights_is_not_resumed(tmp_path: Path) -> None:
    tune(make_network(), tmp_path / "run")
    with pytest.raises(OtherRun):
        tune(make_network(), tmp_path / "run", start="b")


def test_an_interrupt_that_lightning_ends_the_process_for_is_an_interrupt() -> None:
    def end() -> None:
        try:
            raise KeyboardInterrupt
        except KeyboardInterrupt:
            sys.exit(1)

    with pytest.raises(KeyboardInterrupt), interruptible():
        end()
    with pytest.raises(SystemExit), interruptible():
        sys.exit(2)
