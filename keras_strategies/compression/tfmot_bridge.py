"""Keras 3 models for TensorFlow Model Optimization itself, and back.

Everything TFMOT does is native in `keras_strategies.compression`, and
`keras_strategies.compat.tfmot` has its names. This bridge is for those who need
TFMOT's own code: it accepts models of tf_keras, the legacy Keras 2, only.
"""

import contextlib
import os
import warnings

import keras
import numpy as np

from keras_strategies._internal import checks
from keras_strategies._internal.model_graph import Rewriter, check_rebuildable
from keras_strategies.compression import _bridge_graph

_VARIABLE = "TF_USE_LEGACY_KERAS"


@contextlib.contextmanager
def _quarantine():
    """Keeps `tf.keras` what it is: TFMOT sets a variable that would change it."""
    import tensorflow as tf

    tf.keras.__version__  # noqa: B018  (loads it now, before the variable is set)
    kept = os.environ.get(_VARIABLE)
    try:
        yield
    finally:
        os.environ.pop(_VARIABLE, None)
        if kept is not None:
            os.environ[_VARIABLE] = kept


def import_tfmot():
    """Imports and returns `tensorflow_model_optimization` without side effects.

    Importing TFMOT sets `TF_USE_LEGACY_KERAS=1`, after which `tf.keras` becomes
    tf_keras, also in processes started later. Here `tf.keras` is loaded first and
    the variable restored.

    Example:

    ```python
    from keras_strategies.compression import import_tfmot

    tfmot = import_tfmot()
    print(tfmot.__version__)
    ```
    """
    with _quarantine(), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # it uses much that is deprecated
        import tensorflow_model_optimization as tfmot

        # Its parts are loaded on first use and set the variable then.
        tfmot.sparsity.keras.PruningPolicy  # noqa: B018
        tfmot.clustering.keras.CentroidInitialization  # noqa: B018
        tfmot.quantization.keras.QuantizeConfig  # noqa: B018
        return tfmot


def to_tf_keras(model, *, data=None, tolerance=1e-4):
    """Returns a tf_keras copy of a Keras 3 model, checked on data.

    Each layer is rebuilt from its configuration and takes over the weights; then
    both models are called on the same inputs and must agree. TFMOT's wrappers share
    layers with the model they are given, so convert afresh for each operation.

    Args:
        model: A Functional or Sequential Keras 3 model, nested ones included, of
            layers that tf_keras has too. Operations on tensors (`x * 2`) and custom
            layers are refused by name.
        data: Inputs to check on, in the form of `model.predict`. Defaults to
            `None`, 8 random ones.
        tolerance: Largest difference of the outputs as a fraction of their range,
            in (0, 1]. Defaults to 1e-4 (1e-2 under mixed precision).

    Returns:
        An uncompiled `tf_keras.Model`.

    Raises:
        ValueError: A layer or one of its settings does not exist in tf_keras, or
            the outputs differ.
        TypeError: `model` is no Keras 3 model of that kind.

    Example:

    ```python
    import keras
    from keras_strategies.compression import from_tf_keras, to_tf_keras

    model = keras.Sequential([keras.Input((4,)), keras.layers.Dense(3)])
    legacy = to_tf_keras(model)
    again = from_tf_keras(legacy)
    ```
    """
    checks.real("tolerance", tolerance, low=0, high=1, low_open=True)
    check_rebuildable(model)
    source, target = _sides()
    legacy = _translated(_Plain(model).rebuild(), source, target)
    _compare(model, legacy, model, data, tolerance)
    return legacy


def from_tf_keras(model, *, data=None, tolerance=1e-4):
    """Returns a Keras 3 copy of a tf_keras model, checked on data.

    The way back from TFMOT: strip its wrappers first (`strip_pruning`,
    `strip_clustering`), as they do not exist in Keras 3.

    Args:
        model: A Functional or Sequential `tf_keras.Model`.
        data: As for `to_tf_keras`. Defaults to `None`.
        tolerance: As for `to_tf_keras`. Defaults to 1e-4.

    Returns:
        An uncompiled `keras.Model`.

    Raises:
        ValueError: A layer or one of its settings does not exist in Keras 3, or
            the outputs differ.
        TypeError: `model` is no tf_keras model of that kind.

    Example:

    ```python
    import tf_keras
    from keras_strategies.compression import from_tf_keras

    legacy = tf_keras.Sequential([tf_keras.Input((4,)), tf_keras.layers.Dense(3)])
    model = from_tf_keras(legacy)
    ```
    """
    checks.real("tolerance", tolerance, low=0, high=1, low_open=True)
    with _quarantine():
        import tf_keras

    _check_kind(model, tf_keras, "tf_keras.Model")
    source, target = _sides()
    made = _translated(model, target, source)
    _compare(model, made, made, data, tolerance)
    return made


class _Plain(Rewriter):
    """Copies a model with plain classes in place of subclasses, which have no twin."""

    def kind(self, model):
        sequential = isinstance(model, keras.Sequential)
        return keras.Sequential if sequential else keras.Model


def _check_kind(model, namespace, wanted):
    fix = "Subclassed models have no graph to rebuild."
    if not isinstance(model, namespace.Model):
        rule = f"`model` must be a {wanted}"
        checks.fail(rule, error=TypeError, model=type(model).__module__)
    graph = isinstance(model, namespace.Sequential) or bool(
        getattr(model, "_is_graph_network", False)
        or type(model).__name__ == "Functional"
    )
    if not graph:
        rule = f"`model` must be a Functional or Sequential {wanted}"
        checks.fail(rule, fix=fix, error=TypeError, model=type(model).__name__)
    if not model.built:
        fix = "Give it an Input, or call it once."
        checks.fail("`model` must be built", fix=fix, model=model.name)


def _sides():
    with _quarantine():
        import tf_keras

    return tuple(
        _bridge_graph.Side(
            layers=space.layers,
            input=space.Input,
            model=space.Model,
            sequential=space.Sequential,
            keras_3=space is keras,
        )
        for space in (keras, tf_keras)
    )


def _translated(model, source, target):
    translation = _bridge_graph.Translation(source, target)
    kind = "Sequential" if isinstance(model, source.sequential) else "Functional"
    made = translation.model(kind, model.get_config())
    there = "Keras 3" if target.keras_3 else "tf_keras"
    if translation.unknown:
        raise ValueError(
            f"{there} has no counterpart of {', '.join(translation.unknown)}. Only "
            "built-in layers can cross; write operations on tensors as layers."
        )
    if translation.lost:
        raise ValueError(
            f"{there} does not have these settings: {'; '.join(translation.lost)}. "
            "Use their defaults, or keep the model on its side."
        )
    if not made.built:
        made.build(model.input_shape)
    _copy(model, made)
    return made


def _copy(source, target):
    """Sets the weights layer by layer: the two order a model's weights differently."""
    for theirs in target.layers:
        ours = source.get_layer(theirs.name)
        if hasattr(theirs, "layers"):
            _copy(ours, theirs)
            continue
        wanted = [tuple(weight.shape) for weight in theirs.weights]
        values = ours.get_weights()
        if [value.shape for value in values] != wanted:
            raise ValueError(
                f"The weights of '{theirs.name}' have other shapes on the other side: "
                f"{[value.shape for value in values]} and {wanted}."
            )
        theirs.set_weights(values)


def _compare(model, made, keras_3, data, tolerance):
    if data is None:
        data = _random(keras_3)
    before, after = (
        [np.asarray(value, "float32") for value in _flat(_call(one, data))]
        for one in (model, made)
    )
    if any(layer.dtype_policy.compute_dtype != "float32" for layer in keras_3.layers):
        tolerance = max(tolerance, 1e-2)
    for index, (first, second) in enumerate(zip(before, after, strict=True)):
        scale = max(float(np.ptp(first)), float(np.abs(first).max(initial=0)), 1e-6)
        worst = float(np.abs(first - second).max(initial=0)) / scale
        if not worst <= tolerance:
            raise ValueError(
                f"Output {index} differs by {worst:.2g} of its range after the "
                f"conversion, more than `tolerance`={tolerance:g}. The two libraries "
                "compute a layer of this model differently."
            )


def _call(model, data):
    outputs = model(data, training=False)
    if isinstance(model, keras.Model):
        return keras.tree.map_structure(keras.ops.convert_to_numpy, outputs)
    return outputs


def _flat(outputs):
    if isinstance(outputs, dict):
        return [outputs[key] for key in sorted(outputs)]
    return list(outputs) if isinstance(outputs, list | tuple) else [outputs]


def _random(model, count=8):
    rng = np.random.default_rng(0)
    sizes = [
        layer.input_dim
        for layer in model.layers
        if isinstance(layer, keras.layers.Embedding)
    ]
    made = []
    for tensor in model.inputs:
        shape = (tensor.shape[0] or count, *(size or 8 for size in tensor.shape[1:]))
        if np.dtype(keras.backend.standardize_dtype(tensor.dtype)).kind in "iu":
            made.append(rng.integers(0, min(sizes, default=2), shape).astype("int32"))
        else:
            made.append(rng.normal(size=shape).astype("float32"))
    return made[0] if len(made) == 1 else made
