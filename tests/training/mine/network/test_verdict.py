"""The network is taken only if what it adds is above zero over its whole interval."""

from __future__ import annotations

from dataclasses import replace

import pytest

from training.evaluation.names import NETWORK
from training.mine.network.report import describe_outcome
from training.mine.network.settings import NetworkSettings
from training.mine.network.training import Length
from training.mine.network.verdict import NetworkVerdict, is_worth_serving
from training.mine.verdict import Interval, Verdict

OWN = Verdict({}, {}, 40, 20, has_artists=True)


def judge(gain: Interval, *steps: int) -> NetworkVerdict:
    lengths = tuple(Length(count, 5, -0.5, -0.6) for count in steps)
    return NetworkVerdict(tuple(range(len(steps))), lengths, (0.7, 0.6, 0.8), gain, OWN)


@pytest.mark.parametrize(
    ("gain", "steps", "is_better"),
    [
        ((0.02, 0.01, 0.03), (10,), True),
        ((0.02, 0.00, 0.04), (10,), False),
        ((-0.02, -0.03, -0.01), (10,), False),
        ((1e-9, 1e-9, 1e-9), (0,), False),  # rounding, where nothing was trained
    ],
)
def test_the_network_is_taken_where_its_gain_is_above_zero(
    gain: Interval, steps: tuple[int, ...], is_better: bool
) -> None:
    assert judge(gain, *steps).is_better is is_better


def test_the_last_training_is_as_long_as_the_folds_on_average_in_intervals() -> None:
    assert judge((0.02, 0.01, 0.03), 10).length.steps == 10
    assert judge((0.02, 0.01, 0.03), 10, 25).length.steps == 20  # 2 and 5 intervals: 3.5, even


def test_which_of_the_two_is_exported_is_said_with_the_figures() -> None:
    taken = judge((0.02, 0.01, 0.03), 10).describe()
    assert taken.startswith("A fine-tuned network is exported: on the 40 songs of fold 0")
    assert "it adds +0.020 (+0.010 to +0.030) to the linear map's user AUC (0.720 against" in taken
    left = judge((-0.02, -0.03, 0.01), 10, 5).describe()
    assert left.startswith("The linear map is exported: a network was fine-tuned too, and on the")
    assert "of fold 0, 1" in left
    assert "no step of it lowered the loss" in judge((0.0, 0.0, 0.0), 0).describe()


def own(low: float) -> Verdict:
    return Verdict({NETWORK: (0.7, 0.6, 0.8)}, {"mean": (0.1, low, 0.2)}, 40, 20, has_artists=True)


@pytest.mark.parametrize(
    ("linear", "gain", "network", "is_worth"),
    [
        (0.05, 0.01, -0.05, True),  # better than a map that is better than nothing
        (-0.05, 0.01, 0.05, True),
        (-0.05, 0.01, -0.05, False),
        (-0.05, -0.01, 0.05, False),  # the linear map is exported, which is no better
        (0.05, -0.01, -0.05, True),
    ],
)
def test_what_is_exported_is_better_than_nothing_or_than_what_is(
    linear: float, gain: float, network: float, is_worth: bool
) -> None:
    tried = replace(judge((0.02, gain, 0.03), 10), own=own(network))
    assert is_worth_serving(own(linear), tried) is is_worth
    assert is_worth_serving(own(linear), None) is (linear > 0)


@pytest.mark.parametrize(
    ("start", "is_update", "reason"),
    [
        (0, False, "--network-from is 0"),
        (10_000, False, "866 songs are heard and played, and it is tried from 10,000 on"),
        (1, True, "an update keeps the encoder"),
    ],
)
def test_where_no_network_was_trained_the_reason_is_said(
    start: int, is_update: bool, reason: str
) -> None:
    said = describe_outcome(None, 866, NetworkSettings(network_from=start), is_update=is_update)
    assert said.startswith("No network was trained: ")
    assert reason in said
