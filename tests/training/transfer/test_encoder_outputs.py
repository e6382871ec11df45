"""Encoder outputs of prepared folders: on the bundle's own windows, and on other patches."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import soundfile
import torch

from models.bundle import Bundle
from models.card import AudioInput
from tests.training.networks.tiny_encoder import TinyEncoder
from training.audio.manifest import read_manifest
from training.audio.prepared_sets import ClipFolder
from training.audio.windows import Prepared, prepare
from training.errors import OtherAudio
from training.export.bundle import make_provenance
from training.export.estimator import export_encoder
from training.export.reload import export_for_audio
from training.networks.bundle_outputs import bundle_outputs
from training.networks.waveform import encode_patches

pytestmark = pytest.mark.usefixtures("tiny_encoders")


@pytest.fixture
def network() -> TinyEncoder:
    torch.manual_seed(0)
    return TinyEncoder(4, 3).eval()


@pytest.fixture
def bundle(tmp_path: Path, network: TinyEncoder) -> Bundle:
    facts = make_provenance(
        method="untrained",
        data=(),
        seed=0,
        hyperparameters={"width": 4},
        metrics={},
        split="none",
    )
    noise = np.random.default_rng(0).uniform(-1, 1, (2, TinyEncoder.audio.input_samples))
    return export_encoder(network, tmp_path / "tiny", noise.astype(np.float32), facts)[0]


def decode(folder: Path, audio: AudioInput) -> ClipFolder:
    """Three tracks of noise that grows louder."""
    rng, n_samples = np.random.default_rng(1), 3 * audio.sample_rate
    (folder / "audio").mkdir(parents=True)
    for index in range(3):
        noise = rng.uniform(-0.9, 0.9, n_samples) * np.linspace(0.01, 1, n_samples)
        soundfile.write(folder / "audio" / f"{index}.wav", noise, audio.sample_rate)
    manifest = pd.DataFrame({"track_id": ["0", "1", "2"], "item_id": ["a", "b", "c"]})
    manifest.to_csv(folder / "tracks.csv", index=False)
    table = read_manifest(folder / "tracks.csv", folder / "audio")
    list(prepare(table, folder / "prepared", audio))
    return ClipFolder(folder / "prepared", Prepared.load(folder / "prepared"))


@pytest.mark.parametrize("patches", [(0, 0.0), (2, 0.5)])
def test_outputs_are_those_of_the_network_on_the_windows_of_the_folder(
    patches: tuple[int, float], bundle: Bundle, network: TinyEncoder, tmp_path: Path
) -> None:
    clips = decode(tmp_path / "clips", TinyEncoder.patched_audio(*patches))
    network.audio = clips.prepared.audio
    waveforms = torch.from_numpy(clips.prepared.waveforms(clips.rows))
    with torch.no_grad():
        expected = encode_patches(network, network.make_front_end(), waveforms)
    found = bundle_outputs(bundle, clips, export=export_for_audio)
    assert list(found) == ["embedding", "features"]
    for one, other in zip(found.values(), expected, strict=True):
        np.testing.assert_allclose(one, other, atol=1e-5)


def test_windows_of_another_length_are_refused(bundle: Bundle, tmp_path: Path) -> None:
    longer = TinyEncoder.audio.model_copy(update={"window_s": 2.5})
    with pytest.raises(OtherAudio, match=r"window_s=2\.5"):
        bundle_outputs(bundle, decode(tmp_path / "clips", longer), export=export_for_audio)


def test_progress_is_shown_once_for_a_folder(bundle: Bundle, tmp_path: Path) -> None:
    clips, shown = decode(tmp_path / "clips", TinyEncoder.audio), []

    def track(label: str, starts: list[int]) -> list[int]:
        shown.append((label, len(starts)))
        return starts

    first, second = bundle_outputs(bundle, clips, track), bundle_outputs(bundle, clips, track)
    assert shown == [("tiny", 3)]
    np.testing.assert_array_equal(first["features"], second["features"])
