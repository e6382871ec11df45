"""Description of the machine and the packages of a measurement."""

from __future__ import annotations

import os
import platform
import sys
from collections.abc import Sequence
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any

PACKAGES = (
    *("onnxruntime-gpu", "numpy", "soundfile", "av", "soxr"),
    *("fastapi", "uvicorn", "torch", "librosa"),
)
# Load of other processes before the run, per core; above it the figures are marked.
BUSY = 0.25


def machine(program: str = "benchmarks", packages: Sequence[str] = PACKAGES) -> dict[str, Any]:
    """The current machine; call before a run, whose own load would count.

    Parameters
    ----------
    program : module that is run
    packages : distributions whose versions are stated
    """
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
        "versions": {name: version(name) for name in packages},
        "date": datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC"),
        "load_before": round(os.getloadavg()[0], 2),
        "command": " ".join(["python", "-m", program, *sys.argv[1:]]),
    }


def describe(facts: dict[str, Any], *, packages: bool = True) -> str:
    """Describe the machine in one sentence of Markdown."""
    vectors = "AVX-512" if facts["avx512"] else "no AVX-512"
    text = f"{facts['cores']} cores of {facts['cpu']} ({vectors}), "
    if packages:
        versions = ", ".join(f"{name} {number}" for name, number in facts["versions"].items())
        text += f"Python {facts['python']}, {versions}; "
    text += str(facts["date"])
    if facts["load_before"] > BUSY * facts["cores"]:
        text += f"; **the machine was shared** (load {facts['load_before']:.1f} before the run)"
    return text
