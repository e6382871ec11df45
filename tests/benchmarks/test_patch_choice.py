"""Choice of patches: what is run is what the bundle runs, and no test track enters a score."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from benchmarks.patch_choice import (
    BUNDLE,
    Floats,
    cut_patches,
    encode_task,
    open_session,
    score_folds,
    with_patches,
)
from models.audio.window_choice import WindowChoice
from models.audio.windows import read_windows
from models.bundle import read
from models.card import AudioInput
from tests.sounds import golden, write
from training.datasets.prepared import TaskData, prepare_task
from training.datasets.task import Kind, Task
from training.errors import BadPatches
from training.export.reload import load_network_from_bundle
from training.quantization.agreement import open_cpu

AUDIO = AudioInput(sample_rate=8000, window_s=1.0, short_audio="repeat", min_audio_s=0.1)
N_TRACKS, N_FOLDS = 60, 5


@pytest.fixture
def rng() -> np.random.Generator:
    return np.random.default_rng(0)


def make_task(
    folder: Path, kind: Kind, audio: AudioInput, n_tracks: int, seconds: float = 1.0
) -> TaskData:
    """Tracks that all hold the same sound, with a label or a value."""
    path = str(write(folder / "sound.wav", golden(seconds)))
    index = np.arange(n_tracks)
    answers = {"label": np.array(["a", "b"])[index % 2]}
    if kind == "regression":
        answers = {"joy": index % 7}
    tracks = pd.DataFrame(
        {"track_id": [f"{i:03}" for i in index], "path": path, "artist": ""} | answers
    )
    labels = ("joy",) if kind == "regression" else ("a", "b")
    if n_tracks >= N_FOLDS:
        tracks["fold"] = index // 2 % N_FOLDS
    else:
        tracks["part"] = ["train", "test"] * (n_tracks // 2)
    task = Task("esc10", "letter", kind, labels, tracks, "by index", ())
    list(prepare_task(task, folder / "task", audio))
    return TaskData.load(folder / "task")


def test_a_choice_is_a_number_and_a_length() -> None:
    patches = with_patches(AUDIO, "2x0.25").patches
    assert patches
    assert patches.seconds == 0.25
    assert patches.starts_s == (0.125, 0.625)
    with pytest.raises(BadPatches):
        with_patches(AUDIO, "3x0.5")


@pytest.mark.parametrize("seconds", [0.1, 0.5, 1.0, 2.0])
def test_patches_are_cut_where_the_decoder_reads_them(tmp_path: Path, seconds: float) -> None:
    path = write(tmp_path / "sound.wav", golden(seconds))
    audio = with_patches(AUDIO, "2x0.25")
    expected = read_windows(path, audio, WindowChoice()).samples
    windows = read_windows(path, AUDIO, WindowChoice())
    found = cut_patches(windows.samples[0], audio, windows.info.duration_s)
    assert found.shape == (1, audio.input_samples)
    np.testing.assert_allclose(found, expected, atol=1e-4)


def test_the_shipped_choice_gives_the_outputs_of_the_shipped_graph(tmp_path: Path) -> None:
    bundle = read(BUNDLE)
    network = load_network_from_bundle(bundle)
    whole = network.audio.model_copy(update={"patches": None})
    task = make_task(tmp_path, "classification", whole, 2, seconds=12.0)
    audio = with_patches(whole, "3x3")
    assert audio == bundle.card.audio
    outputs, taken_ms = encode_task(task, open_session(network), audio, "mean_pool")
    shipped = open_cpu(bundle.graph_bytes(bundle.card.graph()))
    waveform = cut_patches(task.waveforms(0)[0], audio, 12.0)
    (expected,) = shipped.run(["mean_pool"], {"waveform": waveform})
    np.testing.assert_allclose(outputs[0], expected[0], rtol=1e-4, atol=1e-5)
    assert len(taken_ms) == 2
    assert min(taken_ms) > 0


@pytest.mark.parametrize("kind", ["classification", "regression"])
def test_inputs_that_hold_the_answer_score_one_and_others_chance(
    tmp_path: Path, kind: Kind, rng: np.random.Generator
) -> None:
    task = make_task(tmp_path, kind, AUDIO, N_TRACKS)
    noise = rng.standard_normal((N_TRACKS, 4)).astype(np.float32)
    # Copies, so that the answer outweighs the strong regularization.
    telling: Floats = np.repeat(task.targets.reshape(N_TRACKS, 1), 5000, 1).astype(np.float32)
    assert len(score_folds(task, telling)) == N_FOLDS
    assert min(score_folds(task, telling)) > 0.95
    chance = 0.5 if kind == "classification" else 0.0
    assert np.mean(score_folds(task, noise)) == pytest.approx(chance, abs=0.2)


def test_the_held_out_tracks_of_a_fold_do_not_enter_its_score(
    tmp_path: Path, rng: np.random.Generator
) -> None:
    task = make_task(tmp_path, "classification", AUDIO, N_TRACKS)
    inputs = rng.standard_normal((N_TRACKS, 4)).astype(np.float32)
    inputs[:, 0] += task.targets
    other = inputs.copy()
    held_out = task.prepared.tracks["fold"].to_numpy() == 1
    other[held_out] = 100 * rng.standard_normal((held_out.sum(), 4))
    before, after = score_folds(task, inputs), score_folds(task, other)
    assert before[1] == after[1]
    assert before != after
