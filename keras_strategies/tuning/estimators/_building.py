"""Building and compiling the model of an estimator from its parameters."""

from collections.abc import Callable, Collection, Mapping
from typing import Any

import keras

from keras_strategies._internal import (
    checks,
    keras_private,
    model_graph,
    signatures,
)
from keras_strategies.tuning.estimators import _features, _routes
from keras_strategies.tuning.estimators._metadata import describe
from keras_strategies.tuning.estimators._pickling import objects_of
from keras_strategies.tuning.hypermodels._compiling import make_optimizer


class Building:
    """The part of an estimator that makes its model."""

    optimizer: Any
    loss: Any
    metrics: Any
    run_eagerly: bool
    _routed: tuple[str, ...]

    def get_params(self, deep: bool = True) -> dict[str, Any]:
        raise NotImplementedError

    def _builder(self) -> Any:
        raise NotImplementedError

    def _route(self, route: str) -> dict[str, Any]:
        raise NotImplementedError

    def _parameter(self, name: str) -> Any:
        raise NotImplementedError

    def _default_loss(self, width: int) -> str:
        raise NotImplementedError

    def _make_model(
        self, X: _features.Inputs, y: Any, learned: Mapping[str, Any]
    ) -> keras.Model:
        builder = self._builder()
        passed: Collection[str] = ()
        if isinstance(builder, keras.Model):
            with keras_private.trusting_object_scope(objects_of(builder)):
                model = keras.models.clone_model(builder)
        else:
            arguments = self._builder_arguments(builder, X, y, learned)
            model = builder(**arguments)
            passed = self._passed(model, arguments)
        checks.instance(
            "model", model, keras.Model, fix="The function must return its model."
        )
        if not model.built:
            _features.build(model, X)
        self._compile(model, passed, _features.output_width(model, X))
        return model

    def _builder_arguments(
        self,
        builder: Callable[..., Any],
        X: _features.Inputs,
        y: Any,
        learned: Mapping[str, Any],
    ) -> dict[str, Any]:
        """What the building function gets of the parameters and the data."""
        makers: dict[str, Callable[[], Any]] = {
            "X": lambda: X,
            "y": lambda: y,
            # Arguments of functions that were written for SciKeras.
            "meta": lambda: describe(X, y, learned),
            "compile_kwargs": self._compile_kwargs,
            "params": self.get_params,
        }
        arguments = {
            name: make()
            for name, make in makers.items()
            if signatures.has_parameter(builder, name)
            and (name in "Xy" or signatures.default_of(builder, name) is None)
        }
        for name in ("loss", "metrics"):
            if getattr(self, name) is not None and signatures.accepts(builder, name):
                arguments[name] = getattr(self, name)
        settings = self._route("optimizer")
        if signatures.accepts(builder, "optimizer"):
            optimizer = self.optimizer
            if optimizer is None and settings:
                optimizer = signatures.default_of(builder, "optimizer") or "rmsprop"
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

    def _compile_kwargs(self) -> dict[str, Any]:
        """Arguments of `compile` from the parameters, for a function that compiles."""
        settings = self._route("optimizer")
        return {
            "optimizer": make_optimizer(self.optimizer or "rmsprop", settings),
            "loss": _routes.make_loss(self.loss, self._route("loss")),
            "metrics": _routes.make_metrics(self.metrics, self._route("metrics")),
            **self._compile_arguments(),
        }

    def _compile_arguments(self) -> dict[str, Any]:
        """Arguments of `compile` beyond optimizer, loss and metrics."""
        eager = {"run_eagerly": True} if self.run_eagerly else {}
        return eager | self._route("compile")

    def _passed(self, model: Any, arguments: Mapping[str, Any]) -> set[str]:
        """What the building function has got and need not be set afterwards."""
        passed = set(arguments)
        kwargs = arguments.get("compile_kwargs")
        if kwargs is None or not getattr(model, "compiled", False):
            return passed
        optimizer = getattr(model.optimizer, "inner_optimizer", model.optimizer)
        if optimizer is not kwargs["optimizer"]:
            return passed  # it compiles in its own way
        passed |= {"optimizer", "metrics", "compile"}
        # The loss may have been none, for the function to fill in, or replaced.
        if self.loss is None or model.loss is kwargs["loss"]:
            passed.add("loss")
        return passed

    def _compile(self, model: keras.Model, passed: Collection[str], width: int) -> None:
        """Compiles with the parameters that the building function has not got."""
        parameters = {
            name: getattr(self, name)
            for name in ("optimizer", "loss", "metrics")
            if getattr(self, name) is not None and name not in passed
        }
        # A function that took the optimizer has got it with its settings.
        settings = {} if "optimizer" in passed else self._route("optimizer")
        for_loss = {} if "loss" in passed else self._route("loss")
        loss = parameters.get("loss") or (model.loss if model.compiled else None)
        if for_loss or "loss" in parameters or isinstance(loss, type):
            loss = loss or self._default_loss(width)
            parameters["loss"] = _routes.make_loss(loss, for_loss)
        if "metrics" not in passed:
            for_metrics = self._route("metrics")
            metrics = _routes.make_metrics(parameters.get("metrics"), for_metrics)
            parameters |= {} if metrics is None else {"metrics": metrics}
        if "compile" not in passed:
            parameters |= self._compile_arguments()
        if not model.compiled:
            optimizer = parameters.pop("optimizer", "rmsprop")
            loss = parameters.pop("loss", None) or self._default_loss(width)
            model.compile(make_optimizer(optimizer, settings), loss, **parameters)
        elif parameters or settings:
            optimizer = parameters.pop("optimizer", model.optimizer)
            optimizer = make_optimizer(optimizer, settings)
            model_graph.compile_like(model, model, optimizer=optimizer, **parameters)
