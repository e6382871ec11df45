"""Prepared windows of a training set: decoded into a memory-mapped int16 array, resumable."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Generator, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from models.audio.window_choice import WindowChoice
from models.audio.windows import read_windows
from models.card import AudioInput
from models.errors import AudioError
from training.audio.audio_files import list_audio
from training.audio.manifest import MANIFEST, read_ids
from training.errors import MissingInput, OtherManifest

WINDOWS, LOG, SOURCE = "windows.npy", "log.jsonl", "source.json"
FULL_SCALE = 32767
# Changes with the places of patches in audio shorter than the window: windows prepared by another
# rule are not gone on with.
PATCH_RULE = 2
NO_FILE = "there is no such file"
FILE_STATE = ("file_bytes", "file_changed_ns")


class Windows(Protocol):
    """Windows, int16, shape (n_rows, input_samples): a memory-mapped array, or several as one."""

    @property
    def shape(self) -> tuple[int, ...]: ...

    def __len__(self) -> int: ...

    def __getitem__(self, rows: Any) -> NDArray[np.int16]: ...


@dataclass(frozen=True)
class Prepared:
    """Decoded windows and their tracks, as `prepare` wrote them.

    Attributes
    ----------
    windows : int16, shape (n_rows, input_samples), memory-mapped
    tracks : one row per usable window: the manifest's columns and `row` (into `windows`),
        `duration_s`, `codec`, `cut`, `padded` and `notes`
    audio : sample rate and length of the windows
    """

    windows: Windows
    tracks: pd.DataFrame
    audio: AudioInput

    @classmethod
    def load(cls, folder: Path) -> Prepared:
        try:
            windows = np.load(folder / WINDOWS, mmap_mode="r")
            tracks = read_ids(folder / "tracks.csv")
            source = json.loads((folder / SOURCE).read_text())
            audio = AudioInput.model_validate(source["audio"])
        except (OSError, ValueError, KeyError, TypeError) as error:  # missing, or damaged
            raise MissingInput(folder, "tasteprint-train prepare") from error
        return cls(windows, tracks, audio)

    def waveforms(self, rows: NDArray[np.int64]) -> NDArray[np.float32]:
        """Float windows in [-1, 1], shape (len(rows), input_samples)."""
        return np.asarray(self.windows[rows], np.float32) / np.float32(FULL_SCALE)


def prepare(
    manifest: pd.DataFrame, out: Path, audio: AudioInput, *, workers: int = 2
) -> Generator[dict[str, Any]]:
    """Decode the middle window of each track, or its patches; tracks of an earlier run are skipped.

    Tracks that were refused, and those whose file is another one since, are decoded again.

    Yields
    ------
    One record per track as it completes: `track_id`, `row`, and either `reason` (of a refusal)
    or `duration_s`, `codec`, `cut`, `padded` and `notes` (on the file's length). `log.jsonl` holds
    all records; `tracks.csv` and `refused.csv` are written at the end.

    Raises
    ------
    OtherManifest
        If `out` holds windows of another manifest.
    """
    out.mkdir(parents=True, exist_ok=True)
    windows, done = _open(manifest, out, audio)

    def work(row: int, track_id: str, path: str) -> dict[str, Any]:
        state = _state_of(path)  # before reading: a file that changes meanwhile is read again
        return {"track_id": track_id, "row": row} | _read_into(windows[row], path, audio) | state

    todo = list(manifest.reset_index(drop=True)[["track_id", "path"]].itertuples())
    done = {track: done[track] for _, track, path in todo if _is_done(done.get(track), path)}
    yield from done.values()
    pool, has_changed = ThreadPoolExecutor(workers), False
    try:
        jobs = [
            pool.submit(work, row, track, path) for row, track, path in todo if track not in done
        ]
        with (out / LOG).open("a") as log:
            for job in as_completed(jobs):
                record = job.result()
                log.write(json.dumps(record) + "\n")
                log.flush()
                done[record["track_id"]] = record
                has_changed |= "reason" not in record
                yield record
    finally:  # interrupted: the next run decodes the remaining tracks
        pool.shutdown(cancel_futures=True)
        windows.flush()
        if has_changed:  # what was computed of these windows before is out of date
            os.utime(out / WINDOWS)
    _write_tables(manifest, pd.DataFrame(list(done.values())), out)


def _state_of(path: str) -> dict[str, Any]:
    """Size and time of change of a file, by which another one is known; empty without a file."""
    try:
        found = Path(path).stat() if path else None
    except OSError:
        found = None
    if found is None:
        return {}
    return {"file_bytes": found.st_size, "file_changed_ns": found.st_mtime_ns}


def _is_done(record: dict[str, Any] | None, path: str) -> bool:
    """Whether a track was decoded from the file that it has now.

    Records of older versions state no file. A file that is no longer there was read before it went.
    """
    if record is None or "reason" in record:
        return False
    known = {name: record[name] for name in FILE_STATE if name in record}
    return not known or _state_of(path) in ({}, known)


def _read_into(row: NDArray[np.int16], path: str, audio: AudioInput) -> dict[str, Any]:
    if not path or not Path(path).is_file():
        return {"reason": NO_FILE}
    try:
        windows = read_windows(Path(path), audio, WindowChoice())
    except AudioError as error:
        return {"reason": str(error)}
    except Exception as error:  # an unforeseen decoder error must not end the run
        return {"reason": f"the decoder failed: {type(error).__name__}: {error}"}
    row[:] = np.rint(windows.samples[0] * FULL_SCALE).astype(np.int16)
    return {
        "duration_s": round(windows.info.duration_s, 3),
        "codec": windows.info.codec,
        "cut": windows.info.duration_s > audio.window_s,
        "padded": windows.info.duration_s < audio.window_s,
        "notes": "; ".join(windows.info.notes),
    }


def shuffle_files(folders: Sequence[Path], seed: int) -> list[Path]:
    """Every file below the folders that may be audio, in a random order."""
    files = sorted({path for folder in folders for path in list_audio(folder)})
    order = np.random.default_rng(seed).permutation(len(files))
    return [files[index] for index in order]


def read_middle_windows(files: Iterable[Path], audio: AudioInput) -> Iterator[NDArray[np.float32]]:
    """The middle window of each file that can be read, shape (input_samples,)."""
    for path in files:
        try:
            yield read_windows(path, audio, WindowChoice()).samples[0]
        except AudioError:
            continue


def _open(
    manifest: pd.DataFrame, out: Path, audio: AudioInput
) -> tuple[np.memmap[Any, np.dtype[np.int16]], dict[str, dict[str, Any]]]:
    """The array to fill, and the records of an earlier run by track id."""
    listing = "\n".join(manifest["track_id"])
    source: dict[str, Any] = {
        "manifest_sha256": hashlib.sha256(listing.encode()).hexdigest(),
        "audio": audio.model_dump(mode="json"),
    }
    shape = (len(manifest), audio.input_samples)
    if (out / SOURCE).exists():
        if json.loads((out / SOURCE).read_text()) != source:
            raise OtherManifest(out)
        records = _read_log(out / LOG)
        return np.lib.format.open_memmap(out / WINDOWS, "r+"), {
            record["track_id"]: record for record in records
        }
    windows = np.lib.format.open_memmap(out / WINDOWS, "w+", np.int16, shape)
    (out / SOURCE).write_text(json.dumps(source, indent=2) + "\n")
    return windows, {}


def _read_log(path: Path) -> list[dict[str, Any]]:
    """The records of earlier runs; a last line that a crash truncated is removed from the file."""
    if not path.exists():
        return []
    content = path.read_bytes()
    whole = content[: content.rfind(b"\n") + 1]
    if whole != content:
        path.write_bytes(whole)
    return [json.loads(line) for line in whole.splitlines()]


def _write_tables(manifest: pd.DataFrame, records: pd.DataFrame, out: Path) -> None:
    if "reason" not in records:
        records["reason"] = np.nan
    hidden = ["reason", *(name for name in FILE_STATE if name in records)]
    kept = records[records["reason"].isna()].drop(columns=hidden)
    # Columns of the manifest that are named like one of these keep their values under that name.
    named = manifest.drop(columns="path").merge(kept, on="track_id", suffixes=("_in_manifest", ""))
    tracks = named.sort_values("row")
    tracks.to_csv(out / "tracks.csv", index=False)
    manifest.drop(columns="path").to_csv(out / MANIFEST, index=False)
    refused = records[records["reason"].notna()][["track_id", "reason"]]
    refused.sort_values("track_id").to_csv(out / "refused.csv", index=False)
