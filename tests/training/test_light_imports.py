"""Modules that the command line imports for its options, and reports, import nothing heavy."""

from __future__ import annotations

import subprocess
import sys

import pytest

HEAVY = ("torch", "torchaudio", "lightning", "implicit", "sklearn", "onnxruntime")


@pytest.mark.parametrize(
    ("module", "banned"),
    [
        ("training.fitting.settings", (*HEAVY, "numpy", "pandas", "pydantic")),
        ("training.estimator.settings", (*HEAVY, "numpy", "pandas", "pydantic")),
        ("training.linear.settings", (*HEAVY, "numpy", "pandas", "pydantic")),
        ("training.similarity.settings", (*HEAVY, "numpy", "pandas", "pydantic")),
        ("training.users.settings", (*HEAVY, "numpy", "pandas", "pydantic")),
        ("training.tagging.settings", (*HEAVY, "numpy", "pandas", "pydantic")),
        ("training.preference.settings", (*HEAVY, "numpy", "pandas", "pydantic")),
        ("training.mine.settings", (*HEAVY, "numpy", "pandas", "pydantic")),
        ("training.leaderboard.settings", (*HEAVY, "numpy", "pandas", "pydantic")),
        ("training.leaderboard.page", (*HEAVY, "pandas")),
        ("training.cf.settings", (*HEAVY, "numpy", "pandas", "pydantic")),
        ("training.quantization.settings", (*HEAVY, "numpy", "pandas", "pydantic")),
        ("training.networks.registry", (*HEAVY, "numpy", "pandas", "pydantic")),
        ("training.evaluation.report", HEAVY),
        ("training.quantization.quantize", ("torch", "lightning", "implicit", "sklearn")),
    ],
)
def test_importing_loads_no_heavy_library(module: str, banned: tuple[str, ...]) -> None:
    code = f"import sys, {module}; print(sorted(set({banned!r}) & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
