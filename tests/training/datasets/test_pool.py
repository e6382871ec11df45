"""A pool leaves out what its task holds out, and what its task hears anyway."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from tests.training.networks.tiny_encoder import TinyEncoder
from training.audio.windows import Prepared
from training.datasets.artist_key import artist_key
from training.datasets.folds import deal_fold
from training.datasets.pool import Pool, check_same_pool, digest_of_tracks, select_tracks
from training.datasets.prepared import TaskData, TaskFacts
from training.errors import BadPool, OtherTracks

FOLD = 2
NAMES = [f"Artist {number}" for number in range(60)]
IN_FOLD = [name for name in NAMES if deal_fold(artist_key(name)) == FOLD]
OTHERS = [name for name in NAMES if deal_fold(artist_key(name)) != FOLD]


def prepared(tracks: pd.DataFrame, window_s: float = 2.0) -> Prepared:
    audio = TinyEncoder.audio.model_copy(update={"window_s": window_s})
    windows = np.zeros((len(tracks), audio.input_samples), np.int16)
    return Prepared(windows, tracks.assign(row=np.arange(len(tracks))), audio)


def make_pool(*artists: str, ids: str = "pool", window_s: float = 2.0) -> Pool:
    """A track of each artist, whose ids begin with `ids`."""
    tracks = pd.DataFrame(
        {"track_id": [f"{ids}-{number}" for number in range(len(artists))], "artist": artists}
    )
    return Pool(Path(ids), prepared(tracks, window_s), ())


@pytest.fixture
def task() -> TaskData:
    """Two tracks of each of 20 artists, in the folds of the deal."""
    artists = [name for name in (*IN_FOLD[:4], *OTHERS[:16]) for _ in range(2)]
    tracks = pd.DataFrame(
        {
            "track_id": [f"task-{number}" for number in range(len(artists))],
            "artist": artists,
            "label": ["a", "b"] * 20,
            "fold": [deal_fold(artist_key(artist)) for artist in artists],
        }
    )
    facts = TaskFacts(
        name="letters", card_task="letters", kind="classification", labels=("a", "b"),
        split="by artist", data=(),
    )  # fmt: skip
    return TaskData(Path("task"), facts, prepared(tracks))


def part_of(task: TaskData, part: str, fold: int = FOLD) -> list[str]:
    return sorted(set(task.prepared.tracks["artist"][task.parts(fold) == part]))


def chosen(pool: Pool, task: TaskData, fold: int | None = FOLD) -> list[str]:
    (mask,) = select_tracks([pool], task, fold)
    return list(pool.prepared.tracks["artist"][mask])


def test_artists_of_test_and_validation_part_are_left_out(task: TaskData) -> None:
    held_out = part_of(task, "test")[0], part_of(task, "validation")[0]
    training, new = part_of(task, "train")[0], OTHERS[-1]
    assert chosen(make_pool(*held_out, training, new), task) == [training, new]


def test_an_artist_is_known_by_the_key_of_the_name(task: TaskData) -> None:
    held_out = part_of(task, "validation")[0]
    spelt = f"The {held_out.upper()}!"
    assert spelt != held_out
    assert chosen(make_pool(spelt, OTHERS[-1]), task) == [OTHERS[-1]]


def test_artists_of_the_fold_in_the_deal_are_left_out_whichever_set_they_are_from(
    task: TaskData,
) -> None:
    unseen = IN_FOLD[-1]
    assert unseen not in set(task.prepared.tracks["artist"])
    assert chosen(make_pool(unseen, OTHERS[-1]), task) == [OTHERS[-1]]
    other = next(fold for fold in range(5) if fold not in (FOLD, deal_fold(artist_key(OTHERS[-1]))))
    assert chosen(make_pool(unseen, OTHERS[-1]), task, other) == [unseen, OTHERS[-1]]


def test_the_tasks_own_tracks_and_those_of_an_earlier_pool_are_left_out(task: TaskData) -> None:
    own = make_pool(*[""] * 3, ids="task")
    with pytest.raises(BadPool, match="no track that letters may hear with fold 2 held out"):
        select_tracks([own], task, FOLD)
    first, second = make_pool("", ""), make_pool("", "", "")
    masks = select_tracks([first, second], task, FOLD)
    assert [mask.tolist() for mask in masks] == [[True, True], [False, False, True]]


def test_tracks_of_unknown_artists_are_heard(task: TaskData) -> None:
    task.prepared.tracks["artist"] = ""
    assert chosen(make_pool("", "", ""), task) == ["", "", ""]


def test_a_final_fit_holds_out_the_validation_part_alone(task: TaskData) -> None:
    validation = sorted(set(task.prepared.tracks["artist"][task.parts(None) == "validation"]))
    others = [name for name in IN_FOLD[-2:] if name not in validation]
    assert chosen(make_pool(validation[0], *others), task, None) == others


def test_windows_of_another_length_are_refused(task: TaskData) -> None:
    with pytest.raises(BadPool, match="decode both alike"):
        select_tracks([make_pool(OTHERS[-1], window_s=1.0)], task, FOLD)


def test_a_pool_without_artists_is_refused(tmp_path: Path) -> None:
    pool = make_pool("", "")
    np.save(tmp_path / "windows.npy", pool.prepared.windows[:])
    source = f'{{"audio": {pool.prepared.audio.model_dump_json()}}}'
    (tmp_path / "source.json").write_text(source)
    tracks = pool.prepared.tracks
    tracks.to_csv(tmp_path / "tracks.csv", index=False)
    assert Pool.load(tmp_path).track_ids == pool.track_ids
    tracks.drop(columns="artist").to_csv(tmp_path / "tracks.csv", index=False)
    with pytest.raises(BadPool, match="--artist-column"):
        Pool.load(tmp_path)


def test_a_pool_for_the_teacher_holds_the_same_tracks_in_the_same_order() -> None:
    pool = make_pool("", "")
    check_same_pool(pool, make_pool("", "", window_s=1.0))
    with pytest.raises(OtherTracks, match="1 tracks are in one alone"):
        check_same_pool(pool, make_pool("", "", ""))
    reverse = Pool(pool.folder, prepared(pool.prepared.tracks.iloc[::-1]), ())
    with pytest.raises(OtherTracks, match="the order differs"):
        check_same_pool(pool, reverse)


def test_the_digest_is_of_the_chosen_tracks() -> None:
    pool = make_pool("", "", "")
    masks = [np.array([True, True, False]), np.array([True, False, True])]
    first, second = (digest_of_tracks([pool], [mask]) for mask in masks)
    assert first == digest_of_tracks([make_pool("", "")], [np.array([True, True])])
    assert first != second
