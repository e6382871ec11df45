"""A network learns planted artists; what it has learnt is tested on songs that were held out."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from numpy.typing import NDArray

from tests.training.objectives.clips import make_table, make_tones
from training.audio.patch_cutting import cut_patches
from training.errors import (
    BadCrop,
    MissingInput,
    NoSegments,
    OtherAudio,
    OtherClips,
    OtherRun,
    SharedArtist,
)
from training.fitting.space_figures import COSINES, MAP, NEIGHBOURS, SPACE_DATA
from training.networks.cf_estimator import CFEstimator
from training.networks.inference import torch_forward
from training.networks.siamese import SiameseCNN
from training.objectives.clips import TEST, divide_clips, limit_artists
from training.objectives.division import Division
from training.objectives.run import load_clips
from training.similarity.concepts import ConceptDraws
from training.similarity.holdout import (
    Learner,
    Vectors,
    cut_into_segments,
    load_same_clips,
    predict,
)
from training.similarity.settings import SimilaritySettings
from training.similarity.train import load_network, train

SETTINGS = SimilaritySettings(
    width=8,
    max_epochs=3,
    learning_rate=0.02,
    batch_size=8,
    negatives=2,
    validation_draws=1,
    accelerator="cpu",
)


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A joint run on eight artists of five clips, two albums each."""
    out = tmp_path_factory.mktemp("similarity") / "joint"
    tones = make_tones(8, 5)
    settings = replace(SETTINGS, concept="joint")
    train(tones, None, out, settings, by_song=True, show_progress=False)
    return out


def embed(network: SiameseCNN, windows: NDArray[np.int16]) -> Vectors:
    """Embeddings of ten segments of 3 s, shape (n_clips, 10, dim)."""
    front_end = network.make_front_end()
    segments = torch.from_numpy(windows.astype(np.float32) / 32767).reshape(-1, 48_000)
    with torch.inference_mode():
        embedding = network(front_end(segments)).embedding
    return np.asarray(embedding.numpy().reshape(len(windows), 10, -1))


def test_planted_artists_are_told_apart_on_songs_that_were_not_heard(run: Path) -> None:
    network, settings = load_network(run)
    assert isinstance(network, SiameseCNN)
    assert settings.concept == "joint"
    tones, clips = make_tones(8, 5), load_clips(run)
    segments = embed(network, np.asarray(tones.windows))
    draws = ConceptDraws("artist", clips, TEST, 4, by_song=True)
    found, low, high = predict(segments, draws, clips["artist"], n_draws=20)
    assert found > 0.6  # chance is 0.2
    assert low <= found <= high


def test_a_run_folder_has_clips_settings_and_curves(run: Path) -> None:
    clips = load_clips(run)
    assert (
        clips["part"].value_counts() == pd.Series({"train": 24, "validation": 8, "test": 8})
    ).all()
    assert clips["album"].nunique() == 16
    assert "val_found/artist" in (run / "curves.svg").read_text()
    assert (run / "kind.txt").read_text() == "similarity\n"
    assert json.loads((run / "division.json").read_text())["by_song"] is True
    for name in (MAP, COSINES, NEIGHBOURS, "environment.json", "best.ckpt"):
        assert (run / name).stat().st_size, name


def test_the_map_is_of_whole_validation_clips_by_the_best_network(run: Path) -> None:
    clips, tones = load_clips(run), make_tones(8, 5)
    shown = clips[clips["part"] == "validation"]
    drawn = np.load(run / SPACE_DATA)
    assert drawn["names"].tolist() == shown["track_id"].tolist()
    names = tones.tracks.set_index("track_id")["artist"]
    assert drawn["group/artist"].tolist() == names[shown["track_id"]].tolist()
    network, _ = load_network(run)
    heard = cut_patches(tones, network.audio).waveforms(shown["row"].to_numpy())
    (expected,) = torch_forward(network, network.make_front_end())(heard)[:1]
    np.testing.assert_allclose(drawn["predicted"], expected, atol=1e-5)


def test_a_run_is_resumed_on_the_same_clips_alone(run: Path) -> None:
    longer = replace(SETTINGS, concept="joint", max_epochs=3)
    best = train(make_tones(8, 5), None, run, longer, by_song=True, show_progress=False)
    assert best.exists()
    with pytest.raises(OtherRun):
        train(make_tones(7, 5), None, run, longer, by_song=True, show_progress=False)


def test_windows_of_another_rate_and_no_segments_are_refused(tmp_path: Path) -> None:
    tones = make_tones(2, 5)
    other = replace(tones, audio=tones.audio.model_copy(update={"sample_rate": 22_050}))
    with pytest.raises(OtherAudio, match="siamese"):
        train(other, None, tmp_path, SETTINGS, by_song=True)
    with pytest.raises(BadCrop, match="crops of 0 s"):
        train(tones, None, tmp_path, replace(SETTINGS, crop_s=0.0), by_song=True)
    with pytest.raises(MissingInput, match="tasteprint-train similarity"):
        load_network(tmp_path)


def test_an_artist_on_two_sides_is_refused_where_artists_are_divided(tmp_path: Path) -> None:
    tones = make_tones(6, 4)
    parts = np.repeat(["train", "train", "validation", "validation", "test", "test"], 4)
    split = tones.tracks[["track_id", "item_id", "artist"]].assign(part=parts)
    split.loc[0, "part"] = "validation"
    few = replace(SETTINGS, concept="artist", negatives=1)
    with pytest.raises(SharedArtist, match=r"in the parts train, validation"):
        train(tones, split, tmp_path, few, by_song=False, show_progress=False)
    assert not any(tmp_path.iterdir())


def test_how_a_run_was_divided_is_read_from_its_record(tmp_path: Path) -> None:
    """One artist on two sides does not make a division by artist one by song."""
    clips, _ = divide_clips(make_table([0] * 5 + [1] * 5), None, by_song=True)
    clips.to_csv(tmp_path / "clips.csv", index=False)
    assert Division.load(tmp_path).by_song  # no record: by what the parts share
    (tmp_path / "division.json").write_text('{"by_song": false}')
    assert not Division.load(tmp_path).by_song


def make_vectors(clips: pd.DataFrame, dim: int = 40) -> Vectors:
    """Random segments of unit length, (n_clips, 4, dim)."""
    vectors = np.random.default_rng(0).normal(size=(len(clips), 4, dim))
    return np.asarray(vectors / np.linalg.norm(vectors, axis=2, keepdims=True), np.float32)


def test_prediction_is_chance_for_random_vectors_and_sure_for_perfect_ones() -> None:
    table = make_table(np.repeat(np.arange(30), 4).tolist(), [0, 0, 1, 1] * 30)
    clips, _ = divide_clips(table, None, by_song=True)
    for concept in ("artist", "track"):
        draws = ConceptDraws(concept, clips, TEST, 4, by_song=True)
        random = make_vectors(clips)
        assert predict(random, draws, clips["artist"], 200)[0] == pytest.approx(0.2, abs=0.03)
        keys = draws.concept.keys
        perfect = np.repeat(np.eye(keys.max() + 1, dtype=np.float32)[keys][:, None], 4, axis=1)
        assert predict(perfect, draws, clips["artist"], 20) == (1, 1, 1)


def test_a_track_is_not_found_by_its_own_segment() -> None:
    """Vectors that know the segment alone: only the same segment would be found."""
    clips, _ = divide_clips(make_table(np.repeat(np.arange(10), 4).tolist()), None, by_song=True)
    vectors = np.repeat(np.eye(4, dtype=np.float32)[None], len(clips), axis=0)
    draws = ConceptDraws("track", clips, TEST, 4, by_song=True)
    assert predict(vectors, draws, clips["artist"], 50)[0] == 0


def test_runs_are_tested_on_the_same_clips(tmp_path: Path) -> None:
    """A run on fewer artists has the same test clips; one on other songs has not."""
    clips, _ = divide_clips(make_table([0] * 5 + [1] * 5 + [2] * 5), None, by_song=True)
    others, _ = divide_clips(make_table([0] * 5 + [1] * 5 + [2] * 2), None, by_song=True)
    tables = {"all": clips, "fewer": limit_artists(clips, 2), "others": others}
    for name, table in tables.items():
        (tmp_path / name).mkdir()
        table.to_csv(tmp_path / name / "clips.csv", index=False)
    found, by_song = load_same_clips([tmp_path / "fewer", tmp_path / "all"])
    assert list(found["track_id"]) == list(clips["track_id"])
    assert by_song
    with pytest.raises(OtherClips, match=r"others and .*all hold other test clips"):
        load_same_clips([tmp_path / "all", tmp_path / "others"])


def test_an_encoder_is_tested_on_consecutive_segments() -> None:
    network = SiameseCNN(8, 16)
    network.audio = SiameseCNN.patched_audio(3, 0)
    audio = cut_into_segments(Learner("mine", network, "artist"))
    assert audio.patches is not None
    assert audio.patches.starts_s == tuple(3.0 * index for index in range(10))
    with pytest.raises(NoSegments, match="whole hears 30 s of a window of 30 s"):
        cut_into_segments(Learner("whole", CFEstimator(32), ""))
