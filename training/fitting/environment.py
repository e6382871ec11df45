"""Environment of a training run: versions, machine and command, for the run's folder."""

from __future__ import annotations

import json
import os
import platform
import shlex
import sys
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import torch

from training.fitting.settings import ENVIRONMENT

PACKAGES = ("tasteprint", "torch", "torchaudio", "lightning", "numpy", "implicit", "scikit-learn")


def describe_environment() -> dict[str, Any]:
    """What numbers may depend on beside settings and data, and how the run was started."""
    gpus = range(torch.cuda.device_count())
    return {
        "begun": datetime.now(UTC).isoformat(timespec="seconds"),
        "command": shlex.join([_program(Path(sys.argv[0])), *sys.argv[1:]]),
        "python": platform.python_version(),
        "packages": {name: found for name in PACKAGES if (found := _version_of(name))},
        "system": platform.platform(),
        "processor": platform.machine(),
        "cores": os.cpu_count(),
        "threads": torch.get_num_threads(),
        "gpus": [torch.cuda.get_device_name(index) for index in gpus],
    }


def write_environment(run: Path) -> None:
    (run / ENVIRONMENT).write_text(json.dumps(describe_environment(), indent=2) + "\n")


def _program(path: Path) -> str:
    """Name of the program; of one that is run as a module, that of its package."""
    return path.parent.name if path.name == "__main__.py" else path.name


def _version_of(name: str) -> str | None:
    try:
        return version(name)
    except PackageNotFoundError:
        return None
