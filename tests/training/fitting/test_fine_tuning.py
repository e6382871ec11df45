"""Fine-tuning: which weights are copied, which parts train, and at which learning rate."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from training.errors import BadInit
from training.fitting.fine_tuning import copy_weights, freeze, set_modes
from training.fitting.settings import Trainable
from training.networks.base import Encoder
from training.networks.cf_estimator import CFEstimator
from training.networks.musicnn import MusiCNN

DIM = 40


def make_network(seed: int, embedding_dim: int = DIM) -> MusiCNN:
    torch.manual_seed(seed)
    return MusiCNN(12, embedding_dim)


def changed_parts(before: dict[str, torch.Tensor], network: Encoder) -> set[str]:
    """Names of the submodules of which a weight or a statistic is another one than before."""
    after = network.state_dict()
    return {name.split(".")[0] for name in after if not torch.equal(before[name], after[name])}


def train_a_step(network: Encoder, trainable: Trainable) -> set[str]:
    """The parts that a step of training changes."""
    freeze(network, trainable)
    set_modes(network, trainable)
    before = {name: value.clone() for name, value in network.state_dict().items()}
    optimizer = torch.optim.Adam(network.parameters(), lr=0.1)
    inputs = torch.rand(4, 187, 96, generator=torch.Generator().manual_seed(0))
    network(inputs).embedding.square().mean().backward()
    optimizer.step()
    return changed_parts(before, network)


def test_all_weights_are_copied_but_those_of_the_embedding_layer() -> None:
    source, network = make_network(1, 12), make_network(2)
    assert source.embed is None
    fresh = {name: value.clone() for name, value in network.state_dict().items()}
    copy_weights(network, source, "wise")
    for name, weight in network.state_dict().items():
        kept = fresh if name.startswith("embed.") else source.state_dict()
        assert torch.equal(weight, kept[name]), name
    again = make_network(3)
    copy_weights(again, network, "wise")  # the embedding of another space is not taken over
    assert changed_parts(network.state_dict(), again) == {"embed"}


@pytest.mark.parametrize(
    ("trainable", "parts"),
    [
        ("head", {"embed"}),
        ("last", {"embed", "residual", "dense"}),
        ("all", {"embed", "residual", "dense", "front", "normalise"}),
    ],
)
def test_a_step_changes_the_parts_that_train_and_no_statistics_of_others(
    trainable: Trainable, parts: set[str]
) -> None:
    assert train_a_step(make_network(0), trainable) == parts


def test_the_last_part_of_the_cf_estimator_is_its_last_block() -> None:
    network = CFEstimator(32)
    freeze(network, "last")
    trained = {name for name, weight in network.named_parameters() if weight.requires_grad}
    assert {name.split(".")[0] for name in trained} == {"blocks", "embed"}
    assert {".".join(name.split(".")[:2]) for name in trained if "blocks" in name} == {"blocks.4"}


def test_frozen_parts_are_in_evaluation_mode() -> None:
    network = make_network(0)
    freeze(network, "last")
    set_modes(network, "last")
    assert not any(module.training for module in network.front.modules())
    assert all(module.training for module in network.dense.modules())
    set_modes(network, "head")
    assert not any(
        isinstance(module, nn.Dropout) and module.training for module in network.modules()
    )


def test_weights_of_another_network_are_refused_with_the_remedy() -> None:
    with pytest.raises(BadInit, match="bundle wise holds a cf-estimator; give --encoder cf-est"):
        copy_weights(make_network(0), CFEstimator(32), "wise")
    with pytest.raises(BadInit, match="has the width 12; give --width 12"):
        copy_weights(MusiCNN(16, DIM), make_network(0), "wise")
