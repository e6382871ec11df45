"""Parts of `mine`: factors, folds, candidates, room on the disk, versions and what moved."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from scipy import sparse

from models.bundle import read
from tests.bundles import graph_bytes, write_bundle
from training.cf.als import Factorization
from training.cf.logs import Logs
from training.errors import MissingEncoder, NothingToUpdate, TooLittleRoom
from training.linear.alpha import FittedMap
from training.linear.ridge import LinearMap
from training.mine import hearing
from training.mine.candidates import Candidate, find_candidates
from training.mine.factors import count_fits, factorize_best, leave_out, weigh
from training.mine.judging import World, deal_folds, lower_min_listeners
from training.mine.settings import MineSettings
from training.mine.stages import resume_or_begin
from training.mine.versions import compare, kept_candidate, next_version, publish
from training.networks.waveform import WaveformEncoder

MODELS = Path(__file__).parents[3] / "models"
FEW = MineSettings(factors=6, regularization=1.0, iterations=3)


def plant(n_users: int = 60, n_items: int = 24, seed: int = 0) -> Logs:
    """Two crowds, each with its own half of the items."""
    rng = np.random.default_rng(seed)
    same = np.arange(n_users)[:, None] % 2 == np.arange(n_items)[None] % 2
    plays = (rng.uniform(size=same.shape) < np.where(same, 0.5, 0.03)) * rng.integers(
        1, 50, same.shape
    )
    users = pd.Index([f"u{index}" for index in range(n_users)])
    items = pd.Index([f"i{index:02}" for index in range(n_items)])
    return Logs(sparse.csr_matrix(plays.astype(np.float32)), users, items, {})


def world_of(logs: Logs) -> World:
    items = list(logs.items)
    tracks = pd.DataFrame({"track_id": items, "item_id": items, "set": "songs"})
    tracks["artist"] = [f"a{index // 3}" for index in range(len(items))]
    return World(tracks, {}, np.zeros((len(items), 1), np.float32), logs, "x")


def test_held_out_items_and_their_listeners_leave_the_logs() -> None:
    logs = plant()
    kept = leave_out(logs, {"i00", "i01"})
    assert not {"i00", "i01"} & set(kept.items)
    assert len(kept.items) == 22
    assert (np.diff(kept.user_items.indptr) > 0).all()
    column = list(kept.items).index("i05")
    before = logs.user_items[logs.users.get_indexer(kept.users)][:, 5].toarray()
    np.testing.assert_array_equal(kept.user_items[:, column].toarray(), before)


def test_many_plays_weigh_as_their_logarithm_or_not_at_all() -> None:
    logs = plant()
    assert set(weigh(logs, "one").user_items.data) == {1.0}
    np.testing.assert_allclose(
        weigh(logs, "log").user_items.data, 1 + np.log(logs.user_items.data), rtol=1e-6
    )


def test_factors_are_made_once_and_again_for_other_plays(tmp_path: Path) -> None:
    fits: list[int] = []
    logs = plant()
    first = factorize_best(logs, FEW, tmp_path, lambda: fits.append(1))
    assert len(fits) == count_fits(FEW) == 3
    again = factorize_best(logs, FEW, tmp_path, lambda: fits.append(1))
    assert (again.space, len(fits)) == (first.space, 3)
    other = factorize_best(plant(seed=1), FEW, tmp_path, lambda: fits.append(1))
    assert (other.space != first.space, len(fits)) == (True, 6)


def test_the_dimension_is_lowered_for_few_items(tmp_path: Path) -> None:
    found = factorize_best(plant(), replace(FEW, factors=40), tmp_path)
    assert found.item_factors.shape == (24, 12)


def test_an_artist_is_in_one_fold_and_every_fold_has_some() -> None:
    world = world_of(plant())
    folds = deal_folds(world, 0)
    assert set(folds) == set(range(5))
    assert (pd.Series(folds).groupby(world.tracks["artist"]).nunique() == 1).all()


def test_the_minimum_of_listeners_is_lowered_to_what_half_of_the_songs_have() -> None:
    world = world_of(plant())
    assert lower_min_listeners(world, 10) == 10
    assert lower_min_listeners(world_of(plant(n_users=16)), 10) == 3
    assert lower_min_listeners(world_of(plant(n_users=16)), 2) == 2


@pytest.mark.parametrize("output", ["features", "embedding"])
def test_the_exported_embedding_is_the_map_of_the_candidates_output(output: str) -> None:
    """Of the embedding of the shipped encoder, two gated maps, too."""
    encoder = read(MODELS / "cf-estimator")
    rng = np.random.default_rng(0)
    n_in = encoder.card.output_shape(output)[0]
    outer = LinearMap(rng.normal(size=(5, n_in)), rng.normal(size=5))
    network, facts = Candidate(encoder, output).make_network(FittedMap(outer, 1.0, {1.0: 0.5}))
    assert facts["embed_maps"] == (2 if output == "embedding" else 1)
    waveform = torch.from_numpy(
        rng.uniform(-0.5, 0.5, (2, encoder.card.audio.input_samples)).astype(np.float32)
    )
    with torch.no_grad():
        embedding = WaveformEncoder(network).eval()(waveform)[0].numpy()
    own, _ = Candidate(encoder, output).make_network(
        FittedMap(LinearMap(np.eye(n_in), np.zeros(n_in)), 1.0, {1.0: 0.5})
    )
    with torch.no_grad():
        inputs = WaveformEncoder(own).eval()(waveform)[0].numpy()
    np.testing.assert_allclose(embedding, outer(inputs), atol=1e-3 * np.abs(embedding).max())


def test_features_of_all_and_embeddings_of_those_in_a_space_are_candidates() -> None:
    folders = [MODELS / "musicnn-msd", MODELS / "cf-estimator"]
    found = find_candidates(folders, None)
    names = [candidate.name for candidate in found]
    assert names == [
        "features of musicnn-msd",
        "features of cf-estimator",
        "embedding of cf-estimator",
    ]
    kept = {"encoder": found[2].encoder.digest, "name": "cf-estimator", "output": "embedding"}
    assert [candidate.name for candidate in find_candidates(folders, kept)] == names[2:]


def test_an_update_without_the_encoder_that_it_keeps_is_refused() -> None:
    kept = {"encoder": "gone", "name": "cf-estimator", "output": "features"}
    with pytest.raises(MissingEncoder, match=r"keeps the encoder cf-estimator.* --encoder, or run"):
        find_candidates([MODELS / "musicnn-msd"], kept)


def test_a_stage_goes_on_within_itself_unless_its_inputs_are_others(tmp_path: Path) -> None:
    folder = resume_or_begin(tmp_path / "stage", "a")
    (folder / "part").write_text("half")
    assert (resume_or_begin(folder, "a") / "part").exists()
    assert not (resume_or_begin(folder, "b") / "part").exists()


def test_songs_that_the_disk_has_no_room_for_are_refused_before(tmp_path: Path) -> None:
    audio = read(MODELS / "musicnn-msd").card.audio
    n_songs = shutil.disk_usage(tmp_path).free // (2 * audio.input_samples) + 1
    hearing.check_room(tmp_path, 1, audio)
    with pytest.raises(TooLittleRoom, match=r"GB are free; make room, or name .* with --work"):
        hearing.check_room(tmp_path, n_songs, audio)


def test_a_published_version_replaces_the_old_one_and_keeps_it(tmp_path: Path) -> None:
    old = write_bundle(tmp_path / "models", "mine")
    (old.folder / "factors").mkdir()
    (old.folder / "factors" / "items.csv").write_text("old")
    (old.folder / "model.int8.json").write_text("{}")
    assert next_version(old.folder) == "1.1.0"
    staged = write_bundle(tmp_path / "staged", "mine", graph_bytes(root="Abs"))
    (staged.folder / "factors").mkdir()
    (staged.folder / "factors" / "items.csv").write_text("new")
    assert publish(staged.folder, old.folder)
    assert read(old.folder).digest == staged.digest
    assert (old.folder / "factors" / "items.csv").read_text() == "new"
    version = old.folder / "versions" / old.card.version
    (version / "model.int8.json").unlink()
    assert read(version).digest == old.digest
    assert (version / "factors" / "items.csv").read_text() == "old"
    assert not publish(staged.folder, old.folder)


def test_a_publication_that_was_stopped_is_ended_by_the_next(tmp_path: Path) -> None:
    old = write_bundle(tmp_path / "models", "mine")
    staged = write_bundle(tmp_path / "staged", "mine", graph_bytes(root="Abs"))
    # As a kill leaves it after the graph and before the card, with a copy that was begun.
    (old.folder / "versions" / "1.0.0.part").mkdir(parents=True)
    shutil.copytree(old.folder, tmp_path / "before")
    shutil.copyfile(staged.folder / "model.onnx", old.folder / "model.onnx")
    assert publish(staged.folder, old.folder)
    assert read(old.folder).digest == staged.digest


def test_a_bundle_of_another_command_cannot_be_updated(tmp_path: Path) -> None:
    with pytest.raises(NothingToUpdate, match="run it without --update first"):
        kept_candidate(write_bundle(tmp_path, "other").folder)
    with pytest.raises(NothingToUpdate):
        kept_candidate(tmp_path / "none")


def test_neighbours_of_a_turned_space_have_not_moved(tmp_path: Path) -> None:
    logs = plant()
    first = factorize_best(logs, FEW, tmp_path)
    turn, _ = np.linalg.qr(np.random.default_rng(0).normal(size=(6, 6)))
    turned = replace(first, item_factors=(first.item_factors @ turn).astype(np.float32))
    assert compare(first, turned).shared == 1.0
    assert compare(first, turned).most == ()


def test_items_that_came_went_and_moved_are_named(tmp_path: Path) -> None:
    first = factorize_best(plant(n_items=24), FEW, tmp_path)
    factors = first.item_factors.copy()
    factors[3] = -factors[3] + 2 * factors.mean(0)
    moved = Factorization(
        factors[:-1], first.user_factors, first.items[:-1], first.users, first.settings, {}
    )
    found = compare(first, moved)
    assert (found.gone_items, found.new_items, found.shared < 1) == (1, 0, True)
    assert found.most[0][0] == "i03"
    assert "0 new songs and 1 gone" in found.describe()
