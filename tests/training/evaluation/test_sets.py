"""Prepared sets of one name are one set for several encoders; parts and artists are the split's."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from numpy.typing import NDArray

from tests.bundles import AUDIO, write_bundle
from tests.training.evaluation.world import make_windows, write_prepared
from training.audio.manifest import load_manifest
from training.audio.windows import Prepared
from training.errors import HeardArtists, MissingAudioInput, OtherAudio, UnsplitTracks
from training.estimator.artist_split import split_by_artist
from training.estimator.mel_baseline import mel_statistics
from training.evaluation.judged import join_parts, require_unheard
from training.evaluation.sets import EvaluationSets
from training.networks.base import even_patches

LONG = AUDIO.model_copy(update={"window_s": 2.0})


def write_set(folder: Path, names: list[str], audio: float = 1.0) -> Path:
    """Tracks whose level is that of their name's number, each of 1 s or 2 s."""
    tracks = pd.DataFrame(
        {"track_id": names, "item_id": names, "artist": [f"artist {name}" for name in names]}
    )
    levels = np.array([[int(name[1:]) / 10] * 4 for name in names])
    windows = make_windows(levels, np.random.default_rng(0))
    if audio == 2.0:
        return write_prepared(folder, tracks, np.tile(windows, (1, 2)), LONG)
    return write_prepared(folder, tracks, windows)


def mel_of(folder: Path) -> NDArray[np.float32]:
    return mel_statistics(Prepared.load(folder), folder, lambda label, starts: starts)


def test_each_encoder_hears_the_windows_that_it_takes(tmp_path: Path) -> None:
    short = [write_set(tmp_path / "s" / "a", ["t1", "t2"]), write_set(tmp_path / "s" / "b", ["t3"])]
    # In another order, and one of the files could not be read.
    long = [
        write_set(tmp_path / "l" / "b", ["t3"], 2.0),
        write_set(tmp_path / "l" / "a", ["t2"], 2.0),
    ]
    sets = EvaluationSets.load([*short, *long])
    assert sets.tracks["track_id"].tolist() == ["t2", "t3"]
    assert sets.tracks["set"].tolist() == ["a", "b"]
    for audio in (AUDIO, LONG):
        heard = sets.heard_as(audio, "encoder")
        waveforms = heard.joined.waveforms(heard.rows)
        assert waveforms.shape == (2, audio.input_samples)
        assert abs(waveforms).max(1) == pytest.approx([0.2, 0.3], abs=0.01)
    statistics = sets.mel_statistics(lambda label, starts: starts)
    heard_longer = [mel_of(folder) for folder in (long[1], long[0])]
    np.testing.assert_array_equal(statistics, np.concatenate(heard_longer))
    with pytest.raises(OtherAudio, match="the encoder other takes"):
        sets.heard_as(AUDIO.model_copy(update={"sample_rate": 16_000}), "other")


def test_patches_are_cut_from_whole_windows_where_no_folder_holds_them(tmp_path: Path) -> None:
    whole = [write_set(tmp_path / name, [track], 2.0) for name, track in (("a", "t1"), ("b", "t2"))]
    patched = LONG.model_copy(update={"patches": even_patches(2, 0.5, 2.0)})
    sets = EvaluationSets.load(whole)
    heard = sets.heard_as(patched, "encoder")
    assert heard.audio == patched
    windows = sets.heard_as(LONG, "encoder").joined.waveforms(heard.rows)
    cuts = [slice(start, start + patched.patch_samples) for start in patched.patch_starts]
    expected = np.concatenate([windows[:, cut] for cut in cuts], 1)
    np.testing.assert_array_equal(heard.joined.waveforms(heard.rows), expected)
    # Folder by folder, as the outputs of encoders are computed.
    apart = heard.of_folders(lambda folder: folder.prepared.waveforms(folder.rows))
    np.testing.assert_array_equal(apart, expected)
    # A folder that holds the patches is heard as it is.
    level = np.full((1, patched.input_samples), 0.5, np.float32)
    own = [
        write_prepared(tmp_path / "p" / folder.name, load_manifest(folder), level, patched)
        for folder in whole
    ]
    both = EvaluationSets.load([*whole, *own]).heard_as(patched, "encoder")
    np.testing.assert_allclose(both.joined.waveforms(both.rows), 0.5, atol=1e-4)


def test_outputs_of_an_encoder_are_of_the_tracks_and_computed_once(tmp_path: Path) -> None:
    folders = [write_set(tmp_path / "a", ["t1", "t4"]), write_set(tmp_path / "b", ["t2"])]
    bundle = write_bundle(tmp_path / "models", "levels")
    sets = EvaluationSets.load(folders)
    batches: list[str] = []

    def track(label: str, starts: list[int]) -> list[int]:
        batches.append(label)
        return starts

    # Of noise between ± l the mean level is l / 2, and the output is its root.
    features = sets.outputs(bundle, "features", track)
    assert features[:, 0] == pytest.approx(np.sqrt([0.05, 0.2, 0.1]), abs=0.01)
    assert batches == ["levels", "levels"]
    np.testing.assert_array_equal(sets.outputs(bundle, "features", track), features)
    assert sets.outputs(bundle, "embedding", track).shape == (3, 40)
    assert batches == ["levels", "levels"]


def test_a_set_that_was_not_decoded_for_every_encoder_is_refused(tmp_path: Path) -> None:
    folders = [
        write_set(tmp_path / "a", ["t1"]),
        write_set(tmp_path / "b", ["t2"]),
        write_set(tmp_path / "l" / "a", ["t1"], 2.0),
    ]
    with pytest.raises(MissingAudioInput, match="the sets a, b are decoded for one audio input"):
        EvaluationSets.load(folders)


TRACKS = pd.DataFrame(
    {
        "track_id": [f"t{number}" for number in range(100)],
        "item_id": [f"i{number // 2}" for number in range(100)],
        "artist": [f"Artist {number // 2}" for number in range(100)],
    }
)


def test_parts_and_artists_are_those_of_the_split() -> None:
    two_names = TRACKS.assign(artist=TRACKS["artist"].where(TRACKS.index != 1, "The Zebra"))
    split = split_by_artist(two_names)
    joined = join_parts(two_names.iloc[::-1], split)
    assert joined.set_index("track_id")["part"].to_dict() == dict(
        zip(split["track_id"], split["part"], strict=True)
    )
    # One item with two spellings is of one artist.
    assert joined.groupby("item_id")["artist"].nunique().max() == 1
    assert joined["artist"].nunique() == 50


def test_a_track_that_the_split_lacks_is_refused() -> None:
    split = split_by_artist(TRACKS)
    with pytest.raises(UnsplitTracks, match=r"1 of 100 prepared tracks .* 't7' .*--split"):
        join_parts(TRACKS, split[split["track_id"] != "t7"])


def test_a_run_is_not_judged_on_artists_that_it_was_trained_on(tmp_path: Path) -> None:
    own, other = split_by_artist(TRACKS[:90]), split_by_artist(TRACKS, fold=1)
    require_unheard(tmp_path, own, split_by_artist(TRACKS))
    with pytest.raises(HeardArtists, match=r"was trained on \d+ artists that are held out here"):
        require_unheard(tmp_path, own, other)
