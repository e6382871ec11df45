"""Baseline server without optimisation: FastAPI, `librosa.load`, torch eager.

It has the service's weights and gives the same answer. Run by `uvicorn benchmarks.baseline:app`.
"""

from __future__ import annotations

import io
from pathlib import Path

import librosa
import numpy as np
import torch
from fastapi import FastAPI, UploadFile

from models.bundle import read
from training.export.reload import load_network_from_bundle
from training.networks.waveform import encode_patches

BUNDLE = Path(__file__).parents[1] / "models" / "cf-estimator"

app = FastAPI()
network = load_network_from_bundle(read(BUNDLE))
mel, window_input = network.make_front_end(), network.audio


@app.post("/embed")
def embed(file: UploadFile) -> dict[str, list[float]]:
    audio, _ = librosa.load(io.BytesIO(file.file.read()), sr=window_input.sample_rate, mono=True)
    missing = max(0, window_input.window_samples - len(audio))
    start = (len(audio) + missing - window_input.window_samples) // 2
    window = np.pad(audio, (0, missing), mode="wrap")[start : start + window_input.window_samples]
    length = window_input.patch_samples
    patches = [window[first : first + length] for first in window_input.patch_starts]
    waveform = torch.from_numpy(np.concatenate(patches))[None]
    with torch.inference_mode():
        embedding, features = encode_patches(network, mel, waveform)
    return {"embedding": embedding[0].tolist(), "features": features[0].tolist()}
