"""The papers' classifiers: votes, scaling, what they learn from, and what they never see."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from training.errors import OtherPatches
from training.papers.classifiers import CLASSIFIERS, Clips, scale
from training.papers.settings import TABLES, Classifier
from training.papers.votes import N_COMPONENTS, make_svm, vote

N_CLASSES, N_EACH, N_PATCHES = 3, 60, 3


def make_clips(distance: float = 4.0, dims: tuple[int, ...] = (6, 4)) -> Clips:
    """Patches around the centre of their class; a fifth of the clips tests, a fifth validates."""
    rng = np.random.default_rng(0)
    classes = np.repeat(np.arange(N_CLASSES), N_EACH)
    inputs = []
    for dim in dims:
        centres = distance * np.eye(N_CLASSES, dim)[classes]
        noise = rng.normal(size=(len(classes), N_PATCHES, dim))
        inputs.append((centres[:, None] + noise).astype(np.float32))
    parts = np.tile(["test", "validation", "train", "train", "train"], len(classes) // 5)
    return Clips(inputs, classes, parts)


@pytest.mark.parametrize("name", CLASSIFIERS)
def test_classes_apart_are_told_and_classes_in_one_place_are_not(name: Classifier) -> None:
    for distance, low, high in ((1.0, 0.8, 1.0), (0.0, 0.0, 0.6)):
        clips = make_clips(distance)
        expected = clips.classes[clips.is_test]
        for found in CLASSIFIERS[name](clips):
            assert low <= (found == expected).mean() <= high


@pytest.mark.parametrize("name", CLASSIFIERS)
def test_neither_classes_nor_vectors_of_other_test_clips_are_seen(name: Classifier) -> None:
    clips = make_clips(1.0)
    test = np.flatnonzero(clips.is_test)
    classes = clips.classes.copy()
    classes[test] = (classes[test] + 1) % N_CLASSES
    inputs = [vectors.copy() for vectors in clips.inputs]
    for vectors in inputs:
        vectors[test[1:]] += 100
    for first, second in zip(
        CLASSIFIERS[name](clips),
        CLASSIFIERS[name](Clips(inputs, classes, clips.parts)),
        strict=True,
    ):
        assert first[0] == second[0]


def test_every_table_has_a_classifier_and_as_many_numbers_as_columns() -> None:
    for paper in TABLES.values():
        assert paper.classifier in CLASSIFIERS
        assert {len(values) for values in paper.stated.values()} <= {len(paper.columns)}


def test_a_vote_is_of_the_most_patches_and_else_of_the_first_class() -> None:
    classes = np.array([2, 2, 0, 1, 0, 0, 1, 1, 2])
    owners = np.array([0, 0, 0, 1, 1, 2, 2, 2, 3])
    assert vote(classes, owners, 4).tolist() == [2, 0, 1, 2]


def test_components_are_white_and_of_the_training_patches() -> None:
    rng = np.random.default_rng(0)
    patches = (rng.normal(size=(500, 200)) * np.geomspace(1, 50, 200)).astype(np.float32)
    pipeline = make_svm(patches, has_pca=True).fit(patches, rng.integers(2, size=500))
    components = pipeline[:-1].transform(patches)
    assert components.shape == (500, N_COMPONENTS)
    np.testing.assert_allclose(components.mean(0), 0, atol=1e-3)
    np.testing.assert_allclose(np.cov(components.T), np.eye(N_COMPONENTS), atol=1e-2)
    assert make_svm(patches[:9], has_pca=True)[0].n_components == 9


def test_the_scale_is_two_numbers_of_the_training_clips() -> None:
    values = np.array([[1.0, 5.0], [3.0, 7.0], [100.0, 0.0]], np.float32)
    scaled = scale(values, np.array([True, True, False]))
    assert scaled[:2].mean() == pytest.approx(0, abs=1e-6)
    assert scaled[:2].std() == pytest.approx(1, abs=1e-6)
    np.testing.assert_allclose(scaled[2], (values[2] - 4) / np.sqrt(5), rtol=1e-5)


def test_the_softmax_is_run_ten_times_and_is_the_same_again() -> None:
    clips = make_clips(0.5)
    first, second = (CLASSIFIERS["softmax"](clips) for _ in range(2))
    assert len(first) == 10
    for one, other in zip(first, second, strict=True):
        np.testing.assert_array_equal(one, other)


def test_encoders_of_other_patches_are_joined_by_their_means_alone() -> None:
    clips = make_clips()
    other = replace(clips, inputs=[clips.inputs[0], clips.inputs[1][:, :2]])
    assert other.means.shape == (len(clips.classes), 10)
    with pytest.raises(OtherPatches, match="hear 3 and 2 patches of a window"):
        CLASSIFIERS["vote"](other)
