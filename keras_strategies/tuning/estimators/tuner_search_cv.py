"""Cross-validated search of scikit-learn estimators by the algorithms of the tuner."""

import tempfile
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import keras_tuner
import numpy as np
from keras_tuner.engine.trial import TrialStatus

from keras_strategies._internal import checks
from keras_strategies._internal.optional import require
from keras_strategies.tuning._private.oracles import set_project
from keras_strategies.tuning._space import Space
from keras_strategies.tuning.estimators._parameter_space import ParameterSpace
from keras_strategies.tuning.oracles._base import OracleBase
from keras_strategies.tuning.oracles._registry import (
    ALGORITHMS,
    AlgorithmName,
    choose_algorithm,
    make_oracle,
)

try:
    from sklearn.model_selection import RandomizedSearchCV as _Base
except ImportError:  # the constructor raises the error that helps
    _Base: Any = object

_ALGORITHMS = (
    "auto",
    *(name for name, entry in ALGORITHMS.items() if entry.is_sequential),
)


class TunerSearchCV(_Base):
    """Cross-validated search of any scikit-learn estimator, with better algorithms.

    In place of `RandomizedSearchCV` or `GridSearchCV`: the same arguments, attributes
    and methods (it is a `RandomizedSearchCV`), but each candidate is proposed from the
    results of those before it, by any algorithm of `Tuner`. For `KerasClassifier`,
    `KerasRegressor`, pipelines and every other estimator. No candidate is tried twice;
    the search ends when the space is used up. To train with KerasTuner's hypermodels,
    checkpoints and pruning use `Tuner(cv=...)` instead.

    The folds of a candidate run in parallel with `n_jobs`; candidates are sequential,
    because each depends on those before.

    Args:
        estimator: A scikit-learn estimator.
        param_distributions: What to search: a dict from the name of a parameter to a
            list of values or a distribution of `scipy.stats` (sorted lists of numbers
            and distributions keep their order); a list of such dicts, of which each
            candidate takes one; a function `space(hp)` that declares
            `keras_tuner.HyperParameters` under the names of parameters; or such an
            object.
        n_iter: Maximum number of candidates, at least 1. Defaults to `10`.
        algorithm: `"auto"` (chosen from the space as by `Tuner`), `"grid"`,
            `"random"`, `"bayesian"`, `"tpe"`, `"gp"`, `"cmaes"` (these three need
            Optuna) or `"evolution"`. Defaults to `"auto"`.
        algorithm_options: Dict of further arguments of the oracle. Defaults to `None`.
        time_limit: Seconds after which no further candidate starts. Defaults to
            `None`.
        scoring: As in `RandomizedSearchCV`. With several metrics `refit` must name the
            one to search for. Defaults to `None`, the score of the estimator.
        n_jobs: Number of folds in parallel. Defaults to `None`, one.
        refit: Whether to fit the best candidate on all data. Defaults to `True`.
        cv: Folds, as in `RandomizedSearchCV`. Defaults to `None`, five.
        verbose: Verbosity of scikit-learn. Defaults to `0`.
        pre_dispatch: Number of folds dispatched at once. Defaults to `"2*n_jobs"`.
        random_state: Seed of the search: integer, `RandomState` or `None`. Defaults to
            `None`.
        error_score: Score of a fold whose fit raises, or `"raise"`. Defaults to NaN:
            the candidate counts as failed.
        return_train_score: Whether to score the training rows too. Defaults to
            `False`.

    Attributes:
        best_estimator_: The best candidate, fitted on all data.
        best_params_: Its parameters.
        best_score_: Its mean score over the folds.
        cv_results_: A dict of arrays, one value for each candidate, in their order.
        algorithm_: Name of the algorithm.
        failures_: Parameters and message of each candidate with no score.

    Raises:
        ImportError: If scikit-learn, or what the algorithm needs, is missing.
        ValueError: In `fit`, if an argument cannot be used, or each fit has failed.
        TypeError: In `fit`, if an argument has the wrong type.

    Example:

    ```python
    import keras
    from scipy.stats import loguniform
    from sklearn.datasets import load_digits
    from keras_strategies.tuning import KerasClassifier, TunerSearchCV

    def create_model(units=16):
        return keras.Sequential([
            keras.Input((64,)),
            keras.layers.Dense(units, activation="relu"),
            keras.layers.Dense(10, activation="softmax"),
        ])

    x, y = load_digits(return_X_y=True)
    search = TunerSearchCV(
        KerasClassifier(create_model, optimizer="adam", batch_size=64, random_state=0),
        {
            "model__units": [8, 16, 32],
            "optimizer__learning_rate": loguniform(1e-3, 1e-1),
        },
        n_iter=2,
        cv=2,
        random_state=0,
    )
    search.fit(x[:200] / 16, y[:200])
    print(search.algorithm_, search.best_params_)
    ```
    """

    def __init__(
        self,
        estimator: Any,
        param_distributions: Any,
        *,
        n_iter: int = 10,
        algorithm: AlgorithmName = "auto",
        algorithm_options: Mapping[str, Any] | None = None,
        time_limit: float | None = None,
        scoring: Any = None,
        n_jobs: int | None = None,
        refit: bool | str | Callable[..., int] = True,
        cv: Any = None,
        verbose: int = 0,
        pre_dispatch: int | str = "2*n_jobs",
        random_state: Any = None,
        error_score: float | str = np.nan,
        return_train_score: bool = False,
    ) -> None:
        require("sklearn", "`tuning.TunerSearchCV`")
        super().__init__(
            estimator,
            param_distributions,
            n_iter=n_iter,
            scoring=scoring,
            n_jobs=n_jobs,
            refit=refit,
            cv=cv,
            verbose=verbose,
            pre_dispatch=pre_dispatch,
            random_state=random_state,
            error_score=error_score,
            return_train_score=return_train_score,
        )
        self.algorithm: AlgorithmName = algorithm
        self.algorithm_options: Mapping[str, Any] | None = algorithm_options
        self.time_limit: float | None = time_limit

    algorithm_: str
    failures_: list[tuple[dict[str, Any], str]]

    # scikit-learn checks this argument against a narrower list.
    _parameter_constraints: dict[str, Any] = {
        **getattr(_Base, "_parameter_constraints", {}),
        "param_distributions": "no_validation",
    }

    def _run_search(
        self, evaluate_candidates: Callable[[Sequence[dict[str, Any]]], Any]
    ) -> None:
        """Proposes and scores candidates; scikit-learn documents it for subclasses."""
        searched = ParameterSpace(self.param_distributions)
        oracle = self._make_oracle(searched.space)
        self.failures_, self._all_failed = [], True
        with tempfile.TemporaryDirectory(prefix="search-") as folder:
            set_project(oracle, folder, "search")
            while True:
                trial = oracle.create_trial("search")
                if trial.status != TrialStatus.RUNNING:
                    break
                parameters = searched.parameters(trial.hyperparameters.values)
                score = self._score_of(parameters, evaluate_candidates)
                trial.status = TrialStatus.INVALID
                if score is not None:
                    oracle.update_trial(trial.trial_id, {"score": score})
                    trial.status = TrialStatus.COMPLETED
                oracle.end_trial(trial)
        if self._all_failed:
            last = self.failures_[-1][1] if self.failures_ else "None was tried."
            raise ValueError(f"No candidate has a score. {last}")

    def _make_oracle(self, space: Space) -> OracleBase:
        from sklearn.utils import check_random_state

        name: str = checks.choice("algorithm", self.algorithm, _ALGORITHMS)
        if name == "auto":
            name, _ = choose_algorithm(space.space, self.n_iter, 1)
        self.algorithm_ = name
        seed = self.random_state
        # Drawn in `fit` and not before, as scikit-learn's rules for seeds ask for.
        if seed is None or not isinstance(seed, int | np.integer):
            seed = check_random_state(seed).randint(2**31 - 1)
        arguments = {
            "objective": keras_tuner.Objective("score", "max"),
            "max_trials": int(self.n_iter),
            "seed": int(seed),
            "hyperparameters": space,
        }
        oracle = make_oracle(name, self.algorithm_options or {}, arguments)
        oracle.verbose = 0
        if self.time_limit is not None:
            limit = checks.real("time_limit", self.time_limit, low=0, low_open=True)
            oracle.deadline = oracle.clock() + limit
        return oracle

    def _score_of(
        self,
        parameters: dict[str, Any],
        evaluate_candidates: Callable[[Sequence[dict[str, Any]]], Any],
    ) -> float | None:
        """Mean score over the folds, or `None` for a candidate that has failed."""
        try:
            results = evaluate_candidates([parameters])
        except ValueError as error:
            # scikit-learn raises this if all folds of the candidates have failed.
            if self.error_score == "raise" or "fits failed" not in str(error):
                raise
            self.failures_.append((parameters, str(error)))
            return None
        self._all_failed = False
        metric: Any = "score"
        if "mean_test_score" not in results:
            metric = self.refit
            if f"mean_test_{metric}" not in results:
                checks.fail(
                    "With several metrics `refit` must name the one to search for",
                    refit=self.refit,
                )
        score = float(results[f"mean_test_{metric}"][-1])
        if np.isfinite(score):
            return score
        self.failures_.append((parameters, f"The mean score is {score}."))
        return None
