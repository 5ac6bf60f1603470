"""What the two scikit-learn estimators share: flat parameters, building, fitting."""

import contextlib
import copy
import inspect
import random

import keras
import numpy as np

from keras_strategies._internal import checks, optional
from keras_strategies.tuning.hypermodels._compiling import (
    compile_like,
    make_optimizer,
    wants_logits,
)

# Prefixes of parameters that are not named in the constructor, and who gets them.
_ROUTES = ("model", "optimizer", "fit", "predict")
_COMPILED = ("optimizer", "loss", "metrics")


class Estimator:
    """Goes in front of a class of `keras.wrappers`; keeps its tags and its score."""

    def __init__(
        self,
        model=None,
        *,
        build_fn=None,
        optimizer=None,
        loss=None,
        metrics=None,
        batch_size=None,
        epochs=1,
        verbose=0,
        callbacks=None,
        validation_split=0.0,
        shuffle=True,
        warm_start=False,
        random_state=None,
        **kwargs,
    ):
        optional.require("sklearn", f"`tuning.{type(self).__name__}`")
        self.model = model
        self.build_fn = build_fn
        self.optimizer = optimizer
        self.loss = loss
        self.metrics = metrics
        self.batch_size = batch_size
        self.epochs = epochs
        self.verbose = verbose
        self.callbacks = callbacks
        self.validation_split = validation_split
        self.shuffle = shuffle
        self.warm_start = warm_start
        self.random_state = random_state
        builder = self._builder()
        for name in kwargs:
            self._check_name(name, builder)
        for name, value in kwargs.items():
            setattr(self, name, value)
        self._routed = tuple(kwargs)

    # Parameters

    def get_params(self, deep=True):
        names = [
            p.name
            for p in inspect.signature(type(self).__init__).parameters.values()
            if p.name != "self" and p.kind is not p.VAR_KEYWORD
        ]
        return {name: getattr(self, name) for name in (*names, *self._routed)}

    def set_params(self, **params):
        known = self.get_params()
        model = params.get("model", self.model)
        builder = model if model is not None else params.get("build_fn", self.build_fn)
        for name in params:
            if name not in known:
                self._check_name(name, builder)
        for name, value in params.items():
            setattr(self, name, value)
        new = [name for name in params if name not in known]
        self._routed = (*self._routed, *new)
        return self

    def __sklearn_clone__(self):
        # Keras's own clone forgets parameters; scikit-learn's does not.
        from sklearn.base import BaseEstimator

        return BaseEstimator.__sklearn_clone__(self)

    def _builder(self):
        builder = self.model if self.model is not None else self.build_fn
        if builder is None or isinstance(builder, type) or not callable(builder):
            checks.fail(
                "`model` must be a Keras model or a function that returns one",
                fix="Pass KerasClassifier(create_model) or KerasClassifier(model).",
                error=TypeError,
                model=builder,
            )
        return builder

    def _check_name(self, name, builder):
        route, _, rest = name.partition("__")
        if route in _ROUTES and rest:
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

    def _route(self, route):
        head = f"{route}__"
        return {
            name.removeprefix(head): self._plain(name)
            for name in self._routed
            if name.startswith(head)
        }

    def _plain(self, name):
        """A parameter; numbers that SciPy drew as Python's, which Keras asks for."""
        value = getattr(self, name)
        return value.item() if isinstance(value, np.generic) else value

    # Building

    def _make_model(self, X, y):
        builder = self._builder()
        if isinstance(builder, keras.Model):
            model, passed = keras.models.clone_model(builder), ()
        else:
            arguments = self._builder_arguments(builder, X, y)
            model, passed = builder(**arguments), arguments
        checks.instance(
            "model", model, keras.Model, fix="The function must return its model."
        )
        if not model.built:
            model.build((None, *X.shape[1:]))
        self._compile(model, passed, output_width(model, X))
        return model

    def _builder_arguments(self, builder, X, y):
        arguments = {
            name: value for name, value in (("X", X), ("y", y)) if _names(builder, name)
        }
        for name in ("loss", "metrics"):
            if getattr(self, name) is not None and _accepts(builder, name):
                arguments[name] = getattr(self, name)
        settings = self._route("optimizer")
        if _accepts(builder, "optimizer"):
            optimizer = self.optimizer
            if optimizer is None and settings:
                optimizer = _default(builder, "optimizer") or "rmsprop"
            if settings:
                optimizer = make_optimizer(optimizer, settings)
            if optimizer is not None:
                # A copy: an optimizer belongs to one model.
                given = isinstance(optimizer, keras.optimizers.Optimizer)
                arguments["optimizer"] = (
                    make_optimizer(optimizer) if given else optimizer
                )
        for name in self._routed:
            if "__" not in name:
                arguments[name] = self._plain(name)
        return arguments | self._route("model")

    def _compile(self, model, passed, width):
        wanted = {
            name: getattr(self, name)
            for name in _COMPILED
            if getattr(self, name) is not None and name not in passed
        }
        settings = {} if "optimizer" in passed else self._route("optimizer")
        if not model.compiled:
            optimizer = wanted.get("optimizer", "rmsprop")
            model.compile(
                optimizer=make_optimizer(optimizer, settings),
                loss=wanted.get("loss") or self._default_loss(width),
                metrics=copy.deepcopy(wanted.get("metrics")),
            )
        elif wanted or settings:
            optimizer = wanted.pop("optimizer", model.optimizer)
            compile_like(
                model, model, optimizer=make_optimizer(optimizer, settings), **wanted
            )

    # Fitting

    def fit(self, X, y, sample_weight=None, **kwargs):
        """Builds the model anew and fits it.

        Args:
            X: Array of any number of axes, samples first.
            y: Targets, samples first.
            sample_weight: One weight a sample, or `None`.
            **kwargs: Further arguments of `model.fit`, over those of the constructor.

        Returns:
            The estimator itself.
        """
        X = self._check_features(X)
        y, learned = self._check_targets(y)
        self._check_same_length(X, y, sample_weight)
        settings = {
            name: self._plain(name)
            for name in ("batch_size", "epochs", "verbose", "callbacks")
        }
        settings |= {
            "validation_split": self._plain("validation_split"),
            "shuffle": self.shuffle,
        }
        settings |= self._route("fit") | kwargs
        # A callback keeps what it learned; each fit begins with fresh ones.
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
        # Only now, so that a fit that failed leaves the last one as it was.
        self.model_, self.history_ = model, history.history
        self.n_features_in_, self.input_shape_ = X.shape[1], X.shape[1:]
        for name, value in learned.items():
            setattr(self, name, value)
        return self

    def set_fit_request(self, *, sample_weight=True):
        """Says whether `fit` wants the `sample_weight` of a search or a pipeline.

        Args:
            sample_weight: `True`, `False`, `None` or an alias, as scikit-learn's
                metadata routing defines them; routing must be enabled.

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
    def epoch_(self):
        """Epochs of the last fit."""
        return len(next(iter(getattr(self, "history_", {}).values()), ()))

    def _outputs(self, X):
        from sklearn.utils.validation import check_is_fitted

        check_is_fitted(self, "model_")
        X = self._check_features(X)
        if X.shape[1:] != self.input_shape_:
            checks.fail(
                f"`X` must have samples of shape {self.input_shape_}, as in `fit`",
                shape=X.shape,
            )
        settings = {name: self._plain(name) for name in ("batch_size", "verbose")}
        return self.model_.predict(X, **settings | self._route("predict"))

    def _check_features(self, X):
        from sklearn.utils import check_array

        return check_array(X, allow_nd=True)

    def _check_same_length(self, X, y, sample_weight):
        from sklearn.utils import check_consistent_length

        check_consistent_length(X, y, sample_weight)

    def _weights(self, y, learned, sample_weight):
        return None if sample_weight is None else np.asarray(sample_weight, "float32")


def output_width(model, X):
    """Size of the last axis of a model's output."""
    return model.compute_output_shape((None, *X.shape[1:]))[-1]


def _accepts(builder, name):
    """Whether a function takes an argument of this name."""
    parameters = inspect.signature(builder).parameters
    takes_all = any(p.kind is p.VAR_KEYWORD for p in parameters.values())
    return name in parameters or takes_all


def _names(builder, name):
    return name in inspect.signature(builder).parameters


def _default(builder, name):
    parameter = inspect.signature(builder).parameters.get(name)
    if parameter is None or parameter.default is parameter.empty:
        return None
    return parameter.default


@contextlib.contextmanager
def _seeded(random_state):
    """Seeds Keras, and gives Python's and NumPy's generators their state back."""
    if random_state is None:
        yield
        return
    from sklearn.utils import check_random_state

    seed = random_state
    if not isinstance(random_state, int):
        seed = int(check_random_state(random_state).randint(2**31 - 1))
    before = random.getstate(), np.random.get_state()
    keras.utils.set_random_seed(seed)
    try:
        yield
    finally:
        random.setstate(before[0])
        np.random.set_state(before[1])


def probabilities(outputs, model):
    """Class probabilities from the outputs of a classifier, one column a class."""
    outputs = np.asarray(outputs)
    logits = wants_logits(model)
    if outputs.shape[-1] == 1:
        if logits:
            outputs = keras.ops.convert_to_numpy(keras.ops.sigmoid(outputs))
        return np.concatenate([1 - outputs, outputs], axis=-1)
    if logits:
        outputs = keras.ops.convert_to_numpy(keras.ops.softmax(outputs))
    return outputs
