"""Labels of clips: columns, tags of artists, what is unknown, and which labels are learnt."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch

from training.errors import BadManifest, TooFewLabels
from training.networks.base import Encoded
from training.tagging.labels import LabelDraws, Labels, labels_of_artists, labels_of_columns
from training.tagging.objective import TagLoss

TRACKS = pd.DataFrame(
    {
        "item_id": ["1", "2", "3", "4"],
        "genres": ["Pop/Rock; Jazz", "Jazz", "", "R&B"],
        "moods": ["Sad", "", "", "Sad; Angry/Loud"],
    }
)


def test_labels_of_columns_are_separated_by_semicolons() -> None:
    labels = labels_of_columns(TRACKS, ["genres", "moods"])
    assert labels.names == ("Angry/Loud", "Jazz", "Pop/Rock", "R&B", "Sad")
    assert labels.has["Jazz"].tolist() == [1, 1, 0, 0]
    assert labels.has["Sad"].tolist() == [1, 0, 0, 1]
    assert labels.is_known.tolist() == [True, True, False, True]
    assert labels_of_columns(TRACKS, ["genres"]).names == ("Jazz", "Pop/Rock", "R&B")
    with pytest.raises(BadManifest, match="has no column styles, only item_id, genres, moods"):
        labels_of_columns(TRACKS, ["genres", "styles"])


def test_tags_are_of_the_artist_and_of_two_users_or_more(tmp_path: Path) -> None:
    rows = ["artist_id,tag,n_users", "1,rock,5", "1,hip hop,2", "2,Jazz,1", "3,seen live,4"]
    (tmp_path / "tags.csv").write_text("\n".join(rows) + "\n")
    labels = labels_of_artists(TRACKS, tmp_path / "tags.csv")
    assert len(labels.names) == 50
    assert labels.has.loc[0][labels.has.loc[0] > 0].index.tolist() == ["rock", "Hip-Hop"]
    # The one tag of artist 2 does not count; artist 3 is known to have none of the labels.
    assert labels.is_known.tolist() == [True, False, True, False]
    assert not labels.has.loc[2].any()


def test_the_most_frequent_labels_of_the_training_clips_are_learnt() -> None:
    has = pd.DataFrame({"a": [1, 0, 0, 1], "b": [1, 1, 0, 0], "c": [1, 1, 1, 0], "d": [0, 0, 1, 1]})
    labels = Labels(has.astype(float), np.array([True, True, True, True]))
    is_training = np.array([True, True, True, False])
    assert labels.choose(is_training, max_labels=50, min_clips=2).columns.tolist() == ["c", "b"]
    assert labels.choose(is_training, max_labels=3, min_clips=1).columns.tolist() == [
        *("c", "b", "a")
    ]
    with pytest.raises(TooFewLabels, match="1 labels have 3 training clips or more"):
        labels.choose(is_training, max_labels=50, min_clips=3)
    unknown = Labels(labels.has, np.array([False, True, True, True]))
    assert unknown.choose(is_training, max_labels=50, min_clips=1).columns.tolist() == [
        *("c", "b", "d")
    ]


def test_a_group_is_one_clip_and_its_labels() -> None:
    draws = LabelDraws(np.array([7, 3]), np.eye(2, dtype=np.float32))
    group = draws.draw(1, np.random.default_rng(0))
    assert (draws.group_size, len(draws)) == (1, 2)
    assert group.rows.tolist() == [3]
    assert group.targets[0].tolist() == [0, 1]


def test_the_loss_is_the_mean_of_the_binary_cross_entropies() -> None:
    torch.manual_seed(0)
    objective = TagLoss(4, 3)
    embedding = torch.randn(5, 1, 4)
    labels = (torch.rand(5, 3) < 0.5).float()
    judged = objective(Encoded(embedding, embedding), labels)
    with torch.no_grad():
        chance = objective.layer(embedding[:, 0]).sigmoid().double().numpy()
    known = labels.numpy()
    expected = -(known * np.log(chance) + (1 - known) * np.log(1 - chance)).mean(1)
    np.testing.assert_allclose(judged.losses["tags"].detach(), expected, rtol=1e-5)
    top = known[np.arange(5), chance.argmax(1)]
    assert judged.measures["top_label"].tolist() == top.tolist()
