"""Ensembles: one graph that gives the members' outputs concatenated, from one waveform."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnxruntime as ort
import pytest
import torch
from numpy.typing import NDArray
from typer.testing import CliRunner

from models.bundle import Bundle, read
from models.card import AudioInput, Data
from models.errors import BundleError
from tests.sounds import golden, write
from tests.training.export.test_bundle import PROVENANCE
from tests.training.networks.tiny_encoder import TinyEncoder
from training.cli.main import app
from training.errors import BadExport
from training.export.ensemble import Member, concatenate_outputs, export_ensemble, join_audio
from training.export.estimator import export_encoder
from training.export.reload import load_network_from_bundle

pytestmark = pytest.mark.usefixtures("tiny_encoders")
SONGS, MORE = (Data(name=name, use="audio", licence="none") for name in ("songs", "more songs"))


def make_bundle(folder: Path, audio: AudioInput, data: Data, seed: int) -> Bundle:
    torch.manual_seed(seed)
    network = TinyEncoder(4, 6).eval()
    network.audio = audio
    windows = np.random.default_rng(seed).uniform(-0.5, 0.5, (2, audio.input_samples))
    stated = PROVENANCE.model_copy(update={"data": (data,)})
    written, _ = export_encoder(network, folder, windows.astype(np.float32), stated)
    (folder / "LICENSE").write_text(f"of {data.name}\n")
    return written


@pytest.fixture(scope="module")
def audio(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("audio")
    for seed in range(3):
        write(folder / f"{seed}.wav", golden(3.0, 8_000, 1, seed=seed), 8_000)
    return folder


@pytest.fixture(scope="module")
def bundles(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Bundle]:
    folder = tmp_path_factory.mktemp("models")
    two, three = TinyEncoder.patched_audio(2, 0.5), TinyEncoder.patched_audio(3, 0.25)
    return {
        "two": make_bundle(folder / "two", two, SONGS, 0),
        "other-two": make_bundle(folder / "other-two", two, MORE, 1),
        "three": make_bundle(folder / "three", three, MORE, 2),
    }


def run(bundle: Bundle, waveforms: NDArray[np.float32]) -> dict[str, NDArray[np.float32]]:
    session = ort.InferenceSession(bundle.graph_bytes(bundle.card.graph()))
    names = [output.name for output in session.get_outputs()]
    return dict(zip(names, session.run(names, {"waveform": waveforms}), strict=True))


def noise(audio: AudioInput) -> NDArray[np.float32]:
    rng = np.random.default_rng(5)
    loudness = rng.uniform(0.01, 1, (3, audio.input_samples // 400, 1))
    samples = loudness * rng.uniform(-0.5, 0.5, (3, audio.input_samples // 400, 400))
    return samples.reshape(3, -1).astype(np.float32)


def test_members_of_one_input_are_run_on_it(
    bundles: dict[str, Bundle], audio: Path, tmp_path: Path
) -> None:
    members = [Member(bundles["two"], "features"), Member(bundles["other-two"], "embedding")]
    written, errors = export_ensemble(members, tmp_path / "both", audio)
    card = written.card
    assert (card.audio, card.architecture) == (bundles["two"].card.audio, "ensemble")
    assert card.output_shape("features") == card.output_shape("embedding") == (8 + 6,)
    assert max(errors.values()) < 1e-5
    heard = noise(card.audio)
    found = run(written, heard)
    expected = [run(member.bundle, heard)[member.output] for member in members]
    for output in ("embedding", "features"):
        np.testing.assert_allclose(found[output], np.concatenate(expected, 1), atol=1e-5)


def test_members_of_other_patches_hear_theirs_of_the_whole_window(
    bundles: dict[str, Bundle], audio: Path, tmp_path: Path
) -> None:
    members = [Member(bundles["two"], "embedding"), Member(bundles["three"], "features")]
    written, _ = export_ensemble(members, tmp_path / "both", audio)
    joint = written.card.audio
    assert (joint.patches, joint.input_samples) == (None, 16_000)
    heard = noise(joint)
    expected = []
    for member in members:
        stated = member.bundle.card.audio
        length = stated.patch_samples
        parts = [heard[:, start : start + length] for start in stated.patch_starts]
        expected.append(run(member.bundle, np.concatenate(parts, 1))[member.output])
    np.testing.assert_allclose(
        run(written, heard)["embedding"], np.concatenate(expected, 1), atol=1e-5
    )
    np.testing.assert_allclose(
        concatenate_outputs(members, heard, joint), np.concatenate(expected, 1), atol=1e-6
    )


def test_the_card_states_members_data_and_licences(
    bundles: dict[str, Bundle], audio: Path, tmp_path: Path
) -> None:
    names = ("two", "other-two")
    words = ["ensemble", "--out", tmp_path / "both", "--audio", audio, "--on-demand"]
    for name in names:
        words += ["--bundle", bundles[name].folder, "--output", "features"]
    done = CliRunner().invoke(app, list(map(str, words)))
    assert done.exit_code == 0, done.output
    card = read(tmp_path / "both").card
    facts = card.provenance.hyperparameters
    assert not card.default
    assert facts["member_2"] == "other-two: features"
    assert facts["member_1_digest"] == bundles["two"].digest
    stated = [(data.name, data.use) for data in card.provenance.data]
    assert stated == [
        ("songs", "member (two): audio"),
        ("more songs", "member (other-two): audio"),
    ]
    licence = (tmp_path / "both" / "LICENSE").read_text()
    assert licence == "two:\n\nof songs\n\nother-two:\n\nof more songs\n"
    bad = [*words[:-1], "embedding,features"]
    assert CliRunner().invoke(app, list(map(str, bad))).exit_code == 1
    uneven = CliRunner().invoke(app, list(map(str, words[:-2])))
    assert uneven.exit_code == 2


def test_other_windows_and_missing_outputs_are_refused(
    bundles: dict[str, Bundle], audio: Path, tmp_path: Path
) -> None:
    longer = TinyEncoder.audio.model_copy(update={"window_s": 3.0})
    other = make_bundle(tmp_path / "longer", longer, SONGS, 3)
    first = Member(bundles["two"], "features")
    with pytest.raises(BadExport, match=r"window_s is 2\.0 of one and 3\.0 of the other"):
        join_audio([first, Member(other, "features")])
    with pytest.raises(BadExport, match="'tags' is not one of embedding, features"):
        export_ensemble([first, Member(bundles["three"], "tags")], tmp_path / "x", audio)
    (tmp_path / "silent").mkdir()
    with pytest.raises(BadExport, match="the parity check needs audio"):
        export_ensemble([first], tmp_path / "x", tmp_path / "silent")
    assert not (tmp_path / "x").exists()


def test_an_ensemble_is_no_encoder_to_load(bundles: dict[str, Bundle]) -> None:
    bundle = next(iter(bundles.values()))
    card = bundle.card.model_copy(update={"architecture": "ensemble"})
    with pytest.raises(BundleError, match="give the bundle of one of its members"):
        load_network_from_bundle(Bundle(bundle.folder, card, bundle.card_bytes))
