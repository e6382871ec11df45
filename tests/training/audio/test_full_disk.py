"""A disk that is full: one line with the file, nothing lost, and the same command goes on."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import soundfile

from tests.running import ROOT

# A disk of its own in a mount namespace of its own, without any right of the machine's.
MOUNT = ["unshare", "--map-root-user", "--mount", "sh", "-ec"]
N_SONGS, WINDOW_BYTES = 4, 2 * 3 * 16_000
SCRIPT = """
mount -t tmpfs -o size={room}k none {out}
{command} > {log}.full 2>&1 && exit 9 || echo $? > {log}.status
wc -l < {out}/log.jsonl > {log}.kept
mount -o remount,size=100m {out}
{command} > {log}.roomy 2>&1
cp {out}/*.npy {out}/log.jsonl {copy}
"""


def can_mount(folder: Path) -> bool:
    try:
        command = [*MOUNT, f"mount -t tmpfs -o size=64k none {folder}"]
        return subprocess.run(command, capture_output=True).returncode == 0
    except OSError:
        return False


@pytest.fixture
def songs(tmp_path: Path) -> Path:
    folder = tmp_path / "songs"
    folder.mkdir()
    rng = np.random.default_rng(0)
    for number in range(N_SONGS):
        samples = rng.uniform(-0.5, 0.5, 3 * 16_000)
        soundfile.write(folder / f"{number}.wav", samples, 16_000)
    rows = "".join(f"{number},i{number}\n" for number in range(N_SONGS))
    (tmp_path / "tracks.csv").write_text("track_id,item_id\n" + rows)
    return folder


def test_prepare_on_a_full_disk_keeps_what_it_has_and_goes_on(songs: Path, tmp_path: Path) -> None:
    out, copy, log = tmp_path / "out", tmp_path / "copy", tmp_path / "log"
    out.mkdir()
    copy.mkdir()
    if not can_mount(out):
        pytest.skip("needs a file system of its own: unshare --mount and tmpfs")
    command = (
        f"{sys.executable} -m training prepare --manifest {tmp_path}/tracks.csv --audio {songs} "
        f"--encoder musicnn --patches 1 --patch-s 3 --workers 1 --out {out}"
    )
    room = 2 * WINDOW_BYTES // 1024 + 30  # two windows, the log and the array's first page
    script = SCRIPT.format(room=room, out=out, command=command, log=log, copy=copy)
    subprocess.run([*MOUNT, script], cwd=ROOT, check=True, env=os.environ)
    said = (tmp_path / "log.full").read_text().replace("\n", "")
    assert "No space left on device" in said
    assert "windows.npy" in said
    assert "Traceback" not in said
    assert (tmp_path / "log.status").read_text().strip() == "1"
    assert 1 <= int((tmp_path / "log.kept").read_text()) < N_SONGS
    windows = np.load(copy / "windows.npy")
    assert windows.shape[0] == N_SONGS
    assert all(window.any() for window in windows)
    assert len((copy / "log.jsonl").read_text().splitlines()) == N_SONGS
