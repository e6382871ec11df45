"""One contract, every shipped bundle; and what is served is what was measured offline."""

from __future__ import annotations

from collections import deque
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import soundfile
import soxr

from models.audio.window_choice import Samples, WindowChoice
from models.audio.windows import read_windows
from models.bundle import Bundle, bundle_folders, read
from models.card import AudioInput, Card
from service.inference.devices import CPU
from service.inference.model import Model
from service.inference.registry import load_models
from service.settings import MODELS_DIR, Settings
from tests.running import ROOT, Service
from tests.sounds import golden, write
from training.datasets import read_dataset
from training.datasets.prepared import TaskData, prepare_task
from training.networks.bundle_outputs import bundle_outputs

SHARED = ROOT.parent / "shared" / "data"
BUNDLES = [read(folder) for folder in bundle_folders(MODELS_DIR)]
SHIPPED = [bundle.card.name for bundle in BUNDLES]
# By digest.
ENCODERS = {bundle.digest: bundle for bundle in BUNDLES if bundle.card.kind == "encoder"}


@pytest.fixture(scope="module")
def models() -> dict[str, Model]:
    """Every shipped model, also those that a service loads at their first request."""
    registry = load_models(Settings())
    assert not registry.refused
    loaded = dict(registry.loaded)
    for bundle in sorted(registry.usable, key=lambda bundle: bundle.card.head is not None):
        encoder = registry.find_encoder(bundle)
        if bundle.card.name not in loaded:
            base = loaded[encoder.card.name] if encoder else None
            loaded[bundle.card.name] = registry.loader.load_later(bundle, base)
    return loaded


@pytest.fixture(scope="module")
def windows(
    models: dict[str, Model], clips: dict[str, Path], tmp_path_factory: pytest.TempPathFactory
) -> dict[AudioInput, Samples]:
    """By audio input, shape (4, input_samples).

    A long clip's middle, a short one repeated, a clipped one, and one that is all but silent.
    """
    folder = tmp_path_factory.mktemp("windows")
    short = write(folder / "short.wav", golden(3.0))
    loud = write(folder / "loud.wav", np.clip(golden(31.0) * 50, -1, 1))
    quiet = write(folder / "quiet.wav", golden(31.0) * np.float32(1e-3))
    paths = (clips["flac"], short, loud, quiet)
    return {
        audio: np.concatenate([read_windows(path, audio, WindowChoice()).samples for path in paths])
        for audio in {model.card.audio for model in models.values()}
    }


@pytest.fixture(scope="module")
def copies(
    models: dict[str, Model], clips: dict[str, Path], tmp_path_factory: pytest.TempPathFactory
) -> dict[AudioInput, Samples]:
    """By audio input, shape (2, input_samples): of a file at 44.1 kHz, and of its 16 kHz copy."""
    sound, rate = soundfile.read(clips["flac"], dtype="float32")
    copy = soxr.resample(sound, rate, 16_000)
    path = write(tmp_path_factory.mktemp("copies") / "copy.flac", copy, 16_000)
    assert rate == 44_100
    return {
        audio: np.concatenate(
            [read_windows(file, audio, WindowChoice()).samples for file in (clips["flac"], path)]
        )
        for audio in {model.card.audio for model in models.values()}
    }


def answers(model: Model, models: dict[str, Model], windows: Samples) -> dict[str, Samples]:
    """Every output for each window: of a head, with those of its encoder.

    Parameters
    ----------
    windows : shape (n, input_samples) of the model's audio input
    """
    if model.encoder is None:
        return model.run(windows)
    encoded = models[model.encoder.card.name].run(windows)
    return encoded | model.run(model.head_input(encoded))


def test_what_the_readme_promises_is_shipped(models: dict[str, Model]) -> None:
    cards = [model.card for model in models.values()]
    done = {(card.kind, card.task) for card in cards}
    assert {("encoder", "cf-embedding"), ("classifier", "genre"), ("classifier", "sounds")} <= done
    assert ("regressor", "emotion") in done
    assert "kd-pool" in {card.provenance.method for card in cards if card.task == "genre"}


@pytest.mark.parametrize("name", SHIPPED)
def test_alone_is_as_in_a_batch(
    name: str, models: dict[str, Model], windows: dict[AudioInput, Samples]
) -> None:
    model = models[name]
    batch = windows[model.card.audio]
    together = answers(model, models, batch)
    # An output layer sums in another order for another batch; a GPU may take another algorithm too.
    tolerance = 1e-6 if model.provider == CPU else 1e-4
    if model.precision == "float16":
        tolerance = 2e-3  # ten binary digits, twice
    for row in range(len(batch)):
        alone = answers(model, models, batch[row : row + 1])
        for output, values in together.items():
            scale = np.abs(values).max()
            np.testing.assert_allclose(alone[output][0], values[row], atol=tolerance * scale)


@pytest.mark.parametrize("name", SHIPPED)
def test_every_answer_means_what_its_card_says(
    name: str, models: dict[str, Model], windows: dict[AudioInput, Samples]
) -> None:
    model = models[name]
    card, batch = model.card, windows[model.card.audio]
    outputs = answers(model, models, batch)
    for tensor in card.outputs:
        assert outputs[tensor.name].shape == (len(batch), *tensor.shape)
        assert np.isfinite(outputs[tensor.name]).all()
        assert np.abs(np.diff(outputs[tensor.name], axis=0)).max() > 0  # it hears the difference
    if card.kind == "classifier":
        assert outputs["probabilities"].min() >= 0
        assert outputs["probabilities"].max() <= 1
        if not card.multilabel:
            np.testing.assert_allclose(outputs["probabilities"].sum(1), 1, atol=1e-5)


@pytest.mark.parametrize("name", SHIPPED)
def test_silence_has_a_finite_answer(name: str, models: dict[str, Model]) -> None:
    """Silence between patches reaches a model, though audio of silence alone is refused."""
    model = models[name]
    silence = np.zeros((1, model.card.audio.input_samples), np.float32)
    for values in answers(model, models, silence).values():
        assert np.isfinite(values).all()


@pytest.mark.parametrize("name", SHIPPED)
def test_a_file_and_its_copy_at_16_khz_agree(
    name: str, models: dict[str, Model], copies: dict[AudioInput, Samples]
) -> None:
    """What a user uploads at 44.1 kHz, and the copy that a model was trained on."""
    model = models[name]
    outputs = answers(model, models, copies[model.card.audio])
    for output in ("embedding", "features"):
        file, copy = outputs[output].astype(np.float64)
        cosine = file @ copy / np.linalg.norm(file) / np.linalg.norm(copy)
        assert cosine >= 0.99, output


@pytest.mark.parametrize("name", SHIPPED)
def test_the_card_says_where_it_comes_from(name: str) -> None:
    card = read(MODELS_DIR / name).card
    facts = card.provenance
    assert facts.data
    assert all(data.licence for data in facts.data)
    assert facts.split
    # Published weights were measured by their authors, on other data.
    assert facts.metrics or facts.method.startswith("published weights: https://")
    if card.kind == "encoder":
        return
    # A distilled model may have a teacher that is not shipped; its data is stated then.
    is_stated = any(data.use.startswith("teacher (") for data in facts.data)
    assert facts.teacher in ENCODERS or is_stated
    if not card.multilabel:
        assert [key for key in facts.metrics if key.endswith("standard deviation")]
    if card.kind == "classifier":
        assert "calibration error (15 bins): after" in facts.metrics


@pytest.mark.parametrize(
    "card", [bundle.card for bundle in BUNDLES if bundle.card.head], ids=lambda card: card.name
)
def test_the_encoder_of_a_head_is_shipped_and_takes_the_same_audio(card: Card) -> None:
    assert card.head is not None
    encoder = ENCODERS[card.head.encoder].card
    assert encoder.audio == card.audio
    assert set(card.head.encoder_outputs) <= {tensor.name for tensor in encoder.outputs}


@pytest.mark.skipif(not SHARED.exists(), reason="real recordings, which are beside the project")
def test_real_mp3s_are_classified_as_offline(service: Service, tmp_path: Path) -> None:
    """The MP3 as a user sends it, a minute; offline the middle 30 s of it, 16 kHz Opus.

    Opus is 4 ms late and loses a little, which moves the maxima over time of an encoder.
    """
    mp3s = sorted((SHARED / "originals").glob("*.mp3"))
    offline = _offline([path.stem.split("_")[0] for path in mp3s], tmp_path)
    assert len(offline) == len(mp3s) == 8
    labels = read(MODELS_DIR / "genre").card.labels
    differences = []
    for path, expected in zip(mp3s, offline, strict=True):
        served = service.answer("/classify/genre", path)["labels"]
        probabilities = {label["label"]: label["probability"] for label in served}
        assert served[0]["label"] == labels[int(expected.argmax())], path.name
        got = np.array([probabilities[label] for label in labels])
        differences.append(np.abs(got - expected).max())
    assert max(differences) < 0.2
    assert np.mean(differences) < 0.1


def _offline(tracks: list[str], folder: Path) -> np.ndarray:
    """What the evaluation's own way gives for these tracks of Emotify: (n, n_labels)."""
    task = read_dataset("emotify-genre", SHARED / "emotify")
    few = task.tracks[task.tracks["track_id"].isin(tracks)].reset_index(drop=True)
    few = few.assign(fold=0)  # they are not divided here
    genre: Bundle = read(MODELS_DIR / "genre")
    deque(prepare_task(replace(task, tracks=few), folder / "task", genre.card.audio), maxlen=0)
    return bundle_outputs(genre, TaskData.load(folder / "task"))["probabilities"]
