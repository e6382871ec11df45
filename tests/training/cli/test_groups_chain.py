"""Labels and preference by the command line: from prepared windows to bundles."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

import pandas as pd
import pytest
from typer.testing import CliRunner, Result

from models.bundle import read
from tests.training.estimator.sets import is_quiet, make_factors, make_set
from tests.training.networks.tiny_encoder import NAME
from training.audio.manifest import load_manifest
from training.cli.main import app
from training.datasets.artist_key import artist_key
from training.errors import BadExport, HeldOutItems
from training.estimator.artist_split import items_of, load_split, split_by_artist

pytestmark = pytest.mark.usefixtures("tiny_encoders")

ARTISTS = [f"artist {number}" for number in range(24)]
NETWORK = ("--encoder", NAME, "--width", 4, "--crop-s", 0.5)
FIT = ("--max-epochs", 1, "--batch-size", 8, "--accelerator", "cpu")


@dataclass(frozen=True)
class World:
    """A folder with a prepared set, its split, logs, factors, tags and the statement of data."""

    folder: Path

    def run(self, command: str, *words: object) -> Result:
        return CliRunner().invoke(app, [command, *map(str, words)])

    @property
    def clips(self) -> tuple[object, ...]:
        return ("--prepared", self.folder / "songs", "--split", self.folder / "split.csv")

    def export(self, run: Path, out: str, *more: object) -> Result:
        words = ("--prepared", self.folder / "songs", "--data", self.folder / "data.json")
        return self.run("export", "--run", run, *words, "--out", self.folder / out, *more)


def list_fitted(split: pd.DataFrame) -> list[str]:
    """Artists that the split does not hold out."""
    held_out = items_of(split, ["test"])
    return [artist for artist in ARTISTS if artist_key(artist) not in held_out]


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> World:
    folder = tmp_path_factory.mktemp("world")
    songs = make_set(folder / "songs", dict.fromkeys(ARTISTS, 2))
    tracks = pd.read_csv(songs / "tracks.csv")
    quiet = tracks["artist"].map(is_quiet)
    tracks["loudness"] = quiet.map({True: "quiet; calm", False: "loud"})
    tracks.to_csv(songs / "tracks.csv", index=False)
    split = split_by_artist(load_manifest(songs), validation=0.3)
    split.to_csv(folder / "split.csv", index=False)
    make_factors(ARTISTS).save(folder / "all-factors")
    make_factors(list_fitted(split)).save(folder / "factors")
    rows = [
        (f"u{user}", artist_key(artist))
        for user in range(5)
        for artist in ARTISTS
        if is_quiet(artist) == (user % 2 == 0)
    ]
    logs = pd.DataFrame(rows, columns=["user_id", "item_id"])
    logs.to_csv(folder / "logs.csv", index=False)
    tags = [(artist_key(artist), "rock" if is_quiet(artist) else "pop", 3) for artist in ARTISTS]
    table = pd.DataFrame(tags, columns=["artist_id", "tag", "n_users"])
    table.to_csv(folder / "tags.csv.gz", index=False)
    stated = [{"name": "noise", "use": "audio and labels", "licence": "none"}]
    (folder / "data.json").write_text(json.dumps(stated))
    return World(folder)


@pytest.mark.parametrize("kind", ["columns", "tags"])
def test_labels_are_learnt_and_the_encoder_is_exported(world: World, kind: str) -> None:
    source, labels = {
        "columns": (("--label-column", "loudness"), {"loud", "quiet", "calm"}),
        "tags": (("--tags", world.folder / "tags.csv.gz"), {"rock", "pop"}),
    }[kind]
    run = world.folder / f"tagging-{kind}"
    words = (*world.clips, *source, *NETWORK, *FIT, "--min-clips", 2, "--out", run)
    done = world.run("tagging", *words)
    assert done.exit_code == 0, done.output
    assert "labelled clips of" in done.output
    done = world.export(run, f"by-{kind}")
    assert done.exit_code == 0, done.output
    card = read(world.folder / f"by-{kind}").card
    assert (card.task, card.architecture, card.space) == ("music-tagging", NAME, None)
    facts = card.provenance.hyperparameters
    assert set(str(facts["labels"]).split(", ")) == labels
    assert {"val_loss", "val_top_label"} <= card.provenance.metrics.keys()
    stated = json.loads((run / "division.json").read_text())
    n_held_out = len(ARTISTS) - len(list_fitted(load_split(world.folder / "split.csv")))
    assert (stated["by_song"], stated["n_held_out"]) == (False, n_held_out)
    held_out = f"by artist, {n_held_out} artists of the split {stated['split'][:12]} held out; "
    assert card.provenance.split.startswith(held_out)


def test_the_encoder_of_preference_lives_in_the_space_of_its_users(world: World) -> None:
    run = world.folder / "preference"
    sources = ("--logs", world.folder / "logs.csv", "--users", world.folder / "factors")
    done = world.run("preference", *world.clips, *sources, *NETWORK, *FIT, "--out", run)
    assert done.exit_code == 0, done.output
    assert "clips with listeners" in done.output
    done = world.export(run, "by-preference")
    assert (run / "card.json").read_bytes() == (
        world.folder / "by-preference" / "card.json"
    ).read_bytes()
    assert done.exit_code == 0, done.output
    card = read(world.folder / "by-preference").card
    fitted = list_fitted(load_split(world.folder / "split.csv"))
    assert card.space == make_factors(fitted).space
    n_held_out = len(ARTISTS) - len(fitted)
    assert f"without the {n_held_out} of the test artists" in card.provenance.split
    assert (card.task, card.output_shape("embedding")) == ("user-preference", (6,))
    assert "val_liked_first" in card.provenance.metrics
    measured = world.folder / "measured"
    measured.mkdir()
    (measured / "measures.json").touch()
    refused = world.export(run, "x", "--evaluation", measured)
    assert isinstance(refused.exception, BadExport)
    assert not (world.folder / "x").exists()


def test_factors_of_test_artists_teach_no_preference(world: World) -> None:
    sources = ("--logs", world.folder / "logs.csv", "--users", world.folder / "all-factors")
    out = world.folder / "leaking"
    refused = world.run("preference", *world.clips, *sources, *NETWORK, *FIT, "--out", out)
    assert isinstance(refused.exception, HeldOutItems)
    assert not out.exists()


def test_labels_have_one_source(world: World) -> None:
    common = (*world.clips, *NETWORK, "--out", world.folder / "x")
    both = ("--label-column", "loudness", "--tags", world.folder / "tags.csv.gz")
    for source in ((), both):
        refused = world.run("tagging", *common, *source)
        assert refused.exit_code == 2
        assert "either --label-column or --tags" in refused.output
