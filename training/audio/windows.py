"""Prepared windows of a training set: decoded into a memory-mapped int16 array, resumable."""

from __future__ import annotations

import hashlib
import json
import zlib
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from contextlib import closing
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from models.audio.window_choice import WindowChoice
from models.audio.windows import read_windows
from models.card import AudioInput
from models.errors import AudioError
from models.spark import SparkOptions
from training.audio.audio_files import list_audio
from training.audio.decoding import FULL_SCALE, Job, decode_job, decode_jobs, refuse_crash, state_of
from training.audio.manifest import MANIFEST, read_ids
from training.audio.processes import map_in_processes
from training.audio.shards import WindowFiles, Windows, create_windows, mark_changed, open_windows
from training.errors import MissingInput, OtherManifest

LOG, SOURCE = "log.jsonl", "source.json"
# Changes with the places of patches in audio shorter than the window: windows prepared by another
# rule are not gone on with.
PATCH_RULE = 2
# Of fewer tracks, starting processes takes longer than it saves.
MIN_FOR_PROCESSES = 200
FILE_STATE = ("file_bytes", "file_changed_ns")


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
            windows = open_windows(folder)
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
    manifest: pd.DataFrame,
    out: Path,
    audio: AudioInput,
    *,
    workers: int = 2,
    verify: bool = False,
    spark: SparkOptions | None = None,
) -> Generator[dict[str, Any]]:
    """Decode the middle window of each track, or its patches; tracks of an earlier run are skipped.

    Tracks that were refused, and those whose file is another one since, are decoded again. Many
    tracks are decoded by processes, and a file that ends its process is refused.

    Parameters
    ----------
    verify : also decode again what is not as it was written, by checksums
    spark : where Spark decodes, in place of processes on this machine; all of its machines reach
        `out` and the files by the same paths

    Yields
    ------
    One record per track as it completes: `track_id`, `row`, and either `reason` (of a refusal)
    or `duration_s`, `codec`, `cut`, `padded`, `notes` (on the file's length) and `crc32` (of the
    window's bytes). `log.jsonl` holds all records; `tracks.csv` and `refused.csv` are written at
    the end.

    Raises
    ------
    OtherManifest
        If `out` holds windows of another manifest.
    MissingSpark
    OSError
        If a window cannot be written; the records so far are kept.
    """
    out.mkdir(parents=True, exist_ok=True)
    done = _open(manifest, out, audio)
    jobs = [Job(*row) for row in manifest.reset_index()[["track_id", "path"]].itertuples()]
    is_whole = _check_windows(out) if verify else (lambda record: True)
    done = {
        job.track_id: done[job.track_id]
        for job in jobs
        if _is_done(done.get(job.track_id), job.path) and is_whole(done[job.track_id])
    }
    yield from done.values()
    has_changed = False
    todo = [job for job in jobs if job.track_id not in done]
    records = (
        _decode(todo, out, audio, workers) if spark is None else _on_spark(spark, todo, out, audio)
    )
    try:
        with (out / LOG).open("a") as log, closing(records):
            for record in records:
                log.write(json.dumps(record) + "\n")
                log.flush()
                done[record["track_id"]] = record
                has_changed |= "reason" not in record
                yield record
    finally:  # interrupted: the next run decodes the remaining tracks
        if has_changed:
            mark_changed(out)
    _write_tables(manifest, pd.DataFrame(list(done.values())), out)


def _decode(
    jobs: Sequence[Job], out: Path, audio: AudioInput, workers: int
) -> Generator[dict[str, Any]]:
    if len(jobs) >= MIN_FOR_PROCESSES:
        work = partial(decode_jobs, out, audio)
        yield from map_in_processes(work, jobs, workers, refuse_crash)
        return
    files, pool = WindowFiles(out), ThreadPoolExecutor(workers)
    try:
        todo = [pool.submit(decode_job, files, audio, job) for job in jobs]
        for done in as_completed(todo):
            yield done.result()
    finally:
        pool.shutdown(cancel_futures=True)


def _on_spark(
    spark: SparkOptions, jobs: Sequence[Job], out: Path, audio: AudioInput
) -> Generator[dict[str, Any]]:
    from training.audio.spark_decoding import decode_on_spark

    yield from decode_on_spark(spark, jobs, out.resolve(), audio)


def _check_windows(out: Path) -> Callable[[dict[str, Any]], bool]:
    """Whether a record's window has the bytes that were written; true of older records."""
    windows = open_windows(out)
    return lambda record: (
        record.get("crc32") in (None, zlib.crc32(windows[record["row"]].tobytes()))
    )


def _is_done(record: dict[str, Any] | None, path: str) -> bool:
    """Whether a track was decoded from the file that it has now.

    Records of older versions state no file. A file that is no longer there was read before it went.
    """
    if record is None or "reason" in record:
        return False
    known = {name: record[name] for name in FILE_STATE if name in record}
    return not known or state_of(path) in ({}, known)


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


def _open(manifest: pd.DataFrame, out: Path, audio: AudioInput) -> dict[str, dict[str, Any]]:
    """The records of an earlier run by track id; without one, creates the array to fill."""
    listing = "\n".join(manifest["track_id"])
    source: dict[str, Any] = {
        "manifest_sha256": hashlib.sha256(listing.encode()).hexdigest(),
        "audio": audio.model_dump(mode="json"),
    }
    if (out / SOURCE).exists():
        if json.loads((out / SOURCE).read_text()) != source:
            raise OtherManifest(out)
        return {record["track_id"]: record for record in _read_log(out / LOG)}
    create_windows(out, (len(manifest), audio.input_samples))
    (out / SOURCE).write_text(json.dumps(source, indent=2) + "\n")
    return {}


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
    hidden = ["reason", *(name for name in (*FILE_STATE, "crc32") if name in records)]
    kept = records[records["reason"].isna()].drop(columns=hidden)
    # Columns of the manifest that are named like one of these keep their values under that name.
    named = manifest.drop(columns="path").merge(kept, on="track_id", suffixes=("_in_manifest", ""))
    tracks = named.sort_values("row")
    tracks.to_csv(out / "tracks.csv", index=False)
    manifest.drop(columns="path").to_csv(out / MANIFEST, index=False)
    refused = records[records["reason"].notna()][["track_id", "reason"]]
    refused.sort_values("track_id").to_csv(out / "refused.csv", index=False)
