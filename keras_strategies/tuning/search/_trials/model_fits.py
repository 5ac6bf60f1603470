"""Fits of one trial: for each fold and execution a model is built and trained."""

import weakref
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import keras
import keras_tuner
from keras_tuner import errors

from keras_strategies._internal import checks
from keras_strategies.tuning import _space
from keras_strategies.tuning._private import oracles as private_oracles
from keras_strategies.tuning._private import tuners as private
from keras_strategies.tuning._space import Trial
from keras_strategies.tuning.reports import prepare_tensorboard
from keras_strategies.tuning.search._setup import misuse
from keras_strategies.tuning.search._setup.resuming import Resuming
from keras_strategies.tuning.search._trials import checkpoints
from keras_strategies.tuning.search._trials import folds as _folds
from keras_strategies.tuning.search._trials.after_epoch import AfterEpoch, BestValue
from keras_strategies.tuning.search._trials.shared_models import SharedModels

# Arguments of `fit` that can be searched.
FIT_ARGUMENTS = ("batch_size", "epochs")


#: Makes the callbacks of a trial.
TrialCallbacks = Callable[[Trial], Sequence[keras.callbacks.Callback]]


class ModelFits(Resuming):
    """The part of `Tuner` that trains the models of one trial."""

    seed: int | None
    cv: Any
    trial_callbacks: TrialCallbacks | None
    plain_reason: str | None = None
    _fit_ranges: dict[str, tuple[int, int]]
    _shared_models: SharedModels | None = None
    # Variables of models that were fitted, as long as something keeps them.
    _trained: Any = None
    _shares: bool = False  # in the fit that runs

    def checkpoint_path(self, trial_id: str) -> str:
        raise NotImplementedError

    def _train(self, trial_callbacks: Any, share_models: Any) -> None:
        """Checks and keeps the arguments about the trainings of a trial."""
        checks.callable_or_none("trial_callbacks", trial_callbacks)
        self.trial_callbacks = trial_callbacks
        shares = checks.boolean("share_models", share_models)
        self._shared_models = SharedModels() if shares else None

    def _can_share(
        self, callbacks: Sequence[Any], args: Sequence[Any], kwargs: Mapping[str, Any]
    ) -> bool:
        """Whether the next fit may run by a model of an earlier one."""
        if self._shared_models is None:
            return False
        reason = self._shared_models.obstacle(self.hypermodel, callbacks, args, kwargs)
        if reason is None:
            self._shared_models.prepare(args, kwargs)
        self._note_plain(reason)
        return reason is None

    def _note_plain(self, reason: str | None) -> None:
        """Says once why trials are trained as in KerasTuner."""
        if reason is not None and self.plain_reason is None:
            self.plain_reason = reason
            private_oracles.display(self.oracle).on_note(
                f"Trials share no compiled models: {reason}"
            )

    def _run_fits(self, trial: Trial, *fit_args: Any, **fit_kwargs: Any) -> list[Any]:
        """Builds and trains the model of a trial, once for each fold and execution."""
        trial.hyperparameters = _space.Space.of(trial.hyperparameters)
        callbacks = fit_kwargs.pop("callbacks", None) or []
        best, results = BestValue(), []
        for k, (args, kwargs) in enumerate(self._fits(trial, fit_args, fit_kwargs)):
            copies = private.copy_callbacks(self, callbacks)
            if self.trial_callbacks is not None:
                copies += self.trial_callbacks(trial)
            prepare_tensorboard(copies, trial, k, self.oracle)
            self._shares = self._can_share(copies, args, kwargs)
            copies.append(AfterEpoch(self, trial, best, k == 0, self._shares))
            # A hash of the trial, not of a counter: any worker starts from the same
            # weights, as does the trial when it runs again.
            if self.seed is not None:
                draw = self.oracle.probability("weights", trial.trial_id, k)
                keras.utils.set_random_seed(int(draw * 2**31))
            result = private.build_and_fit(
                self, trial, *args, callbacks=copies, **kwargs
            )
            self._shares = False
            results.append(result)
            # Further folds of a bad trial would only cost time.
            if trial.trial_id in self.oracle.pruned:
                break
        return results

    def _fits(
        self, trial: Trial, args: Sequence[Any], kwargs: Mapping[str, Any]
    ) -> Iterator[tuple[Sequence[Any], dict[str, Any]]]:
        """Yields the arguments of each fit of a trial."""
        values = trial.hyperparameters.values
        kwargs = dict(kwargs)
        oracle = self.oracle
        if "tuner/epochs" in values:  # Hyperband, population based training
            if oracle.fidelity == "data":
                part = values["tuner/epochs"] / oracle.max_epochs
                args, kwargs = _folds.part_of_data(args, kwargs, part, self.seed or 0)
            else:
                kwargs["epochs"] = values["tuner/epochs"]
                kwargs["initial_epoch"] = values["tuner/initial_epoch"]
        for _ in range(self.executions_per_trial):
            if self.cv is None:
                yield args, kwargs
            else:
                yield from self._folds(args, kwargs)

    def _folds(
        self, args: Sequence[Any], kwargs: Mapping[str, Any]
    ) -> Iterator[tuple[Sequence[Any], dict[str, Any]]]:
        return _folds.fold_arguments(self.cv, args, kwargs, self.seed or 0)

    def _fit_model(self, trial: Trial, *args: Any, **kwargs: Any) -> Any:
        hp = trial.hyperparameters
        clear = self._shared_models.clear_session if self._shares else None
        model = private.build(self, hp, clear)
        self._check_feasible(hp)  # of what the model has just declared
        has_plain_fit = type(self.hypermodel).fit is keras_tuner.HyperModel.fit
        if has_plain_fit:
            misuse.check_compiled(model)
        self._note_trained(model)
        for name in FIT_ARGUMENTS:
            # What a build function declares under these names is meant for `fit`.
            if name in hp.values and (has_plain_fit or name in self._fit_ranges):
                kwargs.setdefault(name, hp.get(name))
        if not self._shares:
            results = self.hypermodel.fit(hp, model, *args, **kwargs)
        else:
            with self._shared_models.model_for(model) as model:
                results = self.hypermodel.fit(hp, model, *args, **kwargs)
            self._note_plain(self._shared_models.reason)
        path = private.build_config_path(self, trial.trial_id)
        checkpoints.write_build_config(path, model)
        return results

    def _note_trained(self, model: Any) -> None:
        """Refuses variables that an earlier fit has trained."""
        variables = getattr(model, "trainable_variables", ())
        if self._trained is None:
            self._trained = weakref.WeakValueDictionary()
        misuse.check_new(variables, self._trained)
        self._trained.update((id(variable), variable) for variable in variables)

    def _build_model(self, hp: keras_tuner.HyperParameters) -> keras.Model:
        model = super()._build_model(hp)
        earlier = hp.values.get("tuner/trial_id")
        if earlier is None or self.oracle.fidelity == "data":
            return model
        # Hyperband and population based training go on from that trial.
        rate = checkpoints.prepared_optimizer(model)
        try:
            self._load_weights(model, earlier)
        except ValueError as error:
            raise errors.FatalValueError(
                f"The model of {hp.values} cannot go on from the weights of trial "
                f"{earlier}: {error}. Name what changes the shapes of weights in "
                "`inherited` (algorithm_options)."
            ) from error
        if rate is not None:
            model.optimizer.learning_rate = rate
        return model

    def _load_weights(self, model: keras.Model, trial_id: str) -> None:
        checkpoints.read_weights(
            model,
            private.build_config_path(self, trial_id),
            self.checkpoint_path(trial_id),
        )
