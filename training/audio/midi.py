"""MIDI renderer (FluidSynth), for listening logs whose songs are scores and not recordings."""

from __future__ import annotations

import shutil
import subprocess
import tarfile
import tempfile
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor, as_completed
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import soundfile
import soxr
from numpy.typing import NDArray

from models.atomic_write import write_atomically
from training.errors import MissingMidi, MissingTool, RenderFailed
from training.tables.folders import list_files

SOUNDFONTS = (
    Path("/usr/share/sounds/sf2/FluidR3_GM.sf2"),
    Path("/usr/share/soundfonts/FluidR3_GM.sf2"),
)
MIDI_SUFFIXES = {".mid", ".midi", ".kar"}
# FluidSynth's interpolation does not band-limit: render above the target rate, then resample.
RENDER_RATE = 32_000
TIMEOUT_S = 60
MIN_PEAK = 1e-3


def find_soundfont(soundfont: Path | None = None) -> Path:
    """The sound font to render with, after a check that FluidSynth is installed.

    Raises
    ------
    MissingTool
        If the program or the sound font is not installed.
    """
    if shutil.which("fluidsynth") is None:
        raise MissingTool("fluidsynth", "apt-get install fluidsynth fluid-soundfont-gm")
    for path in (soundfont,) if soundfont else SOUNDFONTS:
        if path.is_file():
            return path
    where = str(soundfont or SOUNDFONTS[0])
    raise MissingTool(where, "apt-get install fluid-soundfont-gm, or name one with --soundfont")


@contextmanager
def midi_files(source: Path) -> Iterator[list[Path]]:
    """Context manager: the .mid files of a folder, or of a .tar archive unpacked temporarily."""
    if source.is_dir():
        yield _list_midi(source)
        return
    with tempfile.TemporaryDirectory() as folder:
        try:
            with tarfile.open(source) as archive:
                archive.extractall(folder, filter="data")
        except (OSError, tarfile.TarError) as error:
            raise MissingMidi(source, str(error)) from error
        yield _list_midi(Path(folder))


def _list_midi(folder: Path) -> list[Path]:
    """The MIDI files at any depth.

    Raises
    ------
    MissingMidi
        If there is none, or two have one name and would be one rendering.
    """
    found = [path for path in list_files(folder) if path.suffix.lower() in MIDI_SUFFIXES]
    files = [path for path in found if path.is_file()]
    if not files:
        raise MissingMidi(folder, "it holds none")
    first: dict[str, Path] = {}
    for path in files:
        other = first.setdefault(path.stem, path)
        if other is not path:
            names = " and ".join(str(file.relative_to(folder)) for file in (other, path))
            raise MissingMidi(folder, f"{names} would both be {path.stem}.flac; rename one")
    return files


def render_file(
    midi: Path, target: Path, soundfont: Path, *, sample_rate: int, max_seconds: float
) -> None:
    """Render one MIDI file to mono FLAC, cut to `max_seconds` to drop reverb tails.

    Raises
    ------
    RenderFailed
        If FluidSynth fails, takes over a minute or renders silence.
    """
    stereo = _synthesise(midi, soundfont)[: int(max_seconds * RENDER_RATE)]
    mono = (stereo[:, 0].astype(np.float32) + stereo[:, 1]) / 65536
    if mono.size == 0 or np.abs(mono).max() < MIN_PEAK:
        raise RenderFailed(midi, "rendered to silence")
    audio = soxr.resample(mono, RENDER_RATE, sample_rate)
    with write_atomically(target) as part:
        soundfile.write(part, audio, sample_rate, subtype="PCM_16", format="FLAC")


def _synthesise(midi: Path, soundfont: Path) -> NDArray[np.int16]:
    """Render to stereo int16 at `RENDER_RATE`, shape (n, 2)."""
    # Through a file: FluidSynth writes blocks of 256 bytes, which are slow to read from a pipe.
    with tempfile.NamedTemporaryFile(suffix=".raw") as raw:
        command = ["fluidsynth", "-ni", "-q", "-o", "synth.dynamic-sample-loading=1"]
        command += ["-T", "raw", "-O", "s16", "-r", str(RENDER_RATE), "-F", raw.name]
        try:
            done = subprocess.run(
                [*command, str(soundfont), str(midi)], capture_output=True, timeout=TIMEOUT_S
            )
        except subprocess.TimeoutExpired as error:
            raise RenderFailed(midi, f"took over {TIMEOUT_S} s") from error
        if done.returncode != 0:
            message = done.stderr.decode(errors="replace").strip()[-200:]
            raise RenderFailed(midi, f"fluidsynth exit {done.returncode}: {message}")
        samples = np.fromfile(raw.name, "<i2")
    return samples[: samples.size // 2 * 2].reshape(-1, 2)


def render(
    midi_files: list[Path],
    out: Path,
    *,
    soundfont: Path | None = None,
    sample_rate: int = 16_000,
    max_seconds: float = 34.0,
    workers: int = 2,
) -> Iterator[tuple[Path, str | None]]:
    """Render files in parallel, skipping those already rendered.

    Yields
    ------
    midi, reason : each file as it completes, and the reason of a failure or None
    """
    font = find_soundfont(soundfont)
    out.mkdir(parents=True, exist_ok=True)

    def work(midi: Path) -> None:
        target = out / f"{midi.stem}.flac"
        if not target.exists():
            render_file(midi, target, font, sample_rate=sample_rate, max_seconds=max_seconds)

    with ThreadPoolExecutor(workers) as pool:
        jobs = {pool.submit(work, midi): midi for midi in midi_files}
        for job in as_completed(jobs):
            error = job.exception()
            if error is not None and not isinstance(error, RenderFailed):
                raise error
            yield jobs[job], str(error) if error else None
