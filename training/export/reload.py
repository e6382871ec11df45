"""A network read back from its bundle."""

from __future__ import annotations

import onnx
import torch

from models.bundle import Bundle
from models.errors import BundleError
from training.networks.cf_estimator import WIDTHS, CFEstimator, crop_frames


def load_network_from_bundle(source: Bundle) -> CFEstimator:
    """The network of an exported encoder, its weights read back from the graph by name.

    Raises
    ------
    BundleError
        Where the graph does not hold a CF estimator.
    """
    width = source.card.output_shape("features")[0]
    segment_frames = crop_frames(float(source.card.provenance.hyperparameters.get("crop_s") or 0))
    network = CFEstimator(width, segment_frames) if width in WIDTHS else None
    graph = onnx.load_from_string(source.graph_bytes(source.card.graph())).graph
    found = {tensor.name: tensor for tensor in graph.initializer}
    names = set(network.state_dict()) if network else set()
    counted = {name for name in names if not name.endswith("num_batches_tracked")}
    if network is None or not {f"network.{name}" for name in counted} <= found.keys():
        raise BundleError(f"bundle {source.card.name}: its graph is not of a CF estimator")
    weights = {name: onnx.numpy_helper.to_array(found[f"network.{name}"]) for name in counted}
    network.load_state_dict(
        {name: torch.tensor(weight) for name, weight in weights.items()}, strict=False
    )
    return network.eval()
