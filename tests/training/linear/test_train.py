"""The command, on the shipped MusiCNN: from audio of two sets and listening logs to a bundle."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import onnxruntime as ort
import pandas as pd
import pytest
import soundfile
import torch
from numpy.typing import NDArray

from models.bundle import Bundle, read, verify_session
from tests.training.cli.test_chain import run
from training.audio.prepared_sets import ClipFolder, load_sets
from training.audio.windows import Prepared
from training.cf.als import Factorization
from training.cf.logs import read_logs
from training.errors import BadSource, BadTeacher, OtherAudio
from training.estimator.artist_split import load_split
from training.export.reload import load_network_from_bundle
from training.linear.alpha import Audience
from training.linear.clips import concatenate, label_clips
from training.linear.mixture import fit_estimator
from training.linear.network import require_musicnn
from training.linear.settings import LinearSettings
from training.linear.train import Destination, train
from training.networks.bundle_outputs import bundle_outputs
from training.networks.musicnn import TIMBRAL, MusiCNN
from training.networks.waveform import WaveformEncoder
from training.quantization.int8 import MIN_SHARE
from training.quantization.pooled_maximum import quantize_pooled
from training.quantization.subgraph import find_work_shares, fold_batch_norm

MUSICNN = Path(__file__).parents[3] / "models" / "musicnn-msd"
PATCHES = ("--patches", "2", "--patch-s", "0.5")
SETS = ("tones", "noises")
SOURCE = ("features", "mean_pool")
RATE, N_ARTISTS = 16_000, 15
DATA = [{"name": "tones and noises", "use": "audio and targets", "licence": "none needed"}]


@dataclass(frozen=True)
class World:
    folder: Path

    @property
    def prepared(self) -> list[Path]:
        return [self.folder / f"{name}-prepared" for name in SETS]

    @property
    def audience(self) -> Audience:
        logs = read_logs(self.folder / "logs.csv")
        return Audience(logs, Factorization.load(self.folder / "factors"), min_listeners=3)

    @property
    def bundle(self) -> Bundle:
        return read(self.folder / "models" / "linear")

    @property
    def waveforms(self) -> NDArray[np.float32]:
        return load_sets(self.prepared).waveforms(np.array([0, 1, 2 * N_ARTISTS - 1]))


def sound(name: str, pitch: float, rng: np.random.Generator) -> NDArray[np.float64]:
    noise = rng.normal(size=RATE)
    if name == "tones":
        return 0.3 * np.sin(2 * np.pi * pitch * np.arange(RATE) / RATE) + 0.01 * noise
    kept = np.fft.rfftfreq(RATE, 1 / RATE) < pitch  # noise up to the pitch
    return 0.2 * np.fft.irfft(np.fft.rfft(noise) * kept, RATE)


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> World:
    """Low and high artists, each with listeners of their own, in two sets of one clip each."""
    folder, rng = tmp_path_factory.mktemp("linear"), np.random.default_rng(0)
    plays = []
    for artist in range(N_ARTISTS):
        crowd = rng.choice(20, 8, replace=False) + 20 * (artist % 2)
        plays += [{"user_id": user, "item_id": artist} for user in crowd]
    pd.DataFrame(plays).to_csv(folder / "logs.csv", index=False)
    for name in SETS:
        (folder / name).mkdir()
        tracks = []
        for artist in range(N_ARTISTS):
            pitch = rng.uniform(2000, 3000) if artist % 2 else rng.uniform(200, 300)
            soundfile.write(folder / name / f"{name}{artist}.wav", sound(name, pitch, rng), RATE)
            tracks.append((f"{name}{artist}", artist, f"artist {artist}"))
        columns = ["track_id", "item_id", "artist"]
        pd.DataFrame(tracks, columns=columns).to_csv(folder / f"{name}.csv", index=False)
        manifest = ("--manifest", folder / f"{name}.csv", "--audio", folder / name)
        artists = ("--artist-column", "artist", "--encoder", "musicnn", *PATCHES)
        run("prepare", *manifest, *artists, "--out", folder / f"{name}-prepared")
    made = World(folder)
    sets = [word for path in made.prepared for word in ("--prepared", path)]
    split, factors, logs = folder / "split.csv", folder / "factors", folder / "logs.csv"
    run("split", *sets, "--validation", "0.3", "--out", split)
    run("factorize", "--logs", logs, "--split", split, "--factors", "4", "--out", factors)
    (folder / "data.json").write_text(json.dumps(DATA))
    inputs = ("--encoder", MUSICNN, *sets, "--factors", factors, "--logs", logs, "--split", split)
    choice = ("--source", "+".join(SOURCE), "--per-set", *PATCHES, "--on-demand")
    out = ("--data", folder / "data.json", "--out", folder / "models" / "linear")
    shown = run("linear-estimator", *inputs, *choice, *out)
    assert "alpha (tones-prepared): " in shown
    return made


def run_graph(bundle: Bundle, waveforms: NDArray[np.float32]) -> list[NDArray[np.float32]]:
    session = ort.InferenceSession(
        bundle.graph_bytes(bundle.card.graph()), providers=["CPUExecutionProvider"]
    )
    verify_session(bundle.card, session)
    return list(session.run(["embedding", "features"], {"waveform": waveforms}))


def test_the_card_states_the_fit_and_the_licence_of_the_weights(world: World) -> None:
    card = world.bundle.card
    assert (card.architecture, card.task, card.default) == ("musicnn", "cf-embedding", False)
    outputs = [(tensor.name, tensor.shape, tensor.meaning) for tensor in card.outputs]
    assert outputs == [
        ("embedding", (4,), "predicted CF item factor"),
        ("features", (200,), "penultimate layer, after pooling"),
    ]
    assert card.audio == MusiCNN.patched_audio(2, 0.5)
    assert card.space == world.audience.factors.space
    facts = card.provenance
    assert facts.teacher == read(MUSICNN).digest
    assert facts.data[0].name == "tones and noises"
    assert facts.data[1].use.startswith("frozen encoder (musicnn-msd): ")
    assert facts.data[1].licence.startswith("ISC.")
    assert (world.bundle.folder / "LICENSE").read_bytes() == (MUSICNN / "LICENSE").read_bytes()
    stated = facts.hyperparameters
    assert (stated["embed_source"], stated["embed_maps"]) == ("features+mean_pool", 2)
    assert str(stated["joined: held out"]).endswith(" artists")
    n_fitted = f"{2 * N_ARTISTS}"  # of both sets, without those held out
    fitted = str(stated["joined: fitted"]).split()
    assert fitted[0] == fitted[2]
    assert int(fitted[0]) < int(n_fitted)
    assert (stated["patches"], stated["patch_s"], stated["als_factors"]) == (2, 0.5, 4)
    assert {"alpha (tones-prepared)", "alpha (noises-prepared)"} <= stated.keys()
    assert "test: " in facts.split


def test_the_graph_predicts_what_the_estimator_does(world: World) -> None:
    source, sets = read(MUSICNN), load_sets(world.prepared)
    folders = [ClipFolder(path, Prepared.load(path)) for path in world.prepared]
    outputs = concatenate([bundle_outputs(source, found) for found in folders], SOURCE)
    split = load_split(world.folder / "split.csv")
    clips = label_clips(sets.tracks, outputs, world.audience.factors, split)
    estimator = fit_estimator(clips, world.audience, per_set=True, seed=0)
    embedding, _ = run_graph(world.bundle, sets.waveforms(sets.tracks["row"].to_numpy()))
    expected = estimator.predict(outputs)
    assert np.abs(embedding - expected).max() < 1e-4 * np.abs(expected).max()
    # A low artist's factor is nearer to other low artists' than to those of high ones.
    position = world.audience.factors.items.get_indexer(clips.tracks["item_id"])
    correlation = np.corrcoef(
        np.ravel(estimator.predict(clips.inputs)),
        np.ravel(world.audience.factors.item_factors[position]),
    )
    assert correlation[0, 1] > 0.8


def test_the_network_is_rebuilt_from_the_card(world: World) -> None:
    network = load_network_from_bundle(world.bundle)
    assert isinstance(network, MusiCNN)
    assert (network.embed_source, dict(network.levels)) == (SOURCE, {})
    with torch.no_grad():
        expected = WaveformEncoder(network).eval()(torch.from_numpy(world.waveforms))
    found = run_graph(world.bundle, world.waveforms)
    for one, other in zip(found, expected, strict=True):
        assert np.abs(one - other.numpy()).max() < 1e-4 * np.abs(one).max()


def test_a_clip_has_the_same_embedding_alone_and_in_a_batch(world: World) -> None:
    together = run_graph(world.bundle, world.waveforms)
    for index, waveform in enumerate(world.waveforms):
        for one, many in zip(run_graph(world.bundle, waveform[None]), together, strict=True):
            np.testing.assert_allclose(one[0], many[index], atol=1e-5 * np.abs(many).max())


def test_the_features_are_those_of_the_frozen_encoder(world: World) -> None:
    path = world.prepared[0]
    found = ClipFolder(path, Prepared.load(path))
    expected = bundle_outputs(read(MUSICNN), found)["features"]
    features = bundle_outputs(world.bundle, found)["features"]
    np.testing.assert_allclose(features, expected, atol=1e-4 * np.abs(expected).max())


def test_int8_finds_the_convolutions_before_a_maximum(world: World) -> None:
    """As in musicnn-msd, the heavy ones are the two over ranges of mel bands."""
    model = fold_batch_norm(world.bundle.graph_bytes(world.bundle.card.graph()))
    work = find_work_shares(model, world.waveforms.shape[1])
    heavy = [name for name in work if work[name] >= MIN_SHARE]
    assert len(heavy) == len(TIMBRAL)
    for name in heavy:
        pools, ranges = quantize_pooled(model, name, world.waveforms)
        assert len(pools) == 1
        assert len(ranges) == 4


def test_windows_of_other_patches_are_refused(world: World) -> None:
    destination = Destination(world.folder / "models" / "other", (), world.folder / "factors")
    with pytest.raises(OtherAudio, match="the encoder musicnn-msd takes"):
        train(MUSICNN, world.prepared, world.audience, None, destination, LinearSettings())


def test_bundles_that_lack_the_outputs_are_refused(world: World) -> None:
    with pytest.raises(BadTeacher, match="architecture cf-estimator; give an encoder"):
        require_musicnn(read(MUSICNN.with_name("cf-estimator-paper")), ("features",))
    with pytest.raises(BadTeacher, match="is a classifier"):
        require_musicnn(read(MUSICNN.with_name("genre")), ("features",))
    require_musicnn(world.bundle, ("features",))
    with pytest.raises(BadSource, match="'mean_pool' is given twice, or is not one of features;"):
        require_musicnn(world.bundle, SOURCE)
