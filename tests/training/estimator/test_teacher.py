"""A teacher's output of every clip, labelled or not: standardised, cached, masked where unknown."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch

from models.bundle import Bundle
from tests.training.estimator.conftest import RECORD
from tests.training.estimator.sets import N_FACTORS, make_set
from tests.training.networks.tiny_encoder import TinyEncoder
from training.audio.patch_cutting import cut_patches
from training.audio.windows import Prepared
from training.errors import BadTeacher, OtherSets
from training.estimator.module import known_loss
from training.estimator.teacher import Teacher, teacher_targets
from training.export.bundle import make_provenance
from training.export.estimator import export_encoder
from training.networks.losses import embedding_loss

pytestmark = pytest.mark.usefixtures("tiny_encoders")


@pytest.fixture(scope="module")
def bundle(folders: tuple[Path, Path], tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    """An encoder of eight features that hears two patches of half a second."""
    torch.manual_seed(1)
    network = TinyEncoder(4, N_FACTORS).eval()
    network.audio = TinyEncoder.patched_audio(2, 0.5)
    facts = make_provenance(
        method="random", data=(), seed=1, hyperparameters={"width": 4}, metrics={}, split="none"
    )
    windows = cut_patches(Prepared.load(folders[0]), network.audio).waveforms(np.arange(4))
    folder = tmp_path_factory.mktemp("models") / "wise"
    return export_encoder(network, folder, windows, facts)[0]


@pytest.fixture(scope="module")
def teacher(bundle: Bundle, folders: tuple[Path, Path]) -> Teacher:
    return teacher_targets(bundle, folders, "features")


def test_targets_are_standardised_over_the_clips_as_they_are_drawn() -> None:
    rng = np.random.default_rng(0)
    outputs = rng.normal(3, 2, (50, 4)).astype(np.float32)
    outputs[:, 3] = 7
    teacher = Teacher(RECORD, pd.Index([f"t{number}" for number in range(50)]), outputs)
    clips = pd.Series(["unheard", *(f"t{number}" for number in range(40))])
    weights = rng.uniform(0.1, 1, 41)
    targets = teacher.targets(clips, weights)
    assert np.isnan(targets[0]).all()
    heard = targets[1:].astype(np.float64)
    mean = np.average(heard, 0, weights[1:])
    np.testing.assert_allclose(mean, 0, atol=1e-5)
    variance = np.average(np.square(heard - mean), 0, weights[1:])
    np.testing.assert_allclose(variance, [1, 1, 1, 0], atol=1e-5)  # a constant stays one


def test_a_teacher_that_has_heard_no_clip_is_refused() -> None:
    teacher = Teacher(RECORD, pd.Index(["t"]), np.zeros((1, 4), np.float32))
    with pytest.raises(BadTeacher, match=r"none of the 2 clips.*--teacher-prepared"):
        teacher.targets(pd.Series(["a", "b"]), np.ones(2))


def test_the_outputs_are_the_bundles_of_the_patches_and_computed_once(
    bundle: Bundle, teacher: Teacher, folders: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    torch.manual_seed(1)
    network = TinyEncoder(4, N_FACTORS).eval()
    prepared = cut_patches(Prepared.load(folders[1]), TinyEncoder.patched_audio(2, 0.5))
    waveforms = torch.from_numpy(prepared.waveforms(prepared.tracks["row"].to_numpy()))
    with torch.no_grad():
        patches = network(network.make_front_end()(waveforms.reshape(2 * len(waveforms), -1)))
    expected = patches.features.reshape(len(waveforms), 2, -1).mean(1).numpy()
    position = teacher.tracks.get_indexer(pd.Index(prepared.tracks["track_id"]))
    np.testing.assert_allclose(teacher.outputs[position], expected, atol=1e-4)
    # The second time, no graph is opened.
    monkeypatch.setattr("training.networks.bundle_outputs.ort", None)
    again = teacher_targets(bundle, folders, "features")
    np.testing.assert_array_equal(again.outputs, teacher.outputs)


def test_teachers_that_do_not_fit_are_refused(
    bundle: Bundle, folders: tuple[Path, Path], tmp_path: Path
) -> None:
    with pytest.raises(BadTeacher, match="has no output 'tags'; choose one of embedding, features"):
        teacher_targets(bundle, folders, "tags")
    with pytest.raises(OtherSets, match="twice"):
        teacher_targets(bundle, [folders[0], folders[0]], "features")
    other = make_set(tmp_path / "other", {"artist 1": 1})
    source = json.loads((other / "source.json").read_text())
    source["audio"]["sample_rate"] = 4000
    (other / "source.json").write_text(json.dumps(source))
    with pytest.raises(BadTeacher, match="--teacher-prepared folders"):
        teacher_targets(bundle, [other], "features")


def test_only_known_targets_count() -> None:
    predicted = torch.randn(4, 3, generator=torch.Generator().manual_seed(0), requires_grad=True)
    target = torch.randn(4, 3, generator=torch.Generator().manual_seed(1))
    target[1:3] = torch.nan
    known = torch.tensor([0, 3])
    loss = known_loss(predicted, target)
    torch.testing.assert_close(loss, embedding_loss(predicted[known], target[known]))
    (gradient,) = torch.autograd.grad(loss, predicted)
    assert (gradient[1:3] == 0).all()
    assert gradient[known].abs().min() > 0
    nothing = known_loss(predicted, torch.full((4, 3), torch.nan))
    (gradient,) = torch.autograd.grad(nothing, predicted)
    assert (float(nothing.detach()), float(gradient.abs().max())) == (0.0, 0.0)
