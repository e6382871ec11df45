"""An encoder of MusiCNN's architecture that was never trained, and hears little of a song."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch

from models.bundle import Bundle, read
from models.card import Data
from tests.training.mine.world import RATE, sing
from training.export.bundle import make_provenance
from training.export.estimator import export_encoder
from training.export.reload import load_network_from_bundle
from training.networks.musicnn import MusiCNN
from training.networks.waveform import WaveformEncoder

# One patch of a quarter of a second: a training step takes a tenth of a second.
PATCH_S = 0.25
WIDTH = 4
MODELS = Path(__file__).parents[4] / "models"


def write_weak_encoder(folder: Path) -> Bundle:
    """A bundle whose few features are random functions of the sound.

    The batch norms' statistics are those of some songs.
    """
    torch.manual_seed(0)
    network = MusiCNN(WIDTH, WIDTH, has_levels=False)
    shipped = load_network_from_bundle(read(MODELS / "cf-estimator")).state_dict()
    body = {key: value for key, value in shipped.items() if not key.startswith(("dense", "embed"))}
    network.load_state_dict(body, strict=False)
    network.audio = MusiCNN.patched_audio(1, PATCH_S)
    rng = np.random.default_rng(0)
    songs = [sing(rng.uniform(size=2), rng, PATCH_S) for _ in range(16)]
    waveforms = np.stack(songs)[:, : int(PATCH_S * RATE)].astype(np.float32)
    for module in network.modules():
        if isinstance(module, torch.nn.modules.batchnorm._BatchNorm):
            module.momentum = None  # the mean over the batches, of which there is one
    with torch.no_grad():
        WaveformEncoder(network.train())(torch.from_numpy(waveforms))
    data = (Data(name="synthetic songs", use="batch statistics", licence="CC0-1.0"),)
    provenance = make_provenance(
        method="random weights", data=data, seed=0, hyperparameters={}, metrics={}, split="none"
    )
    return export_encoder(network.eval(), folder, waveforms[:4], provenance)[0]
