"""Base of the scikit-learn estimators: flat parameters and fitting."""

import functools
import inspect
from collections.abc import Callable, Mapping
from typing import Any, Self

import keras
import numpy as np

from keras_strategies._internal import checks, optional, signatures
from keras_strategies._internal.keras_private import trusting_object_scope
from keras_strategies.tuning.estimators import _features, _pickling, _routes
from keras_strategies.tuning.estimators._building import Building
from keras_strategies.tuning.estimators._seeding import seeded

# Prefixes of parameters that are not named in the constructor, by their receiver.
_ROUTES = (
    "model",
    "optimizer",
    "loss",
    "metrics",
    "compile",
    "callbacks",
    "fit",
    "predict",
)
_OF_FIT = (
    "batch_size",
    "validation_batch_size",
    "epochs",
    "verbose",
    "callbacks",
    "validation_split",
    "shuffle",
)


class Estimator(Building):
    """Mixin that precedes a class of `keras.wrappers`, whose tags and score it keeps.

    A subclass has `_check_targets`, which returns the targets and the attributes that a
    fit learns from them, `_encode`, which makes of them what the loss takes, and
    `_default_loss`.
    """

    model_: keras.Model
    history_: dict[str, list[float]]
    n_features_in_: int
    input_shape_: Any

    def __init__(
        self,
        model: keras.Model | Callable[..., keras.Model] | None = None,
        *,
        build_fn: Callable[..., keras.Model] | None = None,
        optimizer: Any = None,
        loss: Any = None,
        metrics: Any = None,
        batch_size: int | None = None,
        validation_batch_size: int | None = None,
        epochs: int = 1,
        verbose: int | str = 0,
        callbacks: Any = None,
        validation_split: float = 0.0,
        shuffle: bool = True,
        run_eagerly: bool = False,
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
        self.validation_batch_size: int | None = validation_batch_size
        self.epochs: int = epochs
        self.verbose: int | str = verbose
        self.callbacks: Any = callbacks
        self.validation_split: float = validation_split
        self.shuffle: bool = shuffle
        self.run_eagerly: bool = run_eagerly
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

        if isinstance(self.model, keras.Model):
            _pickling.build_optimizer(self.model)
        # Keras copies models, losses and metrics by the names of their classes.
        copied = [self.model, self.optimizer, self.loss, self.metrics]
        with trusting_object_scope(_pickling.objects_in(copied)):
            return BaseEstimator.__sklearn_clone__(self)

    def __getstate__(self) -> dict[str, Any]:
        state = super().__getstate__()  # type: ignore[misc]
        return {name: _pickling.picklable(value) for name, value in state.items()}

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()  # type: ignore[misc]
        tags.input_tags.sparse = True
        tags.input_tags.three_d_array = True
        return tags

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
        if not isinstance(builder, keras.Model) and signatures.accepts(builder, name):
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
        parameters = {name: self._parameter(name) for name in self._routed}
        return _routes.without_prefix(parameters, route)

    def _parameter(self, name: str) -> Any:
        """A parameter; NumPy's scalars, which SciPy draws, as Python's for Keras."""
        value = getattr(self, name)
        return value.item() if isinstance(value, np.generic) else value

    # Fitting

    def fit(self, X: Any, y: Any, sample_weight: Any = None, **kwargs: Any) -> Self:
        """Builds a new model and fits it.

        Args:
            X: Array of any number of axes, samples first; a data frame, whose column
                names `predict` then checks; a sparse matrix, which becomes a dense
                array; or a dict of arrays for a model with named inputs.
            y: Targets, samples first.
            sample_weight: One weight for each sample, or `None`. Defaults to `None`.
            **kwargs: Further arguments of `model.fit`, which replace those of the
                constructor. `validation_data` has features and targets as `X` and `y`.

        Returns:
            The estimator itself.
        """
        return self._fit(X, y, sample_weight, kwargs, self.warm_start)

    def partial_fit(
        self, X: Any, y: Any, sample_weight: Any = None, **kwargs: Any
    ) -> Self:
        """Trains the model of the last fit for one epoch more, or a new one.

        Args:
            X: Samples, as in `fit`.
            y: Targets, samples first.
            sample_weight: One weight for each sample, or `None`. Defaults to `None`.
            **kwargs: Further arguments of `model.fit`.

        Returns:
            The estimator itself. `history_` has the epochs of all calls.
        """
        return self._partial_fit(X, y, sample_weight, kwargs)

    def _partial_fit(self, X, y, sample_weight, kwargs, announced=None):
        earlier = getattr(self, "history_", {})
        self._fit(X, y, sample_weight, {"epochs": 1} | kwargs, True, announced)
        self.history_ = {
            name: [*earlier.get(name, ()), *values]
            for name, values in self.history_.items()
        }
        return self

    def _fit(self, X, y, sample_weight, kwargs, warm_start, announced=None):
        """Fits; `announced` is what a first fit is told of the targets to come."""
        model = getattr(self, "model_", None) if warm_start else None
        inputs, y, learned = self._checked(X, y, model, announced)
        _features.check_same_length(inputs, y, sample_weight)
        settings = {name: self._parameter(name) for name in _OF_FIT}
        settings |= self._route("fit") | kwargs
        _features.use_all_samples(settings, inputs)
        settings["callbacks"] = _routes.make_callbacks(
            settings["callbacks"], self._route("callbacks")
        )
        with seeded(self.random_state):
            if model is None:
                model = self._make_model(inputs, y, learned)
            width = _features.output_width(model, inputs)
            encode = functools.partial(
                self._encoded, learned=learned, model=model, width=width
            )
            if settings.get("validation_data") is not None:
                settings["validation_data"] = self._validation(
                    settings["validation_data"], inputs, learned, encode
                )
            history = model.fit(
                x=inputs,
                y=encode(y),
                sample_weight=self._weights(y, learned, sample_weight),
                **settings,
            )
        # Only now, so that a failed fit leaves the last one unchanged.
        self._keep(model, history.history, X, inputs, learned)
        return self

    def initialize(self, X: Any, y: Any) -> Self:
        """Builds the model without training it, so that it can predict.

        For a model that was trained before: one given as an object keeps its weights,
        which `partial_fit`, or `fit` with `warm_start=True`, then start from. `fit`
        alone builds a new one.

        Args:
            X: Samples, as in `fit`.
            y: Targets, samples first, all classes among them.

        Returns:
            The estimator itself.
        """
        inputs, y, learned = self._checked(X, y, None, None)
        _features.check_same_length(inputs, y)
        with seeded(self.random_state):
            model = self._make_model(inputs, y, learned)
        self._encoded(y, learned, model, _features.output_width(model, inputs))
        builder = self._builder()
        if isinstance(builder, keras.Model) and builder.built:
            model.set_weights(builder.get_weights())
        self._keep(model, {}, X, inputs, learned)
        return self

    def _checked(self, X, y, model, announced):
        """Inputs, targets and what they teach, checked against a model that goes on."""
        _features.check_targets_are_there(self, y)
        inputs = _features.as_inputs(X)
        if model is not None:
            _features.check_names(self, X)
            _features.check_same_shapes(inputs, self.input_shape_)
        earlier = announced if model is None else self._learned()
        return inputs, *self._check_targets(y, earlier)

    def _keep(self, model, history, X, inputs, learned):
        self.model_, self.history_ = model, history
        self.input_shape_ = _features.row_shapes(inputs)
        _features.remember(self, X)
        for name, value in learned.items():
            setattr(self, name, value)

    def _learned(self) -> Mapping[str, Any] | None:
        """What targets must agree with, of what the last fit learned from its own."""
        return None

    def _encoded(self, y, learned, model, width):
        return _features.as_outputs(model, self._encode(y, learned, model, width))

    def _validation(self, validation, inputs, learned, encode):
        """`validation_data` with features and targets treated as those of the fit."""
        if not isinstance(validation, (tuple, list)) or len(validation) not in (2, 3):
            # A dataset is Keras's business: its targets are as the loss takes them.
            return validation
        X, y, *weights = validation
        X = _features.as_inputs(X)
        _features.check_same_shapes(X, _features.row_shapes(inputs))
        y, _ = self._check_targets(y, learned)
        _features.check_same_length(X, y, *weights)
        return (X, encode(y), *weights)

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
                "Metadata routing must be enabled. Received: "
                f"sample_weight={sample_weight!r}. Call "
                "sklearn.set_config(enable_metadata_routing=True) before."
            )
        request = self.get_metadata_routing()
        request.fit.add_request(param="sample_weight", alias=sample_weight)
        self._metadata_request = request
        return self

    @property
    def epoch_(self) -> int:
        """Number of epochs of the last fit, and of `partial_fit` since."""
        return len(next(iter(getattr(self, "history_", {}).values()), ()))

    @property
    def current_epoch(self) -> int:
        """The same as `epoch_`, under SciKeras's name."""
        return self.epoch_

    def _outputs(self, X: Any, kwargs: Mapping[str, Any] | None = None) -> Any:
        """The outputs of the fitted model; `kwargs` are arguments of its `predict`."""
        from sklearn.utils.validation import check_is_fitted

        check_is_fitted(self, "model_")
        inputs = _features.as_inputs(X)
        _features.check_names(self, X)
        _features.check_same_shapes(inputs, self.input_shape_)
        settings = {name: self._parameter(name) for name in ("batch_size", "verbose")}
        settings |= self._route("predict") | dict(kwargs or {})
        _features.use_all_samples(settings, inputs)
        outputs = self.model_.predict(x=inputs, **settings)
        return _features.single_output(outputs)

    def _weights(
        self, y: np.ndarray, learned: Mapping[str, Any], sample_weight: Any
    ) -> np.ndarray | None:
        return _features.sample_weights(sample_weight)

    def _check_targets(
        self, y: Any, earlier: Mapping[str, Any] | None
    ) -> tuple[np.ndarray, dict[str, Any]]:
        raise NotImplementedError

    def _encode(
        self, y: np.ndarray, learned: Mapping[str, Any], model: keras.Model, width: int
    ) -> np.ndarray:
        raise NotImplementedError

    def _default_loss(self, width: int) -> str:
        raise NotImplementedError
