"""Ridge regression of several penalties at once is scikit-learn's, one by one."""

from __future__ import annotations

import numpy as np
from sklearn.linear_model import Ridge
from sklearn.preprocessing import StandardScaler

from training.linear.ridge import fit_scaler, fit_standardised_ridge


def test_maps_are_those_of_scikit_learn() -> None:
    rng = np.random.default_rng(0)
    # Fewer rows than inputs, inputs of other means and spreads, one of them constant.
    x = 3 + rng.normal(size=(20, 30)) * rng.uniform(0.1, 5, 30)
    x[:, 4] = 7
    y, weights = rng.normal(size=(20, 3)), rng.uniform(0.2, 1, 20)
    alphas = (0.1, 10.0, 1000.0)
    scaler = StandardScaler().fit(x)
    other = rng.normal(size=(5, 30))
    for alpha, found in zip(alphas, fit_standardised_ridge(x, y, weights, alphas), strict=True):
        ridge = Ridge(alpha).fit(scaler.transform(x), y, sample_weight=weights)
        expected = ridge.predict(scaler.transform(other))
        np.testing.assert_allclose(found(other), expected, rtol=1e-6, atol=1e-9)


def test_inputs_that_only_rounding_moves_have_no_weight() -> None:
    rng = np.random.default_rng(1)
    x = rng.normal(size=(20, 4))
    x[:, 1] = 1e-6 + 1e-13 * rng.normal(size=20)  # a dead channel
    x[:, 2] = 1e6 + rng.normal(size=20)
    (found,) = fit_standardised_ridge(x, rng.normal(size=(20, 2)), np.ones(20), [10.0])
    assert (found.weight != 0).any(0).tolist() == [True, False, False, True]
    assert not fit_scaler(x).transform(x)[:, [1, 2]].any()
