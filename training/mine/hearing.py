"""Songs as encoders hear them: decoded in shards, the outputs of each encoder kept beside them.

A song is decoded and heard once: later runs add shards for new songs, and a stopped run goes on
with the shard at which it was stopped.
"""

from __future__ import annotations

import shutil
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from models.bundle import Bundle
from models.card import AudioInput
from training.audio.decoding import FULL_SCALE
from training.audio.patch_cutting import cut_patches
from training.audio.prepared_sets import SET, ClipFolder
from training.audio.shards import JoinedWindows, Windows
from training.audio.windows import SOURCE, Prepared, prepare, read_middle_windows
from training.errors import NothingPrepared, TooLittleRoom
from training.estimator.mel_baseline import mel_statistics
from training.mine.stages import read_json, write_json
from training.networks.bundle_outputs import bundle_forward, bundle_outputs
from training.networks.inference import Track

SHARD_SONGS = 2000  # some 2 GB of windows; a stopped run hears at most these again
SONGS = "songs.json"
SET_NAME = "songs"
N_TIMED = 3
# Called for each song that is decoded.
OnSong = Callable[[], None]


@dataclass(frozen=True)
class Heard:
    """Songs that could be decoded.

    Attributes
    ----------
    tracks : rows of the inputs, with `row` (into the windows), `set`, `artist`, the key that songs
        are held out by, and `artist_name`
    folders : the shards
    positions : (n,), of each track among the tracks of all shards
    refused : track id → reason
    """

    tracks: pd.DataFrame
    folders: tuple[ClipFolder, ...]
    positions: NDArray[np.int64]
    refused: dict[str, str]

    def outputs(self, encoder: Bundle, track: Track) -> dict[str, NDArray[np.float32]]:
        """Output name → (n, dim), of every track; an encoder is run once for each shard."""
        audio = encoder.card.audio
        parts = [bundle_outputs(encoder, folder.cut(audio), track) for folder in self.folders]
        return {
            name: np.concatenate([part[name] for part in parts])[self.positions]
            for name in parts[0]
        }

    def mel_statistics(self, track: Track) -> NDArray[np.float32]:
        parts = [
            mel_statistics(folder.prepared, folder.folder, track)[folder.rows]
            for folder in self.folders
        ]
        return np.concatenate(parts)[self.positions]

    def waveforms(self, audio: AudioInput, positions: Sequence[int]) -> NDArray[np.float32]:
        """Some tracks as an encoder of that input hears them, (n, input_samples)."""
        rows = self.tracks["row"].to_numpy(np.int64)[list(positions)]
        return np.asarray(self.windows(audio)[rows], np.float32) / np.float32(FULL_SCALE)

    def windows(self, audio: AudioInput | None = None) -> Windows:
        """Windows of all shards, which `row` counts: whole, or as an encoder hears them."""
        cut = [folder.cut(audio) if audio else folder for folder in self.folders]
        return JoinedWindows([folder.prepared.windows for folder in cut])


def hear(
    tracks: pd.DataFrame,
    keys: pd.Series,
    folder: Path,
    audio: AudioInput,
    *,
    workers: int,
    on_song: OnSong = lambda: None,
) -> Heard:
    """Decode the songs that no shard has, and load all of them.

    Parameters
    ----------
    tracks, keys : `track_id`, `item_id` and `path` of each song, and the key of its artist
    audio : whole windows, which every encoder's patches are cut from

    Raises
    ------
    TooLittleRoom, NothingPrepared
    """
    shards = _assign_shards(tracks, folder)
    check_room(folder, _count_missing(shards, audio), audio)
    paths = tracks.set_index("track_id")["path"]
    for shard, ids in shards.items():
        manifest = pd.DataFrame({"track_id": ids, "item_id": ids, "artist": ""})
        manifest["path"] = [paths.get(track, "") for track in ids]
        for record in prepare(manifest, shard, audio, workers=workers):
            if record["track_id"] in paths.index:
                on_song()
    return _load(tracks, keys, list(shards))


def _assign_shards(tracks: pd.DataFrame, folder: Path) -> dict[Path, list[str]]:
    """Shard → its songs: those of earlier runs, and new ones for the songs that these lack."""
    folder.mkdir(parents=True, exist_ok=True)
    stated = sorted(folder.glob(f"*/{SONGS}"))
    shards = {path.parent: list(read_json(path)) for path in stated}
    known = {track for ids in shards.values() for track in ids}
    new = [track for track in tracks["track_id"] if track not in known]
    wanted = set(tracks["track_id"])
    shards = {shard: ids for shard, ids in shards.items() if wanted & set(ids)}
    for start in range(0, len(new), SHARD_SONGS):
        shard = folder / f"{len(stated) + start // SHARD_SONGS:05}"
        shards[shard] = new[start : start + SHARD_SONGS]
        write_json(shard / SONGS, shards[shard])
    return shards


def _count_missing(shards: dict[Path, list[str]], audio: AudioInput) -> int:
    """Songs of shards whose array is not made yet."""
    return sum(len(ids) for shard, ids in shards.items() if not (shard / SOURCE).exists())


def check_room(folder: Path, n_songs: int, audio: AudioInput) -> None:
    """Refuse to begin where the disk would be full: an array in memory has no error for that.

    Raises
    ------
    TooLittleRoom
    """
    needed = n_songs * audio.input_samples * np.dtype(np.int16).itemsize
    free = shutil.disk_usage(folder).free
    if needed > free:
        raise TooLittleRoom(folder, needed, free)


def _load(tracks: pd.DataFrame, keys: pd.Series, shards: Sequence[Path]) -> Heard:
    folders: list[ClipFolder] = []
    refused: dict[str, str] = {}
    for shard in shards:
        reasons = pd.read_csv(shard / "refused.csv", dtype=str, keep_default_na=False)
        refused |= dict(zip(reasons["track_id"], reasons["reason"], strict=True))
        if len(reasons) < len(read_json(shard / SONGS)):
            folders.append(ClipFolder(shard, Prepared.load(shard)))
    wanted = tracks["track_id"]
    refused = {track: refused[track] for track in wanted if track in refused}
    if len(refused) == len(tracks) or not folders:
        first = next(iter(refused.items()))
        songs = Path(tracks["path"].iloc[0]).parent
        raise NothingPrepared(len(tracks), songs, ": ".join(first), shards[0] / "refused.csv")
    starts = np.cumsum([0, *(len(folder.prepared.windows) for folder in folders)])
    decoded = pd.concat(
        [
            folder.prepared.tracks[["track_id", "row"]].assign(row=folder.rows + start)
            for folder, start in zip(folders, starts, strict=False)
        ],
        ignore_index=True,
    )
    known = tracks.assign(artist_name=tracks["artist"], artist=keys, **{SET: SET_NAME})
    known = known[wanted.isin(decoded["track_id"])].reset_index(drop=True)
    positions = pd.Index(decoded["track_id"]).get_indexer(known["track_id"])
    rows = decoded["row"].to_numpy(np.int64)[positions]
    return Heard(known.assign(row=rows), tuple(folders), positions, refused)


def time_song(paths: Sequence[str], encoders: Sequence[Bundle], audio: AudioInput) -> float:
    """Seconds of one core for one song, decoded and heard by every encoder; of the first few.

    0 where none of them can be read.
    """
    begun = time.perf_counter()
    windows = list(islice(read_middle_windows(map(Path, paths), audio), N_TIMED))
    decoding_s = time.perf_counter() - begun
    if not windows:
        return 0.0
    tracks = pd.DataFrame({"row": range(len(windows)), "duration_s": audio.window_s})
    whole = Prepared(
        np.stack([np.rint(w * FULL_SCALE) for w in windows]).astype(np.int16), tracks, audio
    )
    hearing_s = 0.0
    for encoder in encoders:
        forward = bundle_forward(encoder, ["embedding"])
        waveforms = cut_patches(whole, encoder.card.audio).waveforms(np.arange(len(windows)))
        begun = time.perf_counter()
        for waveform in waveforms:
            forward(waveform[None])
        hearing_s += time.perf_counter() - begun
    return (decoding_s + hearing_s) / len(windows)
