"""Journals: changes are on the disk, exact, and those of several processes are all there."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from models.catalogue import (
    BadCatalogue,
    Catalogue,
    CatalogueSource,
    Filters,
    Hit,
    Track,
    journal,
    load,
    save,
)
from models.catalogue.journal import Snapshot, catch_up, journal_of, load_current
from tests.running import ROOT

SOURCE = CatalogueSource("cf-estimator", "2.0.0", "d" * 64, "a" * 64, "float32")
N_TRACKS, N_PUT, DIM = 1003, 37, 40


def vectors_of(n_rows: int, seed: int) -> np.ndarray:
    """Vectors with a large common part, as predicted ones have."""
    drawn: np.ndarray = np.random.default_rng(seed).normal(2, 1, (n_rows, DIM)).astype(np.float32)
    return drawn


def tracks() -> list[Track]:
    rows = vectors_of(N_PUT, 1)
    return [
        Track(f"new/{row}", vector, f"Title {row}", f"Artist {row % 3}", f"{row:064x}")
        for row, vector in enumerate(rows)
    ]


@pytest.fixture
def path(tmp_path: Path) -> Path:
    path = tmp_path / "catalogue.parquet"
    ids = [f"old/{row}" for row in range(N_TRACKS)]
    save(Catalogue.build(SOURCE, ids, vectors_of(N_TRACKS, 0), {}), path)
    return path


def put_all(path: Path, songs: list[Track]) -> Snapshot:
    known = load_current(path)
    for song in songs:
        known, _ = journal.put(known, path, song, SOURCE)
    return known


def hits_of(catalogue: Catalogue, seed: int = 7) -> list[Hit]:
    query = catalogue.centre(vectors_of(1, seed), SOURCE)
    return catalogue.search(query, Filters(limit=N_TRACKS + N_PUT))


def test_a_song_that_is_put_changes_no_bit_of_another_ones_cosine(path: Path) -> None:
    known = load_current(path)
    before = {hit.track_id: hit.cosine for hit in hits_of(known.catalogue)}
    for song in tracks():  # at every number of rows: a product's kernel takes them in fours
        known, _ = journal.put(known, path, song, SOURCE)
        after = {hit.track_id: hit.cosine for hit in hits_of(known.catalogue)}
        assert before.items() <= after.items()
        assert song.track_id in after
        before = after


def test_however_songs_came_into_it_the_catalogue_answers_the_same_to_the_bit(path: Path) -> None:
    songs = tracks()
    one_by_one = put_all(path, songs)
    again = load_current(path)
    at_once = load(path)
    for song in songs:
        at_once = at_once.put(song)
    merged = journal.merge(path)
    assert not journal_of(path).exists()
    expected = hits_of(at_once)
    for snapshot in (one_by_one, again, merged, load_current(path)):
        assert hits_of(snapshot.catalogue) == expected
        np.testing.assert_array_equal(snapshot.catalogue.vectors, at_once.vectors)


def test_an_id_that_is_put_twice_replaces(path: Path) -> None:
    first, second = tracks()[:2]
    known, replaced = journal.put(load_current(path), path, first, SOURCE)
    assert not replaced
    second = replace(second, track_id=first.track_id)
    known, replaced = journal.put(known, path, second, SOURCE)
    assert replaced
    assert len(known.catalogue) == N_TRACKS + 1
    found = [hit for hit in hits_of(known.catalogue) if hit.track_id == first.track_id]
    assert [hit.title for hit in found] == [second.title]
    position = known.catalogue.find(first.track_id)
    assert position is not None
    np.testing.assert_allclose(
        known.catalogue.predictions_at([position])[0], second.vector, rtol=1e-5
    )
    assert hits_of(load_current(path).catalogue) == hits_of(known.catalogue)


def test_a_song_that_is_deleted_is_gone_and_ranks_close_up(path: Path) -> None:
    known = load_current(path)
    before = hits_of(known.catalogue)
    known, was_there = journal.delete(known, path, before[0].track_id)
    assert was_there
    after = hits_of(load_current(path).catalogue)
    assert [hit.track_id for hit in after] == [hit.track_id for hit in before[1:]]
    assert [hit.rank for hit in after] == list(range(1, N_TRACKS))
    known, was_there = journal.delete(known, path, before[0].track_id)
    assert not was_there
    merged = journal.merge(path).catalogue
    assert merged.find(before[0].track_id) is None
    assert hits_of(merged) == after


def test_a_line_that_a_crash_cut_short_is_no_change(path: Path) -> None:
    songs = tracks()[:3]
    put_all(path, songs[:2])
    whole = journal_of(path).read_bytes()
    lines = whole.splitlines(keepends=True)
    last_begins = len(whole) - len(lines[-1])
    for length in (last_begins + 1, len(whole) - 1, 5):
        journal_of(path).write_bytes(whole[:length])
        cut = load_current(path)
        assert cut.catalogue.find(songs[1].track_id) is None
        known, _ = journal.put(cut, path, songs[2], SOURCE)
        assert hits_of(load_current(path).catalogue) == hits_of(known.catalogue)
    # A block that never reached the disk: zeros where the line was.
    journal_of(path).write_bytes(whole[:last_begins] + bytes(len(lines[-1]) - 1) + b"\n")
    assert len(load_current(path).catalogue) == N_TRACKS + 1


def test_a_damaged_journal_is_refused(path: Path) -> None:
    put_all(path, tracks()[:3])
    content = bytearray(journal_of(path).read_bytes())
    content[len(content) // 2] ^= 1
    journal_of(path).write_bytes(content)
    with pytest.raises(BadCatalogue, match="damaged at byte"):
        load_current(path)


def test_songs_that_were_put_outlive_a_new_file_of_their_space(path: Path) -> None:
    put_all(path, tracks())
    save(Catalogue.build(SOURCE, ["other"], vectors_of(1, 3), {}), path)
    current = load_current(path).catalogue
    assert len(current) == 1 + N_PUT
    expected = load(path)
    for song in tracks():
        expected = expected.put(song)
    np.testing.assert_array_equal(current.vectors, expected.vectors)  # by the new file's mean


def test_a_journal_of_another_space_is_refused_by_both_names(path: Path) -> None:
    put_all(path, tracks()[:1])
    other = replace(SOURCE, space="b" * 64)
    save(Catalogue.build(other, ["other"], vectors_of(1, 3), {}), path)
    with pytest.raises(BadCatalogue, match=r"CF space bbbbbbbbbbbb.*journal.*CF space aaaaaaaaaaa"):
        load_current(path)


def test_a_song_of_another_space_is_not_put(path: Path) -> None:
    other = replace(SOURCE, space="b" * 64)
    with pytest.raises(BadCatalogue, match=r"CF space aaaaaaaaaaaa.*CF space bbbbbbbbbbbb"):
        journal.put(load_current(path), path, tracks()[0], other)
    short = Track("short", np.ones(DIM - 1, np.float32))
    endless = Track("endless", np.full(DIM, np.inf, np.float32))
    for song in (short, endless):
        with pytest.raises(BadCatalogue, match="40 finite numbers"):
            journal.put(load_current(path), path, song, SOURCE)
    assert not journal_of(path).exists()


def test_a_writer_sees_the_changes_of_the_others_first(path: Path) -> None:
    songs = tracks()
    one = other = load_current(path)
    for first, second in zip(songs[:10:2], songs[1:10:2], strict=True):
        one, _ = journal.put(one, path, first, SOURCE)
        other, _ = journal.put(other, path, second, SOURCE)
    journal.merge(path)
    one, was_there = journal.delete(one, path, songs[1].track_id)
    assert was_there
    other = catch_up(other, path)
    assert len(one.catalogue) == len(other.catalogue) == N_TRACKS + 9
    assert hits_of(one.catalogue) == hits_of(load_current(path).catalogue)


def test_a_catalogue_without_songs_takes_some(path: Path) -> None:
    empty = load(path).emptied()
    save(empty, path)
    assert not hits_of(load(path))
    known = put_all(path, tracks())
    assert len(known.catalogue) == N_PUT
    assert len(hits_of(journal.merge(path).catalogue)) == N_PUT


WRITER = """
import sys
from pathlib import Path
from tests.models.test_journal import SOURCE, put_all, tracks
from models.catalogue import journal
from models.catalogue.journal import load_current
from dataclasses import replace
path, name = Path(sys.argv[1]), sys.argv[2]
known = load_current(path)
for song in tracks():
    song = replace(song, track_id=f"{name}/{song.track_id}")
    known, _ = journal.put(known, path, song, SOURCE)
    print(song.track_id, flush=True)
print("done", flush=True)
input()
"""


def start_writer(path: Path, name: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-c", WRITER, str(path), name],
        cwd=ROOT,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )


def test_processes_that_write_at_once_lose_nothing(path: Path) -> None:
    writers = [start_writer(path, name) for name in ("a", "b")]
    for writer in writers:
        writer.communicate("\n")
        assert writer.returncode == 0
    assert len(load_current(path).catalogue) == N_TRACKS + 2 * N_PUT


def test_what_was_answered_outlives_a_killed_process(path: Path) -> None:
    writer = start_writer(path, "killed")
    assert writer.stdout
    answered = [writer.stdout.readline().strip() for _ in range(5)]
    writer.kill()
    rest, _ = writer.communicate()
    answered += [line for line in rest.splitlines() if line.strip() not in ("", "done")]
    current = load_current(path).catalogue
    assert all(current.find(track_id) is not None for track_id in answered)
    put_all(path, tracks())  # the lock of a process that died is free
