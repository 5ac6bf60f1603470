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
        if model.compiled and model.built and not model.optimizer.built:
            # Keras builds it when it loads, and would find no state in the file.
            model.optimizer.build(model.trainable_variables)
        with tempfile.TemporaryDirectory(prefix="keras_strategies_") as folder:
            path = pathlib.Path(folder) / "model.keras"
            model.save(path)
            return unpickle_model, (path.read_bytes(), objects_of(model))


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
