"""Trials that share compiled models: where that is possible, and how they are built."""

import contextlib
import gc
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import keras
import keras_tuner

from keras_strategies.training._programs.held_numbers import runs_functions_eagerly
from keras_strategies.training._programs.program_cache import ProgramCache
from keras_strategies.tuning.hypermodels._tuned_fit import TunedFit

# Callbacks that keep, write or change more of a model than its variables.
_UNSUITED = (
    keras.callbacks.BackupAndRestore,
    keras.callbacks.TensorBoard,
    keras.callbacks.LambdaCallback,
)
# Builds after which garbage is collected, unless models are large.
_BUILDS_PER_COLLECTION = 16
_LARGE_MODEL_BYTES = 2**25


class SharedModels:
    """The compiled models of a search.

    Attributes:
        reason: Why the last trial trained as in KerasTuner, `None` if it did not.
    """

    def __init__(self) -> None:
        self._models: ProgramCache | None = None
        self._kinds: list[Any] = []
        self._builds, self._is_large = 0, False
        self.reason: str | None = None

    def obstacle(
        self,
        hypermodel: Any,
        callbacks: Sequence[Any],
        args: Sequence[Any],
        kwargs: Mapping[str, Any],
    ) -> str | None:
        """Why the fits of a trial cannot share models, `None` if they can."""
        if keras.backend.backend() == "torch":
            return "Torch compiles nothing that could be shared"
        if runs_functions_eagerly():
            return "functions run eagerly"
        fit = getattr(type(hypermodel), "fit", None)
        is_ours = isinstance(hypermodel, TunedFit) and fit is TunedFit.fit
        if is_ours and type(hypermodel)._train is not TunedFit._train:
            return f"{type(hypermodel).__name__} trains in phases"
        if not is_ours and fit is not keras_tuner.HyperModel.fit:
            return f"{type(hypermodel).__name__} has a `fit` of its own"
        if "fit" in vars(hypermodel):
            return "the hypermodel has a `fit` of its own"
        for callback in callbacks:
            package = type(callback).__module__.split(".")[0]
            saves_model = not getattr(callback, "save_weights_only", True)
            is_unsuited = isinstance(callback, _UNSUITED) or saves_model
            if is_unsuited or package not in ("keras", "keras_strategies"):
                return f"{type(callback).__name__} is given the model"
        if kwargs.get("steps_per_epoch") is not None or len(args) > 2:
            return "`steps_per_epoch` or positional arguments of `fit`"
        return None

    def prepare(self, args: Sequence[Any], kwargs: Mapping[str, Any]) -> None:
        """Takes the data of the next fit; other arrays keep what is compiled."""
        names = ("x", "y", "sample_weight")
        given = dict(zip(names, args, strict=False)) | dict(kwargs)
        data = tuple(given.get(name) for name in names)
        kinds = [
            (type(part), getattr(part, "shape", ())[1:], getattr(part, "dtype", None))
            for part in keras.tree.flatten(data)
        ]
        if self._models is None or kinds != self._kinds:
            self._models, self._kinds = ProgramCache(data), kinds

    @contextlib.contextmanager
    def model_for(self, model: keras.Model) -> Iterator[keras.Model]:
        """A compiled model in the state of `model`, or itself where that is unknown."""
        models = self._models
        # Not prepared, or a model that its first `fit` builds.
        if models is None or not model.built:
            yield model
            return
        self._is_large = 4 * model.count_params() > _LARGE_MODEL_BYTES
        before = sum(models.reasons.values())
        with models.model_for(model) as compiled:
            yield compiled
        if sum(models.reasons.values()) > before:
            self.reason = list(models.reasons)[-1]

    def forget(self) -> None:
        """Frees the memory of models and data, at the end of a search."""
        self._models, self._kinds = None, []

    def clear_session(self) -> None:
        """Clears Keras's session before a model is built, as KerasTuner does.

        KerasTuner collects garbage twice for each trial, which takes as long as some
        trainings. A model that was not traced is little garbage.
        """
        self._builds += 1
        is_due = self._builds % _BUILDS_PER_COLLECTION == 0
        keras.backend.clear_session(free_memory=False)
        if is_due or self._is_large:
            gc.collect()
