"""The searches of this package as scikit-learn's cross-validated search."""

import tempfile

import keras_tuner
import numpy as np
from keras_tuner.engine.trial import TrialStatus

from keras_strategies._internal import checks
from keras_strategies._internal.optional import require
from keras_strategies.tuning.estimators._parameter_space import SearchedParameters
from keras_strategies.tuning.oracles import _registry as _algorithms

try:
    from sklearn.model_selection import RandomizedSearchCV as _Base
except ImportError:  # the constructor says so
    _Base = object

_NAMES = tuple(name for name in _algorithms.NAMES if name not in ("hyperband", "nsga2"))


class TunerSearchCV(_Base):
    """Cross-validated search of any scikit-learn estimator, with better algorithms.

    In place of `RandomizedSearchCV` or `GridSearchCV`: the same arguments, attributes
    and methods (it is a `RandomizedSearchCV`), but each candidate is proposed from the
    results of those before it, by any algorithm of `Tuner`. For `KerasClassifier`,
    `KerasRegressor`, pipelines and every other estimator. Nothing is tried twice; a
    space that is used up ends the search. To train with KerasTuner's hypermodels,
    checkpoints and pruning use `Tuner(cv=...)` instead.

    The folds of a candidate run in parallel with `n_jobs`; candidates come one after
    the other, because each depends on those before.

    Args:
        estimator: A scikit-learn estimator.
        param_distributions: What to search: a dict from the name of a parameter to a
            list of values or a distribution of `scipy.stats` (sorted lists of numbers
            and distributions keep their order); a list of such dicts, of which each
            candidate takes one; a function `space(hp)` that declares
            `keras_tuner.HyperParameters` under the names of parameters; or such an
            object.
        n_iter: Candidates at most, at least 1. Default 10.
        algorithm: `"auto"` (default, chosen from the space as by `Tuner`), `"grid"`,
            `"random"`, `"bayesian"`, `"tpe"`, `"gp"`, `"cmaes"` (these three need
            Optuna) or `"evolution"`.
        algorithm_options: Dict of further arguments of the oracle. Default `None`.
        time_limit: Seconds after which no further candidate starts. Default `None`.
        scoring: As in `RandomizedSearchCV`. With several metrics `refit` must name the
            one to search for.
        n_jobs: Folds in parallel. Default `None`, one.
        refit: Whether to fit the best candidate on all data. Default `True`.
        cv: Folds, as in `RandomizedSearchCV`. Default `None`, five.
        verbose: Verbosity of scikit-learn. Default 0.
        pre_dispatch: Folds dispatched at once. Default `"2*n_jobs"`.
        random_state: Seed of the search: integer, `RandomState` or `None` (default).
        error_score: Score of a fold whose fit raises (default NaN: the candidate counts
            as failed), or `"raise"`.
        return_train_score: Whether to score the training rows too. Default `False`.

    Attributes:
        best_estimator_: The best candidate, fitted on all data.
        best_params_: Its parameters.
        best_score_: Its mean score over the folds.
        cv_results_: A dict of arrays, one value a candidate, in their order.
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
        estimator,
        param_distributions,
        *,
        n_iter=10,
        algorithm="auto",
        algorithm_options=None,
        time_limit=None,
        scoring=None,
        n_jobs=None,
        refit=True,
        cv=None,
        verbose=0,
        pre_dispatch="2*n_jobs",
        random_state=None,
        error_score=np.nan,
        return_train_score=False,
    ):
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
        self.algorithm = algorithm
        self.algorithm_options = algorithm_options
        self.time_limit = time_limit

    # scikit-learn checks this argument against a narrower list.
    _parameter_constraints = {
        **getattr(_Base, "_parameter_constraints", {}),
        "param_distributions": "no_validation",
    }

    def _run_search(self, evaluate_candidates):
        searched = SearchedParameters(self.param_distributions)
        oracle = self._make_oracle(searched.space)
        self.failures_, self._nothing_fitted = [], True
        with tempfile.TemporaryDirectory(prefix="search-") as folder:
            oracle._set_project_dir(folder, "search")
            while True:
                trial = oracle.create_trial("search")
                if trial.status != TrialStatus.RUNNING:
                    break
                found = searched.parameters(trial.hyperparameters.values)
                score = self._score_of(found, evaluate_candidates)
                trial.status = TrialStatus.INVALID
                if score is not None:
                    oracle.update_trial(trial.trial_id, {"score": score})
                    trial.status = TrialStatus.COMPLETED
                oracle.end_trial(trial)
        if self._nothing_fitted:
            last = self.failures_[-1][1] if self.failures_ else "None was tried."
            raise ValueError(f"No candidate has a score. {last}")

    def _make_oracle(self, space):
        from sklearn.utils import check_random_state

        name = checks.choice("algorithm", self.algorithm, _NAMES)
        if name == "auto":
            name, _ = _algorithms.choose(space.space, self.n_iter, 1)
        self.algorithm_ = name
        seed = self.random_state
        if seed is None or not isinstance(seed, int | np.integer):
            seed = check_random_state(seed).randint(2**31 - 1)
        arguments = {
            "objective": keras_tuner.Objective("score", "max"),
            "max_trials": int(self.n_iter),
            "seed": int(seed),
            "hyperparameters": space,
        }
        oracle = _algorithms.make(name, self.algorithm_options or {}, arguments)
        oracle.verbose = 0
        if self.time_limit is not None:
            limit = checks.real("time_limit", self.time_limit, low=0, low_open=True)
            oracle.deadline = oracle.clock() + limit
        return oracle

    def _score_of(self, parameters, evaluate_candidates):
        """Mean score over the folds, or None for a candidate that has failed."""
        try:
            results = evaluate_candidates([parameters])
        except ValueError as error:
            # scikit-learn's way to say that each fold of the candidate has failed.
            if self.error_score == "raise" or "fits failed" not in str(error):
                raise
            self.failures_.append((parameters, str(error)))
            return None
        self._nothing_fitted = False
        metric = "score"
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
