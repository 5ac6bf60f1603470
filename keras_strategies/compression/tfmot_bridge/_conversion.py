"""`to_tf_keras` and `from_tf_keras`: models for TFMOT itself, and back.

Everything TFMOT does is native in `keras_strategies.compression`, and
`keras_strategies.compat.tfmot` has its names. This bridge is for those who need
TFMOT's own code: it accepts models of tf_keras, the legacy Keras 2, only.
"""

from typing import TYPE_CHECKING, Any

import keras
import numpy as np

from keras_strategies._internal import checks
from keras_strategies._internal.model_graph import Rewriter, check_rebuildable
from keras_strategies.compression.tfmot_bridge import _graph_translation
from keras_strategies.compression.tfmot_bridge._import_tfmot import quarantine

if TYPE_CHECKING:
    import tf_keras

# Largest relative difference of the outputs under mixed precision.
_HALF_TOLERANCE = 1e-2


def to_tf_keras(
    model: keras.Model, *, data: Any = None, tolerance: float = 1e-4
) -> "tf_keras.Model":
    """Returns a tf_keras copy of a Keras 3 model, checked on data.

    Each layer is rebuilt from its configuration and gets the same weights; then
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
        ValueError: If a layer or one of its settings does not exist in tf_keras, or
            the outputs differ.
        TypeError: If `model` is no Keras 3 model of that kind.

    Example:

    ```python
    import keras
    from keras_strategies.compression import from_tf_keras, to_tf_keras

    model = keras.Sequential([keras.Input((4,)), keras.layers.Dense(3)])
    legacy = to_tf_keras(model)
    model = from_tf_keras(legacy)
    ```
    """
    checks.real("tolerance", tolerance, low=0, high=1, low_open=True)
    check_rebuildable(model)
    source, target = _sides()
    legacy = _translated(_PlainCopy(model).rebuild(), source, target)
    _compare(model, legacy, model, data, tolerance)
    return legacy


def from_tf_keras(
    model: "tf_keras.Model", *, data: Any = None, tolerance: float = 1e-4
) -> keras.Model:
    """Returns a Keras 3 copy of a tf_keras model, checked on data.

    Use it after TFMOT. Strip its wrappers first (`strip_pruning`,
    `strip_clustering`), as they do not exist in Keras 3.

    Args:
        model: A Functional or Sequential `tf_keras.Model`.
        data: As for `to_tf_keras`. Defaults to `None`.
        tolerance: As for `to_tf_keras`. Defaults to 1e-4.

    Returns:
        An uncompiled `keras.Model`.

    Raises:
        ValueError: If a layer or one of its settings does not exist in Keras 3, or
            the outputs differ.
        TypeError: If `model` is no tf_keras model of that kind.

    Example:

    ```python
    import tf_keras
    from keras_strategies.compression import from_tf_keras

    legacy = tf_keras.Sequential([tf_keras.Input((4,)), tf_keras.layers.Dense(3)])
    model = from_tf_keras(legacy)
    ```
    """
    checks.real("tolerance", tolerance, low=0, high=1, low_open=True)
    with quarantine():
        import tf_keras

    _check_kind(model, tf_keras, "tf_keras.Model")
    source, target = _sides()
    copy = _translated(model, target, source)
    _compare(model, copy, copy, data, tolerance)
    return copy


class _PlainCopy(Rewriter):
    """Copies a model with the classes of Keras in place of subclasses of these."""

    def kind(self, model: keras.Model) -> type:
        is_sequential = isinstance(model, keras.Sequential)
        return keras.Sequential if is_sequential else keras.Model


def _check_kind(model, namespace, description):
    fix = "Subclassed models have no graph to rebuild."
    if not isinstance(model, namespace.Model):
        rule = f"`model` must be a {description}"
        checks.fail(rule, error=TypeError, model=type(model).__module__)
    # tf_keras has no public test for this.
    has_graph = isinstance(model, namespace.Sequential) or bool(
        getattr(model, "_is_graph_network", False)
        or type(model).__name__ == "Functional"
    )
    if not has_graph:
        rule = f"`model` must be a Functional or Sequential {description}"
        checks.fail(rule, fix=fix, error=TypeError, model=type(model).__name__)
    if not model.built:
        fix = "Give it an Input, or call it once."
        checks.fail("`model` must be built", fix=fix, model=model.name)


def _sides():
    """The `Side`s of Keras 3 and of tf_keras."""
    with quarantine():
        import tf_keras

    return tuple(
        _graph_translation.Side(
            layers=space.layers,
            input=space.Input,
            model=space.Model,
            sequential=space.Sequential,
            keras_3=space is keras,
        )
        for space in (keras, tf_keras)
    )


def _translated(model, source, target):
    translation = _graph_translation.Translation(source, target)
    kind = "Sequential" if isinstance(model, source.sequential) else "Functional"
    copy = translation.model(kind, model.get_config())
    library = "Keras 3" if target.keras_3 else "tf_keras"
    if translation.unknown:
        raise ValueError(
            f"{library} has no counterpart of {', '.join(translation.unknown)}. Only "
            "built-in layers can cross; write operations on tensors as layers."
        )
    if translation.lost:
        raise ValueError(
            f"{library} does not have these settings: {'; '.join(translation.lost)}. "
            "Use their defaults, or keep the model on its side."
        )
    if not copy.built:
        copy.build(model.input_shape)
    _copy_weights(model, copy)
    return copy


def _copy_weights(source, target):
    """Sets the weights layer by layer: the two order a model's weights differently."""
    for new in target.layers:
        old = source.get_layer(new.name)
        # A nested model, whose layers are in another order too.
        if hasattr(new, "layers"):
            _copy_weights(old, new)
            continue
        shapes = [tuple(weight.shape) for weight in new.weights]
        values = old.get_weights()
        if [value.shape for value in values] != shapes:
            raise ValueError(
                f"The weights of '{new.name}' have other shapes on the other side: "
                f"{[value.shape for value in values]} and {shapes}."
            )
        new.set_weights(values)


def _compare(model, copy, keras_3, data, tolerance):
    """Refuses a copy whose outputs differ from those of the model.

    Some settings mean something else in the other library: only numbers show it.
    """
    if data is None:
        data = _random_inputs(keras_3)
    before, after = (
        [np.asarray(value, "float32") for value in _flat(_call(side, data))]
        for side in (model, copy)
    )
    if any(layer.dtype_policy.compute_dtype != "float32" for layer in keras_3.layers):
        tolerance = max(tolerance, _HALF_TOLERANCE)
    for index, (expected, output) in enumerate(zip(before, after, strict=True)):
        largest = float(np.abs(expected).max(initial=0))
        scale = max(float(np.ptp(expected)), largest, 1e-6)
        error = float(np.abs(expected - output).max(initial=0)) / scale
        if not error <= tolerance:
            raise ValueError(
                f"Output {index} differs by {error:.2g} of its range after the "
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


def _random_inputs(model, count=8):
    """Inputs of the shapes and dtypes of a model, in its structure of inputs."""
    rng = np.random.default_rng(0)
    sizes = [
        layer.input_dim
        for layer in model.layers
        if isinstance(layer, keras.layers.Embedding)
    ]
    inputs = []
    for tensor in model.inputs:
        shape = (tensor.shape[0] or count, *(size or 8 for size in tensor.shape[1:]))
        if np.dtype(keras.backend.standardize_dtype(tensor.dtype)).kind in "iu":
            # Integers are indices: they must be valid in every Embedding.
            indices = rng.integers(0, min(sizes, default=2), shape)
            inputs.append(indices.astype("int32"))
        else:
            inputs.append(rng.normal(size=shape).astype("float32"))
    return inputs[0] if len(inputs) == 1 else inputs
