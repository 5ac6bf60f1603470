"""Models within pickled estimators."""

import pathlib
import tempfile
from collections.abc import Callable, Mapping
from typing import Any

import keras

from keras_strategies._internal import keras_private, model_graph


class PickledModel:
    """Stands for a model in the state of an estimator while that is pickled.

    Keras pickles a model as a file, and finds in it again only what is registered. The
    classes and functions of the user go along here, by reference as in any pickle, so
    that an estimator with a layer or metric of one's own can be sent to a process, kept
    by joblib, and come back.

    Args:
        model: The model.
    """

    def __init__(self, model: keras.Model) -> None:
        self.model = model

    def __reduce__(self) -> tuple[Callable[..., Any], tuple[Any, ...]]:
        model = self.model
        build_optimizer(model)
        with tempfile.TemporaryDirectory(prefix="keras_strategies_") as folder:
            path = pathlib.Path(folder) / "model.keras"
            model.save(path)
            return unpickle_model, (path.read_bytes(), objects_of(model))


def build_optimizer(model: keras.Model) -> None:
    """Builds the optimizer of a model that has not trained, before it is copied.

    Keras builds that of the copy, and would find no state for it, with a warning.
    """
    if model.compiled and model.built and not model.optimizer.built:
        model.optimizer.build(model.trainable_variables)


class PickledPart:
    """Stands for a metric, loss or optimizer of a script among the parameters.

    Args:
        part: The object, whose class Keras would not find by its name.
    """

    def __init__(self, part: Any) -> None:
        self.part = part

    def __reduce__(self) -> tuple[Callable[..., Any], tuple[Any, ...]]:
        return type(self.part).from_config, (self.part.get_config(),)


def picklable(value: Any) -> Any:
    """Returns an attribute of an estimator as it is pickled, by what stands for it."""
    if isinstance(value, keras.Model):
        return PickledModel(value)
    if isinstance(value, (list, tuple)):
        return type(value)(picklable(item) for item in value)
    if isinstance(value, dict):
        return {name: picklable(item) for name, item in value.items()}
    return PickledPart(value) if is_part(value) else value


def is_part(value: Any) -> bool:
    """Whether a value is a metric, loss or optimizer with a class of a script."""
    kinds = keras.metrics.Metric, keras.losses.Loss, keras.optimizers.Optimizer
    return isinstance(value, kinds) and bool(model_graph.by_name([type(value)]))


def objects_in(values: Any) -> dict[str, Any]:
    """Returns what Keras does not find by name of models and parts in a structure."""
    objects: dict[str, Any] = {}
    for value in keras.tree.flatten(values):
        if isinstance(value, keras.Model):
            objects |= objects_of(value)
        elif is_part(value):
            objects |= model_graph.by_name([type(value)])
    return objects


def unpickle_model(content: bytes, objects: Mapping[str, Any]) -> keras.Model:
    """Returns the model in a `.keras` file, which names `objects`."""
    with tempfile.TemporaryDirectory(prefix="keras_strategies_") as folder:
        path = pathlib.Path(folder) / "model.keras"
        path.write_bytes(content)
        # A pickle runs any code as it is: lambdas in it are no further danger.
        with keras_private.trusting_object_scope(objects):
            return keras.saving.load_model(path, safe_mode=False)


def objects_of(model: keras.Model) -> dict[str, Any]:
    """Returns the classes and functions of a model that Keras does not find by name."""
    parts = model_graph.parts(model)
    objects = model_graph.by_name([type(part) for part in parts])
    objects |= model_graph.compile_objects(model)
    if model.compiled:
        arguments = keras_private.compile_arguments(model)
        metrics = arguments.get("metrics"), arguments.get("weighted_metrics")
        objects |= model_graph.by_name(
            [
                metric if hasattr(metric, "__name__") else type(metric)
                for metric in keras.tree.flatten(metrics)
            ]
        )
    for part in parts:
        # A model itself keeps the functions that Keras has made for its steps.
        if not isinstance(part, keras.Model):
            objects |= model_graph.own_objects(part)
    return {k: v for k, v in objects.items() if not _is_registered(v)}


def _is_registered(item: Any) -> bool:
    name = keras.saving.get_registered_name(item)
    return keras.saving.get_registered_object(name) is item
