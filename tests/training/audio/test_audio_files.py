"""The song is the file that ends as audio does; of two, none is chosen; Unicode forms are one."""

from __future__ import annotations

import unicodedata
from pathlib import Path

import pandas as pd
import pytest

from tests.sounds import golden, write
from training.audio.audio_files import Ambiguous, AudioFiles, PathFinder, list_audio
from training.audio.manifest import read_manifest
from training.audio.midi import midi_files
from training.audio.windows import Prepared, prepare
from training.datasets.custom import read_custom
from training.datasets.tables import find_by_stem
from training.errors import BadDataset, BadManifest, MissingMidi
from training.networks.cf_estimator import CFEstimator

SONG = "Björk – Jóga"
NFC, NFD = (unicodedata.normalize(form, SONG) for form in ("NFC", "NFD"))
SIDE_FILES = ("npy", "nfo", "srt", "vtt", "lrc", "cue", "jpg", "json", "mid", "flac.npy", "xyz")


def manifest_of(folder: Path, *ids: str, **columns: list[str]) -> pd.DataFrame:
    table = pd.DataFrame({"track_id": list(ids), "item_id": "i", **columns})
    table.to_csv(folder / "manifest.csv", index=False)
    return read_manifest(folder / "manifest.csv", folder)


@pytest.mark.parametrize("suffix", ["flac", "mp3", "au", "wv", "MP3"])
@pytest.mark.parametrize("side", SIDE_FILES)
def test_a_file_beside_the_song_is_not_the_song(tmp_path: Path, suffix: str, side: str) -> None:
    song = tmp_path / f"a.{suffix}"
    song.touch()
    (tmp_path / f"a.{side}").touch()
    (tmp_path / f"._a.{suffix}").touch()  # of macOS
    assert manifest_of(tmp_path, "a")["path"].tolist() == [str(song)]
    assert find_by_stem(tmp_path, ["a"], "set") == {"a": song}
    assert list_audio(tmp_path) == [song]


def test_two_audio_files_of_one_name_are_refused_by_name(tmp_path: Path) -> None:
    for name in ("a.flac", "a.mp3", "b.mp3", "b.nfo"):
        (tmp_path / name).touch()
    with pytest.raises(BadManifest, match=r"one name: 'a' is a\.flac and a\.mp3; name files in a"):
        manifest_of(tmp_path, "a", "b")
    assert manifest_of(tmp_path, "b")["path"].tolist() == [str(tmp_path / "b.mp3")]
    assert manifest_of(tmp_path, "a", path=["a.mp3"])["path"].tolist() == [str(tmp_path / "a.mp3")]
    assert manifest_of(tmp_path, "a.mp3")["path"].tolist() == [str(tmp_path / "a.mp3")]
    with pytest.raises(BadDataset, match=r"a\.flac and a\.mp3; keep one"):
        find_by_stem(tmp_path, ["a"], "set")
    (tmp_path / "labels.csv").write_text("track_id,label\na,x\nb,y\n")
    with pytest.raises(BadDataset, match=r"a\.flac and a\.mp3; name files in a column `file`"):
        read_custom(tmp_path)


@pytest.mark.parametrize(("on_disk", "in_table"), [(NFD, NFC), (NFC, NFD), (NFC, NFC)])
def test_a_name_is_found_in_any_unicode_form(tmp_path: Path, on_disk: str, in_table: str) -> None:
    (tmp_path / on_disk).mkdir()
    song = tmp_path / on_disk / f"{on_disk}.flac"
    song.touch()
    stated = f"{in_table}/{in_table}.flac"
    assert manifest_of(tmp_path, in_table)["path"].tolist() == [str(song)]
    assert manifest_of(tmp_path, "t", path=[stated])["path"].tolist() == [str(song)]
    assert PathFinder(tmp_path).find(str(tmp_path / stated)) == song
    assert PathFinder(tmp_path).find(stated.replace("/", "\\")) == song
    assert PathFinder(tmp_path).find("other/x.flac") == tmp_path / "other/x.flac"


def test_subfolders_are_searched_as_in_fma(tmp_path: Path) -> None:
    for name in ("000/000002.mp3", "000/000005.mp3", "141/000002x.mp3", ".hidden/000009.mp3"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    found = manifest_of(tmp_path, "000002", "000/000005", "141/000002x.mp3", "000009")
    names = ["000/000002.mp3", "000/000005.mp3", "141/000002x.mp3"]
    assert found["path"].tolist() == [*(str(tmp_path / name) for name in names), ""]
    (tmp_path / "141/000002.mp3").touch()
    with pytest.raises(Ambiguous, match=r"'000002' is 000/000002\.mp3 and 141/000002\.mp3"):
        AudioFiles.scan(tmp_path).find("000002")
    (tmp_path / "000002.mp3").touch()  # the folder itself comes first
    assert AudioFiles.scan(tmp_path).find("000002") == tmp_path / "000002.mp3"


def test_a_name_with_points_is_one_name(tmp_path: Path) -> None:
    for name in ("blues.00001.au", "01. Intro.flac", "song.v2", "song.v3.mp3"):
        (tmp_path / name).touch()
    ids = ("blues.00001", "01. Intro", "song.v2", "song.v3", "blues", "song")
    found = [Path(path).name for path in manifest_of(tmp_path, *ids)["path"]]
    assert found == ["blues.00001.au", "01. Intro.flac", "song.v2", "song.v3.mp3", "", "song.v2"]


def test_a_refused_file_that_was_mended_and_a_replaced_one_are_read(tmp_path: Path) -> None:
    (tmp_path / "broken.wav").write_bytes(b"RIFF")
    write(tmp_path / "replaced.wav", golden(2))
    write(tmp_path / "kept.wav", golden(2))
    ids = ("broken", "replaced", "kept")

    def run() -> Prepared:
        list(prepare(manifest_of(tmp_path, *ids), tmp_path / "out", CFEstimator.audio))
        return Prepared.load(tmp_path / "out")

    first = run()
    assert first.tracks["track_id"].tolist() == ["replaced", "kept"]
    before = first.waveforms(first.tracks["row"].to_numpy()).copy()
    log = tmp_path / "out" / "log.jsonl"
    write(tmp_path / "broken.wav", golden(2, seed=1))
    write(tmp_path / "replaced.wav", golden(3, seed=2))
    n_records = len(log.read_text().splitlines())
    second = run()
    assert len(log.read_text().splitlines()) == n_records + 2  # `kept` is not read again
    assert second.tracks["track_id"].tolist() == list(ids)
    assert second.tracks["duration_s"].tolist() == [2.0, 3.0, 2.0]
    after = second.waveforms(second.tracks["row"].to_numpy())
    assert abs(after[1] - before[0]).max() > 0.1
    assert abs(after[2] - before[1]).max() == 0
    refused = pd.read_csv(tmp_path / "out" / "refused.csv")
    assert refused.empty
    (tmp_path / "replaced.wav").write_bytes(b"RIFF")
    assert run().tracks["track_id"].tolist() == ["broken", "kept"]


def test_columns_of_the_manifest_that_prepare_writes_too_are_kept_apart(tmp_path: Path) -> None:
    write(tmp_path / "a.wav", golden(2))
    table = manifest_of(tmp_path, "a", row=["9"], duration_s=["99"], codec=["?"])
    list(prepare(table, tmp_path / "out", CFEstimator.audio))
    (track,) = Prepared.load(tmp_path / "out").tracks.to_dict("records")
    assert (track["row"], track["duration_s"], track["codec"]) == (0, 2.0, "pcm_16")
    assert track["duration_s_in_manifest"] == 99


def test_scores_of_one_name_are_not_rendered_over_each_other(tmp_path: Path) -> None:
    for name in ("a/x.mid", "b/y.MID", "b/z.midi", "b/._y.mid"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    with midi_files(tmp_path) as files:
        assert files == [tmp_path / name for name in ("a/x.mid", "b/y.MID", "b/z.midi")]
    (tmp_path / "b/x.mid").touch()
    refused = r"a/x\.mid and b/x\.mid would both be x\.flac"
    with pytest.raises(MissingMidi, match=refused), midi_files(tmp_path):
        pass
    (tmp_path / "empty").mkdir()
    with pytest.raises(MissingMidi, match="it holds none"), midi_files(tmp_path / "empty"):
        pass


def test_linked_folders_are_searched_and_circles_end(tmp_path: Path) -> None:
    real, folder = tmp_path / "real", tmp_path / "set"
    (real / "deep").mkdir(parents=True)
    (folder / "jazz").mkdir(parents=True)
    for file in (real / "a.wav", real / "deep" / "b.wav", folder / "jazz" / "c.wav"):
        file.write_bytes(b"x")
    (folder / "rock").symlink_to(real)
    (real / "again").symlink_to(folder)  # a circle
    (folder / "a link").symlink_to(folder / "jazz")  # a folder that is there already
    (folder / ".hidden").symlink_to(real)
    names = [file.relative_to(folder).as_posix() for file in list_audio(folder)]
    assert names == ["jazz/c.wav", "rock/a.wav", "rock/deep/b.wav"]
