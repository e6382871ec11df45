"""A map for each set and a gate: on each side the right map, where one map for all is wrong."""

from __future__ import annotations

import numpy as np
import pytest

from tests.training.linear.planted import audience_of, join, mean_cosine, plant
from training.errors import BadExport, BadSource
from training.linear.alpha import fit_map
from training.linear.clips import LabelledClips
from training.linear.mixture import fit_estimator, fit_gate
from training.linear.settings import LinearSettings, check_settings


@pytest.fixture(scope="module")
def sets() -> tuple[LabelledClips, ...]:
    """Sets of other maps from sound to taste, which sound different."""
    return plant(0, name="a", offset=-3), plant(1, name="b", offset=3)


def test_on_each_side_the_mixture_is_the_map_of_that_set(sets: tuple[LabelledClips, ...]) -> None:
    both = join(*sets)
    audience = audience_of(both)
    mixed = fit_estimator(both, audience, per_set=True, seed=0)
    assert list(mixed.maps) == ["a", "b"]
    alone = [fit_map(clips, audience, seed=0).map for clips in sets]
    for clips, own, other in zip(sets, alone, reversed(alone), strict=True):
        found = mixed.predict(clips.inputs)
        to_own, to_other = (np.abs(found - fit(clips.inputs)).mean() for fit in (own, other))
        assert to_own < to_other / 10
    assert mean_cosine(mixed.predict(both.inputs), both.targets) > 0.95


def test_one_map_for_all_sets_is_worse(sets: tuple[LabelledClips, ...]) -> None:
    both = join(*sets)
    audience = audience_of(both)
    single, mixed = (
        fit_estimator(both, audience, per_set=per_set, seed=0) for per_set in (False, True)
    )
    assert list(single.maps) == ["a+b"]
    cosines = [mean_cosine(fit.predict(both.inputs), both.targets) for fit in (single, mixed)]
    assert cosines[0] < cosines[1] - 0.1


def test_the_gate_tells_three_sets_apart(sets: tuple[LabelledClips, ...]) -> None:
    three = join(*sets, plant(2, name="c", offset=0))
    gate = fit_gate(three)
    assert gate.weight.shape == (3, three.inputs.shape[1])
    expected = three.tracks["set"].map(["a", "b", "c"].index)
    assert (gate(three.inputs).argmax(1) == expected).mean() > 0.95


def test_a_small_set_is_told_apart_as_well() -> None:
    large, small = plant(0, 60, name="a", offset=-1), plant(1, 6, name="b", offset=1)
    gate = fit_gate(join(large, small))
    assert (gate(small.inputs).argmax(1) == 1).mean() > 0.9


def test_the_card_states_each_penalty_and_what_it_is_worth(
    sets: tuple[LabelledClips, ...],
) -> None:
    both = join(*sets)
    mixed = fit_estimator(both, audience_of(both), per_set=True, seed=0)
    alphas, metrics = mixed.describe()
    assert alphas == {f"alpha ({name})": mixed.maps[name].alpha for name in ("a", "b")}
    assert list(metrics) == [f"inner folds of artists ({name}): user_auc" for name in ("a", "b")]


def test_maps_for_each_set_need_two_sets(sets: tuple[LabelledClips, ...]) -> None:
    with pytest.raises(BadExport, match="two prepared sets with targets, not a"):
        fit_estimator(sets[0], audience_of(sets[0]), per_set=True, seed=0)
    with pytest.raises(BadExport, match="two --prepared or more, and there is 1"):
        check_settings(LinearSettings(per_set=True), 1)


@pytest.mark.parametrize("source", ["tags", "features+features", "features+", "embedding"])
def test_outputs_that_no_map_takes_are_refused(source: str) -> None:
    with pytest.raises(BadSource, match="is not one of features, max_pool"):
        check_settings(LinearSettings(source=source), 1)
