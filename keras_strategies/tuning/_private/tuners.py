"""Underscore names of `keras_tuner.Tuner`."""

import os
from collections.abc import Callable, Sequence
from typing import Any

import keras
import keras_tuner
from keras_tuner.engine.trial import Trial

from keras_strategies.tuning._private import bases


class TunerHooks(bases.Tuner):
    """Private methods that `keras_tuner.Tuner` calls on itself, made overridable.

    KerasTuner has no public method for the name of its state file, for declaring the
    space, or for building a model by the rules of `build` and `load_model`.
    `_build_and_fit_model` is kept as well: KerasTuner documents it as a method that
    packages built on it override.
    """

    def _get_tuner_fname(self) -> str:
        return self._state_path()

    def _populate_initial_space(self) -> None:
        self._begin()

    def _build_hypermodel(self, hp: keras_tuner.HyperParameters) -> keras.Model:
        return self._build_model(hp)

    def _build_and_fit_model(self, trial: Trial, *args: Any, **kwargs: Any) -> Any:
        return self._fit_model(trial, *args, **kwargs)

    def _state_path(self) -> str:
        """Path of the state file of the tuner."""
        raise NotImplementedError

    def _begin(self) -> None:
        """Begins a search, or goes on where KerasTuner sees none."""
        self._declare_space()

    def _declare_space(self) -> None:
        """Fills the space of the oracle before the first trial."""
        raise NotImplementedError

    def _build_model(self, hp: keras_tuner.HyperParameters) -> keras.Model:
        """Builds the model of a trial."""
        return super()._build_hypermodel(hp)

    def _fit_model(self, trial: Trial, *args: Any, **kwargs: Any) -> Any:
        """Builds and fits the model of a trial once."""
        raise NotImplementedError

    def _declare_space_by_building(self) -> None:
        """KerasTuner's search for conditional scopes: builds until all were open."""
        super()._populate_initial_space()


def is_worker(tuner: keras_tuner.Tuner) -> bool:
    """Whether the environment variables of KerasTuner make this process a worker."""
    return tuner._is_worker()


def build(
    tuner: keras_tuner.Tuner,
    hp: keras_tuner.HyperParameters,
    clear: Callable[[], None] | None = None,
) -> keras.Model:
    """Builds and checks a model; the one place where KerasTuner checks its size.

    `clear` takes the place of the two collections of garbage that KerasTuner makes
    before each model; there is no public method without them.
    """
    if clear is not None and tuner.max_model_size is None:
        clear()
        model = tuner._build_hypermodel(hp)
        if isinstance(model, keras.Model):
            return model
    return tuner._try_build(hp)


def build_and_fit(
    tuner: keras_tuner.Tuner, trial: Trial, *args: Any, **kwargs: Any
) -> Any:
    return tuner._build_and_fit_model(trial, *args, **kwargs)


def build_config_path(tuner: keras_tuner.Tuner, trial_id: str) -> str:
    """File with the shapes that a trial's model was built with."""
    return tuner._get_build_config_fname(trial_id)


def copy_callbacks(
    tuner: keras_tuner.Tuner, callbacks: Sequence[keras.callbacks.Callback]
) -> list[keras.callbacks.Callback]:
    """Deep copies of callbacks, or KerasTuner's error that ends the search."""
    return list(tuner._deepcopy_callbacks(callbacks))


def trial_folder(folder: str, trial_id: str) -> str:
    """Folder of a trial, made if it does not exist.

    The same as that of KerasTuner's tuners, whose own method fails when two processes
    make it at once.
    """
    path = os.path.join(folder, f"trial_{trial_id}")
    os.makedirs(path, exist_ok=True)
    return path
