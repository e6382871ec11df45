"""A network is fine-tuned beside the linear map: taken, refused, stopped, gone on with, updated."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from itertools import count
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from typer.testing import Result

from models.bundle import read
from models.card import Card
from tests.training.mine.network.weak_encoder import write_weak_encoder
from tests.training.mine.world import Collection, make_collection, start_mine
from training.export.reload import load_network_from_bundle
from training.fitting import trainer

# Trained as briefly as shows a difference: the last layers alone, at a rate of a hundred steps.
LONG = ("--learning-rate", "1e-4", "--network-epochs", "5", "--network-patience", "5")
# Steps that destroy what the encoder has learnt.
HARMFUL = ("--learning-rate", "0.01", "--network-epochs", "1")


def start(made: Collection, *options: object) -> Result:
    quick = ("--encoder", made.folder / "weak", "--regularization", "10", "--iterations", "3")
    network = ("--network-from", "60", "--trainable", "last", "--batch-size", "8")
    return start_mine(made, *quick, *network, *options)


def run(made: Collection, *options: object) -> str:
    result = start(made, *options)
    assert result.exit_code == 0, result.output
    return result.output


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Collection:
    folder = tmp_path_factory.mktemp("network") / "collection"
    collection = make_collection(folder, n_songs=60, n_users=200, n_silent=10)
    write_weak_encoder(folder / "weak")
    return collection


@pytest.fixture(scope="module")
def output(made: Collection) -> str:
    return run(made, *LONG)


def copy_of(made: Collection, folder: Path) -> Collection:
    """The same songs, plays and encoder in a folder of its own, all done but the network."""
    for name in ("songs", "plays.csv", "catalogue.csv", "weak"):
        (folder / name).symlink_to(made.folder / name)
    ignored = shutil.ignore_patterns("network", "bundle", "songs")
    shutil.copytree(made.folder / "work", folder / "work", ignore=ignored)
    (folder / "work" / "songs").symlink_to(made.folder / "work" / "songs")
    return Collection(folder, made.tastes)


def card_of(made: Collection) -> Card:
    return read(made.folder / "models" / "mine").card


def test_a_network_that_is_better_on_held_out_artists_is_exported(
    made: Collection, output: str
) -> None:
    assert "a network is fine-tuned too: at most 95 steps of 8 songs" in output
    assert "A fine-tuned network is exported: on the 12 songs of fold 0" in output
    card = card_of(made)
    facts = card.provenance.hyperparameters
    assert "fine-tuned from a ridge regression on features of weak" in card.provenance.method
    assert (facts["fine_tuned_encoder"], facts["mine_source"]) == ("weak", "features")
    assert 0 < int(facts["fine_tuned_steps"] or 0) <= 25
    assert card.provenance.teacher == read(made.folder / "weak").digest
    assert [data.use.partition(":")[0] for data in card.provenance.data] == [
        "audio and targets",
        "initial weights (weak)",
    ]


def test_the_card_states_what_the_network_was_judged_by_and_the_report_on_which_fold(
    made: Collection, output: str
) -> None:
    network = made.folder / "work" / "network"
    measures = json.loads((network / "measures.json").read_text())
    judged = measures["groups"]["songs"]["methods"]["network"]["user_auc"][0]
    card = card_of(made)
    assert card.provenance.metrics["network: user_auc"] == round(judged, 4)
    linear = np.load(made.folder / "work" / "fold0" / "scores" / "scores.npz")
    gain = judged - linear["clip/network/user_auc"].mean()
    stated = card.provenance.hyperparameters["judged: user_auc gain over the linear map"]
    assert stated == pytest.approx(gain, abs=1e-4)
    report = (made.folder / "work" / "report.md").read_text()
    assert "## The network" in report
    assert "![Losses without fold 0](network/fold0/search/run/curves.svg)" in report
    assert f"it adds {gain:+.3f}" in report


def test_the_networks_body_is_trained_and_its_front_is_kept(made: Collection, output: str) -> None:
    """By `--trainable last`."""
    own = load_network_from_bundle(read(made.folder / "models" / "mine")).state_dict()
    first = load_network_from_bundle(read(made.folder / "weak")).state_dict()
    changed = {key for key in first if key in own and not own[key].equal(first[key])}
    assert "dense.2.weight" in changed
    assert not any(key.startswith("front") for key in changed)


def test_a_second_run_trains_nothing(
    made: Collection, output: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fit(*arguments: object, **options: object) -> None:
        raise AssertionError("trained again")

    monkeypatch.setattr("training.estimator.fine_tuning.fit", fit)
    assert "mine 1.0.0 is unchanged in" in run(made, *LONG)


def test_an_update_fits_the_map_on_the_networks_own_features(made: Collection, output: str) -> None:
    bundle = made.folder / "models" / "mine"
    old = read(bundle)
    first = load_network_from_bundle(old).state_dict()
    kept = made.plays.read_bytes()
    plays = pd.read_csv(made.plays)
    more = plays.sample(frac=0.3, random_state=1).assign(**{"User ID": "newcomer"})
    pd.concat([plays, more]).to_csv(made.plays, index=False)
    try:
        shown = run(made, *LONG, "--update")
        again = run(made, *LONG, "--update")
    finally:
        made.plays.write_bytes(kept)
    assert "artists that its linear map never heard, but its fine-tuned encoder did" in shown
    assert "is unchanged in" in again
    new = read(bundle)
    second = load_network_from_bundle(new).state_dict()
    body = [key for key in first if not key.startswith("embed.")]
    assert all(first[key].equal(second[key]) for key in body)
    assert not first["embed.weight"].equal(second["embed.weight"])
    assert (new.card.version, new.card.provenance.teacher) == ("1.1.0", old.card.provenance.teacher)
    names = ("fine_tuned_encoder", "fine_tuned_steps", "mine_source")
    facts = [found.card.provenance.hyperparameters for found in (old, new)]
    assert [facts[0][name] for name in names] == [facts[1][name] for name in names]
    assert new.card.provenance.data[1:] == old.card.provenance.data[1:]


def test_a_network_that_adds_nothing_is_not_exported_and_by_how_much_is_said(
    made: Collection, output: str, tmp_path: Path
) -> None:
    collection = copy_of(made, tmp_path)
    shown = run(collection, *HARMFUL, "--anyway")
    assert "The linear map is exported: a network was fine-tuned too" in shown
    card = card_of(collection)
    assert "frozen_encoder" in card.provenance.hyperparameters
    assert "fine_tuned_steps" not in card.provenance.hyperparameters
    assert "The linear map is exported" in (tmp_path / "work" / "report.md").read_text()


def stop_at(n_forward: int) -> Callable[..., object]:
    """In place of `AudioModule.forward`: interrupts at that call."""
    real, calls = trainer.AudioModule.forward, count(1)

    def forward(*arguments: Any) -> object:
        if next(calls) == n_forward:
            raise KeyboardInterrupt
        return real(*arguments)

    return forward


def test_a_training_that_is_stopped_goes_on_to_the_same_network(
    made: Collection, output: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Stopped twice within its epochs; on the stages before it no time is spent again."""
    collection = copy_of(made, tmp_path)
    network, other = (folder / "work" / "network" for folder in (tmp_path, made.folder))
    for n_forward in (14, 17):
        with monkeypatch.context() as patch:
            patch.setattr(trainer.AudioModule, "forward", stop_at(n_forward))
            result = start(collection, *LONG)
        assert result.exit_code == 130, result.output
        assert "stopped; the same command goes on where it was" in result.output
    assert (network / "fold0" / "search" / "begun.json").exists()
    run(collection, *LONG)
    for name in ("fold0/search/length.json", "measures.json"):
        assert (network / name).read_text() == (other / name).read_text()
    own, same = (torch.load(folder / "all" / "weights.pt") for folder in (network, other))
    assert all(own[key].equal(same[key]) for key in own)
