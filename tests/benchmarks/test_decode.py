"""The benchmark of decoding: windows of the service against the same windows of a full decode."""

from __future__ import annotations

from pathlib import Path

from benchmarks.decode import rows_of


def test_a_window_is_that_of_a_full_decode(tmp_path: Path) -> None:
    (row,) = rows_of(tmp_path, {"wav": 7})
    assert row["start_error_ms"] == 0
    assert row["cosine"] > 0.9999
    assert min(row["clip_ms"], row["song_ms"]) > 0
