"""A decoder reuses its memory: page faults for new memory would be half of the time of a WAV."""

from __future__ import annotations

import ctypes
import resource
import subprocess
import sys
from pathlib import Path

import pytest

from models.audio.window_choice import WindowChoice
from models.audio.windows import read_windows
from models.card import AudioInput
from models.malloc import keep_freed_memory
from tests.running import ROOT
from tests.sounds import golden, write

AUDIO = AudioInput(sample_rate=16_000, window_s=30, short_audio="repeat", min_audio_s=0.5)
N_WINDOWS = 6


def page_faults(path: Path) -> float:
    """Page faults a window, once the first windows have been read."""
    keep_freed_memory()
    for _ in range(3):
        read_windows(path, AUDIO, WindowChoice())
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    for _ in range(N_WINDOWS):
        read_windows(path, AUDIO, WindowChoice())
    return (resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before) / N_WINDOWS


@pytest.mark.skipif(not hasattr(ctypes.CDLL(None), "mallopt"), reason="this is not glibc")
def test_a_window_takes_no_new_memory(tmp_path: Path) -> None:
    path = write(tmp_path / "a.wav", golden(30))
    # In a process of its own: what else was allocated here would decide it.
    code = "import sys, pathlib; from tests.models.test_malloc import page_faults; "
    code += "print(page_faults(pathlib.Path(sys.argv[1])))"
    command = [sys.executable, "-c", code, str(path)]
    printed = subprocess.run(command, cwd=ROOT, check=True, capture_output=True, text=True).stdout
    assert float(printed) < 200  # without, it is 1900: 7 MB
