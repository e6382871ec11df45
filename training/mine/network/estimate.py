"""Estimate of the network's time, by a training step of the slowest encoder."""

from __future__ import annotations

import time
from collections.abc import Sequence

import torch

from training.datasets.folds import N_FOLDS
from training.estimator.module import EstimatorModule
from training.export.reload import load_network_from_bundle
from training.mine.candidates import Candidate
from training.mine.network.settings import NetworkSettings
from training.mine.network.training import count_steps
from training.mine.stages import describe_time
from training.networks.registry import name_of

N_TIMED = 2


def count_judging_steps(n_songs: int, n_folds: int, settings: NetworkSettings) -> int:
    """Maximum of the steps that judging takes: each fold trains twice."""
    fitted = n_songs * (N_FOLDS - 1) // N_FOLDS
    return 2 * n_folds * settings.network_epochs * count_steps(fitted, settings)


def describe_estimate(
    n_songs: int,
    candidates: Sequence[Candidate],
    settings: NetworkSettings,
) -> str:
    """How long the network takes at most, by the time of a step of the slowest encoder."""
    last = settings.network_epochs * count_steps(n_songs, settings)
    n_steps = count_judging_steps(n_songs, settings.network_folds, settings) + last
    slowest = max(candidates, key=lambda candidate: candidate.encoder.card.audio.input_samples)
    seconds = n_steps * time_step(slowest, settings)
    faster = " (--trainable last takes a third)" if settings.trainable == "all" else ""
    return (
        f"a network is fine-tuned too: at most {n_steps:,} steps of {settings.batch_size} songs, "
        f"{describe_time(seconds)} more{faster}; --network-from 0 goes without"
    )


def time_step(candidate: Candidate, settings: NetworkSettings) -> float:
    """Seconds of a training step, by a smaller one on noise."""
    network = load_network_from_bundle(candidate.encoder)
    network.replace_embedding(network.embedding_dim)  # an encoder may have no layer of its own
    on_gpu = settings.accelerator != "cpu" and torch.cuda.is_available()
    module = EstimatorModule(
        network.width,
        0.0,
        settings.learning_rate,
        False,
        name_of(network),
        network.embedding_dim,
        trainable=settings.trainable,
        network=network,
        frozen_norms=True,
    ).to("cuda" if on_gpu else "cpu")
    noise = torch.randint(-1000, 1000, (N_TIMED, network.audio.input_samples), dtype=torch.int16)
    elapsed = []
    for _ in range(2):  # the first one warms up
        begun = time.perf_counter()
        module(noise.to(module.device)).embedding.square().mean().backward()
        if on_gpu:
            torch.cuda.synchronize()
        elapsed.append(time.perf_counter() - begun)
    return elapsed[-1] * settings.batch_size / N_TIMED
