"""The table of patches: the shipped choice is bold, others state their difference to it."""

from __future__ import annotations

from typing import Any

import pytest

from docs.musicnn_page import describe, table
from models.card import Patches

SHIPPED = Patches(seconds=3.0, starts_s=(3.5, 13.5, 23.5))


def row(count: int, seconds: float, ms: float, *scores: float) -> dict[str, Any]:
    return {"count": count, "seconds": seconds, "ms": ms, "scores": {"esc10": list(scores)}}


FIGURES = {"rows": [row(3, 3.0, 90.2, 0.8, 0.6), row(6, 1.5, 95, 0.9, 0.9), row(2, 3.0, 60, 0, 0)]}
FACTS = {"avx512": True, "cpu": "a CPU", "cores": 2, "date": "2026-11-26"}


def test_the_shipped_choice_is_bold_and_others_are_compared_with_it() -> None:
    lines = table(FIGURES, SHIPPED).splitlines()
    assert lines[0] == "| patches | CPU ms | ESC-10 |"
    assert lines[2:] == [
        "| 2 × 3 s | 60 | 0.000 (−0.700 ± 0.100) |",
        "| **3 × 3 s** | **90** | **0.700** |",
        "| 6 × 1.5 s | 95 | 0.900 (+0.200 ± 0.100) |",
    ]


def test_patches_of_another_length_are_not_the_shipped_ones() -> None:
    with pytest.raises(StopIteration):
        table({"rows": [row(3, 1.5, 50, 0.7, 0.7)]}, SHIPPED)


def test_a_shared_machine_is_stated() -> None:
    assert "shared" not in describe(FACTS | {"load_before": 0.1})
    assert "**the machine was shared** (load 1.5" in describe(FACTS | {"load_before": 1.5})
    assert "**the load is unknown**" in describe(
        FACTS | {"load_before": None, "note": "the load is unknown"}
    )
