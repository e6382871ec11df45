"""Fine-tuning: an encoder that starts from another one's weights, and which parts of it train."""

from __future__ import annotations

from torch import nn

from training.errors import BadInit
from training.fitting.settings import Trainable
from training.networks.base import Encoder
from training.networks.registry import name_of

# The layer that makes the embedding; its outputs are of another kind than the source's.
HEAD = "embed"


def copy_weights(network: Encoder, source: Encoder, name: str) -> None:
    """Give a network the weights of another one, all but those of the embedding layer.

    Parameters
    ----------
    name : of the source, for messages

    Raises
    ------
    BadInit
        If the source has another architecture or width.
    """
    if type(source) is not type(network):
        raise BadInit(name, f"holds a {name_of(source)}; give --encoder {name_of(source)}")
    if source.width != network.width:
        raise BadInit(name, f"has the width {source.width}; give --width {source.width}")
    stored = source.state_dict()
    copied = {
        key: stored[key] if not key.startswith(f"{HEAD}.") else weight
        for key, weight in network.state_dict().items()
    }
    network.load_state_dict(copied)


def trained_parts(network: Encoder, trainable: Trainable) -> list[nn.Module]:
    """The parts that train: everything, the embedding layer, or that and the last blocks."""
    if trainable == "all":
        return [network]
    names = (HEAD,) if trainable == "head" else (HEAD, *network.last_parts)
    return [network.get_submodule(name) for name in names]


def freeze(network: Encoder, trainable: Trainable) -> None:
    """Fix the weights of all other parts than those that train."""
    network.requires_grad_(False)
    for part in trained_parts(network, trainable):
        part.requires_grad_(True)


def set_modes(network: Encoder, trainable: Trainable) -> None:
    """Evaluation mode for the frozen parts: batch norms keep their statistics, no dropout."""
    network.eval()
    for part in trained_parts(network, trainable):
        part.train()
