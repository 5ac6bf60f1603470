"""The Gaussian process of the Bayesian search, against its formulas."""

import keras_tuner
import numpy as np
import pytest
from scipy import integrate, stats
from scipy.optimize import check_grad

from keras_strategies.tuning import BayesianOptimizationOracle
from keras_strategies.tuning.oracles._gaussian_process import (
    GaussianProcess,
    Hyperparameters,
    _log_h,
)
from keras_strategies.tuning.oracles.bayesian_optimization_oracle import (
    standard_values,
)

RNG = np.random.default_rng(0)
# Two numbers and a choice of three, one-hot encoded.
GROUPS = [0, 1, 2, 2, 2]
X = np.concatenate([RNG.random((9, 2)), np.eye(3)[RNG.integers(0, 3, 9)]], axis=1)
Y = standard_values(np.sin(4 * X[:, 0]) + X[:, 1] ** 2 + X[:, 3])


def process(scales=(-1.0, -0.5, 0.2), noise=-6.0):
    known = Hyperparameters(np.array(scales), noise)
    return GaussianProcess(X, Y, GROUPS, 1e-4, known, refines=False)


def matern(a, b, scales):
    r = np.sqrt(
        sum((a[k] - b[k]) ** 2 / np.exp(2 * scales[g]) for k, g in enumerate(GROUPS))
    )
    return (1 + 5**0.5 * r + 5 / 3 * r**2) * np.exp(-(5**0.5) * r)


def test_predictions_are_those_of_the_closed_form():
    scales, noise = (-1.0, -0.5, 0.2), -6.0
    points = np.array([[0.1, 0.9, 1, 0, 0], [0.5, 0.5, 0, 0, 1.0]])
    kernel = np.array([[matern(a, b, scales) for b in X] for a in X])
    kernel += np.exp(noise) * np.eye(len(X))
    cross = np.array([[matern(a, b, scales) for b in X] for a in points])
    mean = cross @ np.linalg.solve(kernel, Y)
    variance = 1 - np.einsum("ij,ji->i", cross, np.linalg.solve(kernel, cross.T))
    found = process(scales, noise).predict(points)
    np.testing.assert_allclose(found[0], mean, 1e-5)
    np.testing.assert_allclose(found[1], np.sqrt(variance), 1e-5)


def test_the_gradient_is_that_of_the_loss():
    made = process()
    for parameters in ([-1.0, -0.5, 0.2, -3.0], [0.7, 1.5, -2.0, -6.0]):
        error = check_grad(
            lambda p: made._loss(p)[0], lambda p: made._loss(p)[1], np.array(parameters)
        )
        assert error < 1e-3


def test_what_does_not_matter_gets_a_long_scale():
    x = RNG.random((25, 2))
    y = standard_values(np.sin(6 * x[:, 0]))
    fitted = GaussianProcess(x, y, [0, 1], 1e-6).hyperparameters.scales
    assert fitted[1] > fitted[0] + 1


def test_expected_improvement_is_the_integral_also_where_it_is_tiny():
    made = process()
    points = np.array([[0.2, 0.1, 0, 1, 0], [0.9, 0.8, 0, 1, 0.0]])
    best = made.mean(X).min()
    for k, (mean, deviation) in enumerate(zip(*made.predict(points), strict=True)):
        expected, _ = integrate.quad(
            lambda v, m=mean, d=deviation: (best - v) * stats.norm.pdf(v, m, d),
            mean - 12 * deviation,
            best,
            epsabs=1e-14,
        )
        found = np.exp(made.log_expected_improvement(points)[k])
        assert found == pytest.approx(expected, rel=1e-4, abs=1e-12)
    z = np.array([2.0, 0.0, -0.999, -1.001, -5.0, -29.9, -30.1, -200.0])
    values = _log_h(z)
    assert np.all(np.diff(values) < 0) and np.isfinite(values).all()
    assert values[4] == pytest.approx(np.log(5.346e-8), abs=1e-3)
    assert values[5] == pytest.approx(values[6] + (30.1**2 - 29.9**2) / 2, abs=0.05)


def test_far_and_bad_results_are_drawn_near():
    found = standard_values(np.array([0.0, 1.0, 2.0, 3.0, 1e9]))
    assert found.mean() == pytest.approx(0) and found.std() == pytest.approx(1)
    assert np.all(np.diff(found) > 0)
    assert found[-1] < 3
    np.testing.assert_array_equal(standard_values(np.ones(3)), np.zeros(3))


def searched(oracle, value, trials):
    found = []
    for number in range(trials):
        trial = oracle.create_trial("tuner0")
        values = trial.hyperparameters.values
        found.append(value(values))
        oracle.update_trial(trial.trial_id, {"loss": found[-1]})
        trial.status = "COMPLETED"
        oracle.end_trial(trial)
        assert len(oracle.trials) == number + 1
    return found


@pytest.mark.parametrize("beta", [None, pytest.param(1.5, marks=pytest.mark.slow)])
def test_a_mixed_space_with_conditions_is_searched_well(tmp_path, beta):
    hp = keras_tuner.HyperParameters()
    hp.Float("rate", 1e-5, 1.0, sampling="log")
    hp.Choice("kind", ["a", "b", "c"])
    with hp.conditional_scope("kind", ["b"]):
        hp.Float("depth", 0.0, 1.0)
    objective = keras_tuner.Objective("loss", "min")

    def value(values):
        loss = (np.log10(values["rate"]) + 3.3) ** 2
        return float(
            loss + (2 * abs(values["depth"] - 0.7) if "depth" in values else 1)
        )

    oracle = BayesianOptimizationOracle(
        objective, 25, beta=beta, seed=2, hyperparameters=hp
    )
    oracle._set_project_dir(tmp_path, "search")
    oracle.verbose = oracle._display.verbose = 0
    found = searched(oracle, value, 25)
    # A random search of 25 has a median of 0.5.
    assert min(found) < 0.1
