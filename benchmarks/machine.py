"""What it was measured on, and when."""

from __future__ import annotations

import os
import platform
import sys
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any

PACKAGES = (
    *("onnxruntime-gpu", "numpy", "soundfile", "av", "soxr"),
    *("fastapi", "uvicorn", "torch", "librosa"),
)
# Of the cores, by others before the run: above it the figures are marked.
BUSY = 0.25


def machine() -> dict[str, Any]:
    """The machine as it is now: ask before a run, whose own load would count too."""
    names = [
        line for line in Path("/proc/cpuinfo").read_text().splitlines() if "model name" in line
    ]
    cores = len(os.sched_getaffinity(0))
    return {
        "avx512": "avx512f" in Path("/proc/cpuinfo").read_text(),
        "cpu": names[0].partition(": ")[2] if names else platform.processor(),
        "cores": cores,
        "python": platform.python_version(),
        "system": f"{platform.system()} {platform.release().split('-')[0]}",
        "versions": {name: version(name) for name in PACKAGES},
        "date": datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC"),
        "load_before": round(os.getloadavg()[0], 2),
        "command": " ".join(["python", "-m", "benchmarks", *sys.argv[1:]]),
    }


def describe(there: dict[str, Any]) -> str:
    """The machine in a sentence."""
    packages = ", ".join(f"{name} {number}" for name, number in there["versions"].items())
    vectors = "AVX-512" if there["avx512"] else "no AVX-512"
    text = f"{there['cores']} cores of {there['cpu']} ({vectors}), "
    text += f"Python {there['python']}, {packages}; {there['date']}"
    if there["load_before"] > BUSY * there["cores"]:
        text += f"; **others used the machine too** (load {there['load_before']:.1f} before)"
    return text
