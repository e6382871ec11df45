"""Candidates: outputs of frozen encoders that a ridge regression maps to item factors."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
from torch import nn

from models.bundle import Bundle, read
from models.card import AudioInput, Scalar
from training.errors import MissingEncoder
from training.export.reload import load_network_from_bundle
from training.fitting.fine_tuning import HEAD
from training.linear.alpha import FittedMap
from training.linear.mixture import LinearEstimator
from training.linear.network import make_network, require_musicnn
from training.linear.ridge import LinearMap
from training.mine.settings import OWN
from training.networks.gated_linear import GatedLinear
from training.networks.musicnn import MusiCNN


@dataclass(frozen=True)
class Candidate:
    """An output of an encoder: its features, or its embedding in another CF space.

    Attributes
    ----------
    is_own : whether the encoder is that of the model that is updated, which was fine-tuned
    """

    encoder: Bundle
    output: str
    is_own: bool = False

    @property
    def name(self) -> str:
        return f"{self.output} of {self.encoder.card.name}"

    @cached_property
    def identity(self) -> str:
        """SHA-256 of the bundle; of a model's own encoder, of the weights that an update keeps."""
        if not self.is_own:
            return self.encoder.digest
        found = hashlib.sha256()
        for key, weight in load_network_from_bundle(self.encoder).state_dict().items():
            if not key.startswith(f"{HEAD}."):
                found.update(weight.numpy().tobytes())
        return found.hexdigest()

    def make_network(self, fitted: FittedMap) -> tuple[MusiCNN, dict[str, Scalar]]:
        """The encoder with the map as its embedding, and the entries of its card.

        A map of an embedding that is itself a map of the features is one map of the features: the
        graph costs nothing more.
        """
        sources: tuple[str, ...] = ("features",)
        estimator = LinearEstimator({"songs": fitted})
        if self.output == "embedding":
            network = load_network_from_bundle(self.encoder)
            assert isinstance(network, MusiCNN)
            assert network.embed is not None
            sources, estimator = network.embed_source, _compose(network.embed, fitted)
        made = make_network(
            self.encoder, estimator, sources, self.encoder.card.audio, has_levels=False
        )
        return made, {"embed_source": "+".join(sources), "embed_maps": len(estimator.maps)}


def _compose(layer: nn.Module, fitted: FittedMap) -> LinearEstimator:
    """The map after the layer: Σ p_s (W_s x + b_s), mapped, is Σ p_s (W W_s x + W b_s + b)."""
    gate = None
    if isinstance(layer, GatedLinear):
        n_maps = layer.gate.out_features
        maps, gate = _split(layer.maps, n_maps), _split(layer.gate, 1)[0]
    else:
        assert isinstance(layer, nn.Linear)
        maps = _split(layer, 1)
    outer = fitted.map
    composed = [
        LinearMap(outer.weight @ inner.weight, outer.weight @ inner.bias + outer.bias)
        for inner in maps
    ]
    return LinearEstimator(
        {
            str(index): FittedMap(found, fitted.alpha, fitted.user_auc)
            for index, found in enumerate(composed)
        },
        gate,
    )


def _split(layer: nn.Linear, n_maps: int) -> list[LinearMap]:
    weight = np.asarray(layer.weight.detach().numpy(), np.float64)
    bias = np.asarray(layer.bias.detach().numpy(), np.float64)
    return [
        LinearMap(*pair)
        for pair in zip(np.split(weight, n_maps), np.split(bias, n_maps), strict=True)
    ]


def find_candidates(encoders: Sequence[Path], kept: Mapping[str, str] | None) -> list[Candidate]:
    """Features of every encoder, and the embedding of those that live in a CF space.

    Parameters
    ----------
    encoders : bundles of MusiCNN's architecture
    kept : `encoder` and `output` of the one candidate that an update keeps

    Raises
    ------
    BundleError, BadTeacher, BadSource
    MissingEncoder
        If the kept encoder is none of the bundles.
    """
    found = []
    for folder in encoders:
        encoder = read(folder)
        require_musicnn(encoder, ("features",))
        found.append(Candidate(encoder, "features"))
        if encoder.card.space is not None:
            found.append(Candidate(encoder, "embedding"))
    if kept is None:
        return found
    same = [
        candidate
        for candidate in found
        if (candidate.encoder.digest, candidate.output) == (kept["encoder"], kept["output"])
    ]
    if not same:
        raise MissingEncoder(kept["name"], encoders)
    return same


def candidates_of(
    bundle: Path, encoders: Sequence[Path], kept: Mapping[str, str] | None
) -> list[Candidate]:
    """All candidates, or the one that an update of the bundle keeps: see `find_candidates`."""
    if kept is None or kept["encoder"] != OWN:
        return find_candidates(encoders, kept)
    encoder = read(bundle)
    require_musicnn(encoder, ("features",))
    return [Candidate(encoder, kept["output"], is_own=True)]


def whole_windows(candidates: Sequence[Candidate]) -> AudioInput:
    """The window that every encoder's patches can be cut from."""
    return candidates[0].encoder.card.audio.model_copy(update={"patches": None})


def encoders_of(candidates: Sequence[Candidate]) -> list[Bundle]:
    return list({candidate.encoder.digest: candidate.encoder for candidate in candidates}.values())


def describe_heard(candidate: Candidate) -> list[str]:
    """What the figures leave open: an encoder of a CF space was itself trained on listeners.

    Of a catalogue with artists that it was trained on, its figures on held-out artists are of
    artists that it has heard. Cards name data sets, and no artists, so this cannot be counted.
    """
    card = candidate.encoder.card
    if card.space is None:
        return []
    names = [found.name for found in card.provenance.data]
    return [
        f"{card.name} was trained on audio and listeners of {'; '.join(names)}. Where your artists "
        "are among those, it has heard them and the figure is too high: run without --update, and "
        "with --encoder models/musicnn-msd or other bundles that learnt no listeners."
    ]
