"""The four transfer methods differ as in the paper, and in nothing else."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from tests.training.tasks import make_task, make_teacher
from training.datasets.prepared import TaskData
from training.errors import BadTransfer
from training.fitting.space_figures import COSINES, MAP, NEIGHBOURS, SPACE_DATA
from training.networks.cf_estimator import CFEstimator
from training.networks.task_model import TaskModel
from training.transfer.distillation import distillation_loss
from training.transfer.encoder_outputs import network_outputs
from training.transfer.settings import TransferSettings
from training.transfer.train import TransferModule, make_student, task_loss, train

SETTINGS = TransferSettings(width=8, crop_s=7.5, max_epochs=1, batch_size=8, accelerator="cpu")


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> TaskData:
    return make_task(tmp_path_factory.mktemp("tones"))


@pytest.fixture(scope="module")
def teacher_embeddings(data: TaskData) -> NDArray[np.float32]:
    return network_outputs(make_teacher(), data, data.rows)[0]


def crops(data: TaskData, n: int = 4) -> torch.Tensor:
    return torch.from_numpy(np.array(data.prepared.windows[data.rows[:n], :120_000]))


def test_distillation_reaches_the_student_and_not_the_teacher(data: TaskData) -> None:
    teacher = make_teacher(8)
    student = TransferModule(make_student(replace(SETTINGS, width=16), 2, None), SETTINGS)
    listener = TransferModule(TaskModel(teacher, 2), SETTINGS)
    windows = crops(data)
    teacher_embedding = listener(windows).embedding
    assert teacher_embedding.requires_grad  # else the test would show nothing
    loss = distillation_loss(student(windows).embedding, teacher_embedding)
    loss.backward()  # type: ignore[no-untyped-call]
    assert all(weight.grad is None for weight in teacher.parameters())
    encoder = student.network.encoder
    assert isinstance(encoder, CFEstimator)
    assert all(weight.grad is not None for weight in encoder.parameters())
    assert encoder.embed.weight.grad is not None
    assert encoder.embed.weight.grad.abs().sum() > 0
    # The loss is of the 40-d layer: the output layer has no part in it.
    assert student.network.output_layer.weight.grad is None


@pytest.mark.parametrize(("teacher_width", "width"), [(32, 8), (8, 16)])
def test_kd_takes_a_student_of_another_architecture(
    data: TaskData, tmp_path: Path, teacher_width: int, width: int
) -> None:
    """A quarter as wide as its teacher, and twice as wide."""
    embeddings = network_outputs(make_teacher(teacher_width), data, data.rows)[0]
    settings = replace(SETTINGS, width=width)
    model = train(data, tmp_path, settings, teacher_embeddings=embeddings, show_progress=False)
    assert isinstance(model.encoder, CFEstimator)
    assert model.encoder.width == width


def test_a_run_has_pictures_of_its_validation_clips_beside_the_teacher(
    data: TaskData, teacher_embeddings: NDArray[np.float32], tmp_path: Path
) -> None:
    parts = np.where(np.arange(len(data.rows)) % 4 == 0, "validation", "train")
    model = train(
        data,
        tmp_path,
        SETTINGS,
        teacher_embeddings=teacher_embeddings,
        parts=parts,
        pictures=True,
        show_progress=False,
    )
    for name in ("curves.svg", MAP, COSINES, NEIGHBOURS):
        assert (tmp_path / name).stat().st_size, name
    shown = parts == "validation"
    drawn = np.load(tmp_path / SPACE_DATA)
    tracks = data.prepared.tracks[shown]
    assert drawn["names"].tolist() == tracks["track_id"].tolist()
    assert drawn["group/label"].tolist() == tracks["label"].tolist()
    assert drawn["targets"].shape == drawn["predicted"].shape
    predicted = network_outputs(model, data, data.rows[shown])[1]
    np.testing.assert_allclose(drawn["predicted"], predicted, rtol=1e-3, atol=1e-5)


def test_kd_brings_the_student_nearer_to_the_teacher_than_base(
    data: TaskData, teacher_embeddings: NDArray[np.float32]
) -> None:
    target = torch.as_tensor(data.targets[:8])
    embedding = torch.from_numpy(teacher_embeddings[:8])
    cosine = {}
    for batch in ([crops(data, 8), target], [crops(data, 8), target, embedding]):
        torch.manual_seed(0)
        module = TransferModule(make_student(SETTINGS, 2, None), SETTINGS)
        optimizer = torch.optim.Adam(module.parameters(), 1e-2)
        for step in range(12):
            optimizer.zero_grad()
            module.training_step(batch, step).backward()  # type: ignore[no-untyped-call]
            optimizer.step()
        student = module(batch[0]).embedding
        cosine[len(batch)] = float(torch.cosine_similarity(student, embedding).mean().detach())
    assert cosine[3] > cosine[2] + 0.3


def test_labels_are_of_the_first_clips_and_the_teacher_is_of_all(
    data: TaskData, teacher_embeddings: NDArray[np.float32]
) -> None:
    torch.manual_seed(0)
    module = TransferModule(make_student(SETTINGS, 2, None), SETTINGS).eval()
    windows, target = crops(data, 7), torch.as_tensor(data.targets[:4])
    teacher = torch.from_numpy(teacher_embeddings[:7])
    batch = [windows[:4], target, teacher[:4], windows[4:], teacher[4:]]
    predicted = module(windows)
    expected = task_loss(module.network, predicted.outputs[:4], target) + distillation_loss(
        predicted.embedding, teacher
    )
    torch.testing.assert_close(module.training_step(batch, 0), expected)


def test_base_and_kd_have_the_same_initial_weights() -> None:
    states = []
    for method in ("base", "kd"):
        torch.manual_seed(0)
        states.append(make_student(replace(SETTINGS, method=method), 3, None).state_dict())
    for name, weight in states[0].items():
        assert torch.equal(weight, states[1][name]), name


def test_init_has_the_teachers_weights_initially() -> None:
    teacher = make_teacher()
    student = make_student(replace(SETTINGS, method="init", width=32), 3, teacher)
    for name, weight in teacher.state_dict().items():
        assert torch.equal(student.encoder.state_dict()[name], weight), name
    student.encoder.embed.weight.data.zero_()
    assert teacher.embed.weight.abs().sum() > 0  # a copy, not the teacher itself


def test_init_trains_every_weight(data: TaskData, tmp_path: Path) -> None:
    teacher = make_teacher(8)
    settings = replace(SETTINGS, method="init")
    model = train(data, tmp_path, settings, start=teacher, show_progress=False)
    # Batch-norm statistics are of the new data, as with the other methods.
    norm = "blocks.1.convolve.0.running_mean"
    assert not torch.equal(model.encoder.state_dict()[norm], teacher.state_dict()[norm])
    trained = dict(model.encoder.named_parameters())
    for name, weight in teacher.named_parameters():
        if "excite" not in name:  # a gate's ReLU may pass nothing on, and no gradient back
            assert not torch.equal(trained[name], weight), name


def test_fix_leaves_the_encoder_bit_for_bit_unchanged(data: TaskData, tmp_path: Path) -> None:
    teacher = make_teacher()
    before = {name: value.clone() for name, value in teacher.state_dict().items()}
    settings = replace(SETTINGS, method="fix", width=32)
    embeddings = network_outputs(teacher, data, data.rows)[0]
    torch.manual_seed(settings.seed)
    model = train(data, tmp_path, settings, start=teacher, teacher_embeddings=embeddings)
    for name, value in before.items():
        assert torch.equal(model.encoder.state_dict()[name], value), name
        assert torch.equal(teacher.state_dict()[name], value), name
    outputs = network_outputs(model, data, data.rows)[0]
    layer = model.output(torch.from_numpy(embeddings)).detach().numpy()
    np.testing.assert_allclose(outputs, layer, atol=1e-5)
    assert np.mean(outputs.argmax(1) == data.targets) > 0.9  # and the output layer has learnt


def test_init_and_fix_need_a_teacher_of_their_width(data: TaskData, tmp_path: Path) -> None:
    settings = replace(SETTINGS, method="init", width=32)
    with pytest.raises(BadTransfer, match=r"width 32 .* width 8; .* choose kd"):
        train(data, tmp_path, settings, start=make_teacher(8))
    with pytest.raises(BadTransfer, match="kd needs a teacher"):
        train(data, tmp_path, replace(SETTINGS, method="kd"))


def test_values_are_predicted_in_the_unit_of_the_targets(tmp_path: Path) -> None:
    data = make_task(tmp_path / "pitch", "regression")
    teacher = make_teacher()
    embeddings = network_outputs(teacher, data, data.rows)[0]
    settings = replace(SETTINGS, method="fix", width=32)
    model = train(data, tmp_path / "run", settings, start=teacher, teacher_embeddings=embeddings)
    values = network_outputs(model, data, data.rows)[0]
    assert np.corrcoef(values[:, 0], data.targets[:, 0])[0, 1] > 0.9
    assert 200 < values[:, 0].mean() < 3000
    assert values[:, 1].mean() < -200


def test_the_squared_error_is_in_standard_deviations() -> None:
    model = TaskModel(CFEstimator(8), 2)
    model.scale.copy_(torch.tensor([10.0, 0.1]))
    target = torch.zeros(4, 2)
    outputs = target + model.scale
    assert float(task_loss(model, outputs, target)) == pytest.approx(1.0)
