"""`prepare` decodes windows or patches; patches that the encoder cannot take are refused before."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import soundfile
from typer.testing import CliRunner

from models.audio.window_choice import WindowChoice
from models.audio.windows import read_windows
from tests.training.cli.test_chain import run
from training.audio.windows import Prepared
from training.cli.main import app
from training.errors import BadPatches
from training.networks.cf_estimator import CFEstimator


@pytest.fixture
def manifest(tmp_path: Path) -> tuple[str | Path, ...]:
    """Arguments that name a manifest of one track: noise that grows louder, 31 s at 16 kHz."""
    noise = np.random.default_rng(0).uniform(-1, 1, 31 * 16_000) * np.linspace(0, 0.9, 31 * 16_000)
    soundfile.write(tmp_path / "noise.flac", noise, 16_000)
    pd.DataFrame({"track_id": ["noise"], "item_id": ["i"]}).to_csv(tmp_path / "m.csv", index=False)
    return "--manifest", tmp_path / "m.csv", "--audio", tmp_path, "--out", tmp_path / "out"


def test_the_patches_of_the_options_are_decoded(
    tmp_path: Path, manifest: tuple[str | Path, ...]
) -> None:
    run("prepare", *manifest, "--patches", "2", "--patch-s", "7.5")
    prepared = Prepared.load(tmp_path / "out")
    assert prepared.audio == CFEstimator.patched_audio(2, 7.5)
    heard = read_windows(tmp_path / "noise.flac", prepared.audio, WindowChoice()).samples
    np.testing.assert_allclose(prepared.waveforms(np.array([0])), heard, atol=1 / 32767)


def test_patches_that_the_encoder_cannot_take_are_refused_before_decoding(
    tmp_path: Path, manifest: tuple[str | Path, ...]
) -> None:
    arguments = [str(word) for word in ("prepare", *manifest, "--patches", "2", "--patch-s", "3")]
    refused = CliRunner().invoke(app, arguments)
    assert isinstance(refused.exception, BadPatches)
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("option", [("--patches", "3"), ("--encoder", "musicnn")])
def test_windows_are_those_of_a_bundle_or_of_options(
    tmp_path: Path, manifest: tuple[str | Path, ...], option: tuple[str, str]
) -> None:
    (tmp_path / "bundle").mkdir()
    (tmp_path / "bundle" / "card.json").write_text("{}")
    words = ("prepare", *manifest, "--bundle", tmp_path / "bundle", *option)
    refused = CliRunner().invoke(app, list(map(str, words)), env={"COLUMNS": "400"})
    assert refused.exit_code == 2
    assert f"{option[1]} beside --bundle" in refused.output
    assert not (tmp_path / "out").exists()
