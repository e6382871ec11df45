"""The recommender: new songs at once, plays that move them, restarts, and spaces kept apart."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from examples.recommender.errors import DatabaseInUse, OtherSpace, Unknown
from examples.recommender.factors import Factors, Vectors
from examples.recommender.ranking import Recommender
from examples.recommender.slots import TRIED_OUT, best, fill_slots
from examples.recommender.store import Play, Song, Store
from tests.examples.world import World
from tests.running import ROOT


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    store = Store(tmp_path / "recommender.sqlite")
    yield store
    store.close()


@pytest.fixture
def recommender(factors: Factors, store: Store) -> Recommender:
    return Recommender(factors, store)


def make_song(track: str, embedding: Vectors, space: str) -> Song:
    return Song(track, embedding, space, "encoder", "0" * 64, "float32", "1" * 64)


def put(recommender: Recommender, track: str, like: int) -> None:
    """A song that sounds like an item of the factorisation."""
    factors = recommender.factors
    recommender.put_song(make_song(track, factors.item_factors[like], factors.space))


def names(recommender: Recommender, user: str, limit: int = 10) -> list[str]:
    return [track.track_id for track in recommender.recommend(user, limit)]


def everything(recommender: Recommender) -> list[object]:
    users = [*recommender.factors.users[:20], "later-1"]
    return [[recommender.recommend(user, 20) for user in users], recommender.audience("song", 30)]


def test_a_new_song_is_recommended_at_once(recommender: Recommender) -> None:
    put(recommender, "song", like=3)
    assert names(recommender, "user-0")[-1] == "song"
    assert [track.is_new for track in recommender.recommend("user-0", 10)] == [*[False] * 9, True]


def test_of_several_new_songs_each_user_gets_the_nearest(
    recommender: Recommender, factors: Factors
) -> None:
    for row in range(12):
        put(recommender, f"song-{row}", like=row)
    directions = (
        factors.item_factors[:12] / np.linalg.norm(factors.item_factors[:12], axis=1)[:, None]
    )
    for user, vector in zip(factors.users[:40], factors.user_factors[:40], strict=True):
        assert names(recommender, user)[-1] == f"song-{int((directions @ vector).argmax())}"


def test_without_new_songs_every_place_is_an_items(recommender: Recommender) -> None:
    assert len(set(names(recommender, "user-0"))) == 10
    assert not any(track.is_new for track in recommender.recommend("user-0", 10))


def test_what_was_played_is_not_recommended(recommender: Recommender) -> None:
    put(recommender, "song", like=3)
    before = names(recommender, "user-0")
    recommender.add_plays([Play("user-0", before[0]), Play("user-0", "song")])
    after = names(recommender, "user-0")
    assert not {before[0], "song"} & set(after)
    assert len(after) == 10


def test_plays_move_a_song_towards_its_listeners(
    recommender: Recommender, world: World, factors: Factors
) -> None:
    artist = world.held_out[int(world.listens[:, world.held_out].sum(0).argmax())]
    listeners = world.listeners(artist)
    seen, others = listeners[::2], listeners[1::2]
    score = factors.item_factors @ factors.user_factors[
        np.flatnonzero(world.listens[:, artist])
    ].mean(0)
    put(recommender, "song", like=int(score.argmin()))

    def mean_rank() -> float:
        ranks = [user for user, _ in recommender.audience("song", len(factors.users))]
        return float(np.mean([ranks.index(user) for user in others]))

    by_sound, sound = mean_rank(), recommender.place("song").sound
    recommender.add_plays([Play(user, "song") for user in seen])
    assert mean_rank() < by_sound / 2
    place = recommender.place("song")
    assert place.sound < sound
    assert (place.n_listeners, place.n_plays) == (len(seen), len(seen))


def test_plays_of_one_user_add_up(recommender: Recommender) -> None:
    put(recommender, "song", like=3)
    recommender.add_plays([Play("user-0", "song", 2), Play("user-0", "song")])
    recommender.add_plays([Play("user-0", "song", 4)])
    place = recommender.place("song")
    assert (place.n_listeners, place.n_plays) == (1, 7)


def test_a_later_user_is_folded_in_from_plays(recommender: Recommender, world: World) -> None:
    with pytest.raises(Unknown, match=r"later-1: unknown; POST their plays"):
        recommender.recommend("later-1", 10)
    liked = [f"artist-{row}" for row in np.flatnonzero(world.listens[5, :-20])]
    assert recommender.add_plays([Play("later-1", track) for track in liked]) == []
    own = [track.track_id for track in recommender.recommend_to(liked, 10)]
    assert names(recommender, "later-1") == own
    # The factor of the user with the same history ranks alike.
    recommender.add_plays([Play("user-5", track) for track in liked])
    assert len(set(own) & set(names(recommender, "user-5"))) >= 5


def test_a_taste_of_new_songs_alone_finds_what_is_near(recommender: Recommender) -> None:
    put(recommender, "song", like=3)
    ranks = [track.track_id for track in recommender.recommend_to(["song"], 288)]
    assert ranks.index("artist-3") < 40
    assert "song" not in ranks


def test_plays_of_unknown_tracks_are_kept_and_named(recommender: Recommender) -> None:
    plays = [Play(f"user-{number}", "song") for number in range(6)]
    assert recommender.add_plays(plays) == ["song"]
    put(recommender, "song", like=3)
    assert recommender.place("song").n_listeners == 6
    assert recommender.place("song").sound < 1


def test_one_song_as_it_arrives_is_as_all_from_scratch(
    recommender: Recommender, store: Store, factors: Factors
) -> None:
    put(recommender, "song", like=3)
    put(recommender, "other", like=9)
    recommender.add_plays([Play("user-1", "song"), Play("later-1", "song")])
    recommender.add_plays([Play("later-1", "artist-7"), Play("user-2", "other")])
    put(recommender, "song", like=4)
    recommender.add_plays([Play("later-1", "artist-8", 3)])
    assert everything(Recommender(factors, store)) == everything(recommender)


def test_a_song_put_twice_replaces(recommender: Recommender) -> None:
    put(recommender, "song", like=3)
    put(recommender, "song", like=80)
    assert names(recommender, "user-0").count("song") == 1
    put(recommender, "same", like=80)
    assert recommender.audience("song", 5) == recommender.audience("same", 5)


def test_a_song_that_is_known_well_has_no_slot(recommender: Recommender, factors: Factors) -> None:
    score = factors.item_factors @ factors.user_factors[0]
    put(recommender, "song", like=int(score.argmin()))
    others = factors.users[1:]
    recommender.add_plays([Play(user, "song") for user in others[: TRIED_OUT - 1]])
    assert "song" in names(recommender, "user-0")
    worst = sorted(others, key=lambda user: recommender.recommend(user, 1)[0].score)[:5]
    recommender.add_plays([Play(user, "song") for user in [*others[:TRIED_OUT], *worst]])
    assert "song" not in names(recommender, "user-0")


def test_of_another_space_a_song_is_refused_with_both_names(
    recommender: Recommender, factors: Factors
) -> None:
    song = make_song("song", factors.item_factors[3], "f" * 64)
    with pytest.raises(OtherSpace) as refused:
        recommender.put_song(song)
    assert "ffffffffffff" in str(refused.value)
    assert factors.space[:12] in str(refused.value)
    assert recommender.store.songs() == []


def test_a_new_factorisation_refuses_old_songs_until_they_are_embedded_anew(
    recommender: Recommender, factors: Factors, store: Store
) -> None:
    put(recommender, "song", like=3)
    put(recommender, "other", like=5)
    recommender.add_plays([Play("user-1", "song")])
    other = replace(factors, space="e" * 64)
    later = Recommender(other, store)
    assert set(later.stale) == {"song", "other"}
    assert not any(track.is_new for track in later.recommend("user-0", 10))
    for refuses in (
        lambda: later.place("song"),
        lambda: later.audience("song", 3),
        lambda: later.recommend_to(["song", "artist-1"], 3),
    ):
        with pytest.raises(OtherSpace) as refused:
            refuses()
        assert "eeeeeeeeeeee" in str(refused.value)
        assert factors.space[:12] in str(refused.value)
    put(later, "song", like=3)
    assert set(later.stale) == {"other"}
    assert "song" in names(later, "user-0")
    assert later.place("song").n_listeners == 1
    assert set(Recommender(other, store).stale) == {"other"}


def test_a_song_that_the_factorisation_knows_by_now_is_one_of_its_items(
    recommender: Recommender, factors: Factors, store: Store
) -> None:
    put(recommender, "song", like=3)
    known = replace(factors, items=["song", *factors.items[1:]], space="e" * 64)
    later = Recommender(known, store)
    assert not later.stale
    place = later.place("song")
    assert (place.is_new, place.sound) == (False, 0)


def test_unknown_tracks_are_refused_by_name(recommender: Recommender) -> None:
    for refuses in (
        lambda: recommender.place("nothing"),
        lambda: recommender.audience("nothing", 3),
        lambda: recommender.recommend_to(["artist-1", "nothing"], 3),
    ):
        with pytest.raises(Unknown, match=r"nothing: unknown; PUT the audio"):
            refuses()


def test_the_audience_leaves_out_who_has_played_it(recommender: Recommender) -> None:
    put(recommender, "song", like=3)
    before = [user for user, _ in recommender.audience("song", 6)]
    recommender.add_plays([Play(before[0], "song")])
    after = [user for user, _ in recommender.audience("song", 6)]
    assert before[0] not in after
    assert len(after) == 6


def test_slots_are_the_last_places() -> None:
    assert fill_slots([1, 2, 3, 4], [8, 9], 0, 3) == [1, 2, 3]
    assert fill_slots([1, 2, 3, 4], [8, 9], 1, 3) == [1, 2, 8]
    assert fill_slots([1, 8, 3, 4], [9, 8], 1, 3) == [1, 8, 3]
    assert fill_slots([1, 8, 3, 4], [9, 8], 2, 3) == [1, 8, 9]
    assert fill_slots([1, 2, 3], [], 2, 3) == [1, 2, 3]
    assert fill_slots([1], [8, 9], 1, 3) == [1, 8]


def test_of_equal_scores_the_first_is_the_best() -> None:
    scores = np.array([1, 3, 2, 3, 2, 3, 0], np.float32)
    for limit in range(1, 9):
        assert best(scores, limit) == [1, 3, 5, 2, 4, 0, 6][:limit]


def test_a_killed_writer_loses_nothing_that_it_had_stored(tmp_path: Path) -> None:
    code = (
        "import os, signal, sys; from pathlib import Path; "
        "from examples.recommender.store import Play, Store; "
        "store = Store(Path(sys.argv[1])); "
        "store.add_plays([Play('user', f'track-{n}') for n in range(50)]); "
        "os.kill(os.getpid(), signal.SIGKILL)"
    )
    path = tmp_path / "recommender.sqlite"
    done = subprocess.run([sys.executable, "-c", code, str(path)], cwd=ROOT, check=False)
    assert done.returncode == -9
    store = Store(path)
    assert len(store.played("user")) == 50
    store.close()


def test_a_second_process_is_refused(store: Store, tmp_path: Path) -> None:
    store.add_plays([Play("user", "track")])
    with pytest.raises(DatabaseInUse, match=r"RECOMMENDER_DATABASE"):
        Store(tmp_path / "recommender.sqlite", wait_s=0)
