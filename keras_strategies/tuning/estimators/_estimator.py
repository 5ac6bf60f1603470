"""Base of the scikit-learn estimators: flat parameters, building, fitting."""

import contextlib
import copy
import inspect
import random
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from typing import Any, Self

import keras
import numpy as np

from keras_strategies._internal import checks, optional
from keras_strategies.tuning.hypermodels._compiling import (
    compile_like,
    make_optimizer,
    takes_logits,
)

# Prefixes of parameters that are not named in the constructor, by their receiver.
_ROUTES = ("model", "optimizer", "fit", "predict")
_COMPILED = ("optimizer", "loss", "metrics")


class Estimator:
    """Mixin that precedes a class of `keras.wrappers`, whose tags and score it keeps.

    A subclass has `_check_targets`, which returns the targets and the attributes that a
    fit learns from them, `_encode`, which makes of them what the loss takes, and
    `_default_loss`.
    """

    model_: keras.Model
    history_: dict[str, list[float]]
    n_features_in_: int
    input_shape_: tuple[int, ...]

    def __init__(
        self,
        model: keras.Model | Callable[..., keras.Model] | None = None,
        *,
        build_fn: Callable[..., keras.Model] | None = None,
        optimizer: Any = None,
        loss: Any = None,
        metrics: Any = None,
        batch_size: int | None = None,
        epochs: int = 1,
        verbose: int | str = 0,
        callbacks: Sequence[keras.callbacks.Callback] | None = None,
        validation_split: float = 0.0,
        shuffle: bool = True,
        warm_start: bool = False,
        random_state: Any = None,
        **kwargs: Any,
    ) -> None:
        optional.require("sklearn", f"`tuning.{type(self).__name__}`")
        self.model: keras.Model | Callable[..., keras.Model] | None = model
        self.build_fn: Callable[..., keras.Model] | None = build_fn
        self.optimizer: Any = optimizer
        self.loss: Any = loss
        self.metrics: Any = metrics
        self.batch_size: int | None = batch_size
        self.epochs: int = epochs
        self.verbose: int | str = verbose
        self.callbacks: Sequence[keras.callbacks.Callback] | None = callbacks
        self.validation_split: float = validation_split
        self.shuffle: bool = shuffle
        self.warm_start: bool = warm_start
        self.random_state: Any = random_state
        # Nothing is set before all names are checked.
        builder = self._builder()
        for name in kwargs:
            self._check_name(name, builder)
        for name, value in kwargs.items():
            setattr(self, name, value)
        self._routed: tuple[str, ...] = tuple(kwargs)

    # Parameters

    def get_params(self, deep: bool = True) -> dict[str, Any]:
        """Returns all parameters by name, those with a prefix included.

        Args:
            deep: Not used: there are no nested estimators.
        """
        names = [
            p.name
            for p in inspect.signature(type(self).__init__).parameters.values()
            if p.name != "self" and p.kind is not p.VAR_KEYWORD
        ]
        return {name: getattr(self, name) for name in (*names, *self._routed)}

    def set_params(self, **params: Any) -> Self:
        """Sets parameters; returns the estimator itself.

        Args:
            **params: Parameters by name, also new ones with a prefix.
        """
        # The new builder decides which names are allowed.
        current = self.get_params()
        model = params.get("model", self.model)
        builder = model if model is not None else params.get("build_fn", self.build_fn)
        for name in params:
            if name not in current:
                self._check_name(name, builder)
        for name, value in params.items():
            setattr(self, name, value)
        new = [name for name in params if name not in current]
        self._routed = (*self._routed, *new)
        return self

    def __sklearn_clone__(self) -> Self:
        # Keras's own clone drops parameters; scikit-learn's does not.
        from sklearn.base import BaseEstimator

        return BaseEstimator.__sklearn_clone__(self)

    def _builder(self) -> Any:
        """The model or the function that makes it."""
        builder = self.model if self.model is not None else self.build_fn
        if builder is None or isinstance(builder, type) or not callable(builder):
            checks.fail(
                "`model` must be a Keras model or a function that returns one",
                fix="Pass KerasClassifier(create_model) or KerasClassifier(model).",
                error=TypeError,
                model=builder,
            )
        return builder

    def _check_name(self, name: str, builder: Any) -> None:
        route, _, suffix = name.partition("__")
        if route in _ROUTES and suffix:
            return
        if not isinstance(builder, keras.Model) and _accepts(builder, name):
            return
        prefixes = ", ".join(f"`{route}__`" for route in _ROUTES)
        checks.fail(
            f"A parameter of {type(self).__name__} must be one of its arguments, an "
            "argument of the function that builds the model, or begin with "
            f"{prefixes}",
            fix=f"For example fit__{name} for an argument of fit.",
            parameter=name,
        )

    def _route(self, route: str) -> dict[str, Any]:
        """The parameters with a prefix, without it."""
        prefix = f"{route}__"
        return {
            name.removeprefix(prefix): self._parameter(name)
            for name in self._routed
            if name.startswith(prefix)
        }

    def _parameter(self, name: str) -> Any:
        """A parameter; NumPy's scalars, which SciPy draws, as Python's for Keras."""
        value = getattr(self, name)
        return value.item() if isinstance(value, np.generic) else value

    # Building

    def _make_model(self, X: np.ndarray, y: Any) -> keras.Model:
        builder = self._builder()
        passed: Collection[str] = ()
        if isinstance(builder, keras.Model):
            model = keras.models.clone_model(builder)
        else:
            passed = arguments = self._builder_arguments(builder, X, y)
            model = builder(**arguments)
        checks.instance(
            "model", model, keras.Model, fix="The function must return its model."
        )
        if not model.built:
            model.build((None, *X.shape[1:]))
        self._compile(model, passed, output_width(model, X))
        return model

    def _builder_arguments(
        self, builder: Callable[..., Any], X: np.ndarray, y: Any
    ) -> dict[str, Any]:
        """What the building function gets of the parameters and the data."""
        arguments: dict[str, Any] = {
            name: value for name, value in (("X", X), ("y", y)) if _names(builder, name)
        }
        for name in ("loss", "metrics"):
            if getattr(self, name) is not None and _accepts(builder, name):
                arguments[name] = getattr(self, name)
        settings = self._route("optimizer")
        if _accepts(builder, "optimizer"):
            optimizer = self.optimizer
            if optimizer is None and settings:
                optimizer = _default_of(builder, "optimizer") or "rmsprop"
            if settings:
                optimizer = make_optimizer(optimizer, settings)
            if optimizer is not None:
                if isinstance(optimizer, keras.optimizers.Optimizer):
                    optimizer = make_optimizer(optimizer)  # a copy for one model
                arguments["optimizer"] = optimizer
        for name in self._routed:
            if "__" not in name:
                arguments[name] = self._parameter(name)
        return arguments | self._route("model")

    def _compile(self, model: keras.Model, passed: Collection[str], width: int) -> None:
        """Compiles with the parameters that the building function has not got."""
        parameters = {
            name: getattr(self, name)
            for name in _COMPILED
            if getattr(self, name) is not None and name not in passed
        }
        # A function that took the optimizer has got it with its settings.
        settings = {} if "optimizer" in passed else self._route("optimizer")
        if not model.compiled:
            optimizer = parameters.get("optimizer", "rmsprop")
            model.compile(
                optimizer=make_optimizer(optimizer, settings),
                loss=parameters.get("loss") or self._default_loss(width),
                metrics=copy.deepcopy(parameters.get("metrics")),
            )
        elif parameters or settings:
            optimizer = parameters.pop("optimizer", model.optimizer)
            optimizer = make_optimizer(optimizer, settings)
            compile_like(model, model, optimizer=optimizer, **parameters)

    # Fitting

    def fit(self, X: Any, y: Any, sample_weight: Any = None, **kwargs: Any) -> Self:
        """Builds a new model and fits it.

        Args:
            X: Array of any number of axes, samples first.
            y: Targets, samples first.
            sample_weight: One weight for each sample, or `None`. Defaults to `None`.
            **kwargs: Further arguments of `model.fit`, which replace those of the
                constructor.

        Returns:
            The estimator itself.
        """
        X = self._check_features(X)
        y, learned = self._check_targets(y)
        self._check_same_length(X, y, sample_weight)
        settings = {
            name: self._parameter(name)
            for name in ("batch_size", "epochs", "verbose", "callbacks")
        }
        settings |= {
            "validation_split": self._parameter("validation_split"),
            "shuffle": self.shuffle,
        }
        settings |= self._route("fit") | kwargs
        # Callbacks keep state; each fit gets copies without any.
        settings["callbacks"] = copy.deepcopy(settings["callbacks"])
        with _seeded(self.random_state):
            model = getattr(self, "model_", None) if self.warm_start else None
            if model is None:
                model = self._make_model(X, y)
            targets = self._encode(y, learned, model, output_width(model, X))
            history = model.fit(
                X,
                targets,
                sample_weight=self._weights(y, learned, sample_weight),
                **settings,
            )
        # Only now, so that a failed fit leaves the last one unchanged.
        self.model_, self.history_ = model, history.history
        self.n_features_in_, self.input_shape_ = X.shape[1], X.shape[1:]
        for name, value in learned.items():
            setattr(self, name, value)
        return self

    def set_fit_request(self, *, sample_weight: bool | str | None = True) -> Self:
        """Requests the `sample_weight` of a search or a pipeline for `fit`.

        Args:
            sample_weight: `True`, `False`, `None` or an alias, as scikit-learn's
                metadata routing defines them; routing must be enabled. Defaults to
                `True`.

        Returns:
            The estimator itself.
        """
        import sklearn

        if not sklearn.get_config().get("enable_metadata_routing"):
            raise RuntimeError(
                "Metadata routing must be enabled. Call "
                "sklearn.set_config(enable_metadata_routing=True) before."
            )
        request = self.get_metadata_routing()
        request.fit.add_request(param="sample_weight", alias=sample_weight)
        self._metadata_request = request
        return self

    @property
    def epoch_(self) -> int:
        """Number of epochs of the last fit."""
        return len(next(iter(getattr(self, "history_", {}).values()), ()))

    def _outputs(self, X: Any) -> Any:
        """The outputs of the fitted model."""
        from sklearn.utils.validation import check_is_fitted

        check_is_fitted(self, "model_")
        X = self._check_features(X)
        if X.shape[1:] != self.input_shape_:
            checks.fail(
                f"`X` must have samples of shape {self.input_shape_}, as in `fit`",
                shape=X.shape,
            )
        settings = {name: self._parameter(name) for name in ("batch_size", "verbose")}
        return self.model_.predict(X, **settings | self._route("predict"))

    def _check_features(self, X: Any) -> np.ndarray:
        from sklearn.utils import check_array

        return check_array(X, allow_nd=True)

    def _check_same_length(self, X: Any, y: Any, sample_weight: Any) -> None:
        from sklearn.utils import check_consistent_length

        check_consistent_length(X, y, sample_weight)

    def _weights(
        self, y: np.ndarray, learned: Mapping[str, Any], sample_weight: Any
    ) -> np.ndarray | None:
        return None if sample_weight is None else np.asarray(sample_weight, "float32")

    def _check_targets(self, y: Any) -> tuple[np.ndarray, dict[str, Any]]:
        raise NotImplementedError

    def _encode(
        self, y: np.ndarray, learned: Mapping[str, Any], model: keras.Model, width: int
    ) -> np.ndarray:
        raise NotImplementedError

    def _default_loss(self, width: int) -> str:
        raise NotImplementedError


def output_width(model: keras.Model, X: np.ndarray) -> int:
    """Size of the last axis of a model's output."""
    return model.compute_output_shape((None, *X.shape[1:]))[-1]


def _accepts(builder: Callable[..., Any], name: str) -> bool:
    """Whether a function takes an argument of this name."""
    parameters = inspect.signature(builder).parameters
    takes_any = any(p.kind is p.VAR_KEYWORD for p in parameters.values())
    return name in parameters or takes_any


def _names(builder: Callable[..., Any], name: str) -> bool:
    """Whether a function has a parameter of this name."""
    return name in inspect.signature(builder).parameters


def _default_of(builder: Callable[..., Any], name: str) -> Any:
    """The default of a parameter, `None` if it has none."""
    parameter = inspect.signature(builder).parameters.get(name)
    if parameter is None or parameter.default is parameter.empty:
        return None
    return parameter.default


@contextlib.contextmanager
def _seeded(random_state: Any) -> Iterator[None]:
    """Seeds Keras, and afterwards restores Python's and NumPy's generators.

    Else a search whose own draws come from NumPy's generator would draw the same
    candidate after each fit.
    """
    if random_state is None:
        yield
        return
    from sklearn.utils import check_random_state

    seed = random_state
    if not isinstance(random_state, int):
        seed = int(check_random_state(random_state).randint(2**31 - 1))
    states = random.getstate(), np.random.get_state()
    keras.utils.set_random_seed(seed)
    try:
        yield
    finally:
        random.setstate(states[0])
        np.random.set_state(states[1])


def probabilities(outputs: Any, model: keras.Model) -> np.ndarray:
    """Class probabilities from the outputs of a classifier, a column for each class."""
    outputs = np.asarray(outputs)
    are_logits = takes_logits(model)
    if outputs.shape[-1] == 1:
        if are_logits:
            outputs = keras.ops.convert_to_numpy(keras.ops.sigmoid(outputs))
        return np.concatenate([1 - outputs, outputs], axis=-1)
    if are_logits:
        outputs = keras.ops.convert_to_numpy(keras.ops.softmax(outputs))
    return outputs
