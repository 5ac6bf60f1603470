"""`smooth_activations`: large activations scaled into the weights behind them."""

from typing import Any

import keras
import numpy as np

from keras_strategies._internal import checks
from keras_strategies._internal.model_graph import read
from keras_strategies.export.rescue import _kernels, _layer_data
from keras_strategies.export.rescue._equalize import move_scale
from keras_strategies.export.rescue._flat_copy import flat_copy, weighted_layers
from keras_strategies.export.rescue._links import find_links

_LAYERS = keras.layers
_LEAST_SCALE = 1e-5


def smooth_activations(
    model: keras.Model, data: Any, *, alpha: float = 0.5
) -> keras.Model:
    """Returns a copy of a model whose activations have no channels of outliers.

    Use it for transformers: a few channels behind LayerNormalization are often a
    hundred times larger than the others, which then round to nothing in a common
    range. Input channel `j` of the layers behind is scaled by

        s_j = max |x_j|^alpha / max |w_j|^(1 - alpha)

    the activations divided, the weights multiplied. The division costs nothing: it goes
    into gamma and beta of the LayerNormalization before, or into the layer before where
    only relu, pooling or Flatten lie between. The function of the model is the same.

    Reference: Xiao et al., "SmoothQuant: accurate and efficient post-training
    quantization for large language models" (2023), https://arxiv.org/abs/2211.10438.

    Args:
        model: A built Functional or Sequential `keras.Model`. It is not changed.
        data: Inputs as in use, some hundred: an array, or a list or dict of arrays.
        alpha: How much of the difficulty moves from activations to weights, in [0, 1].
            Defaults to 0.5.

    Returns:
        A new, uncompiled `keras.Model`, with the changes of `fold_batch_norm`.

    Raises:
        TypeError: If `model` is no Keras model.
        ValueError: If an argument is out of its range, `data` does not fit, the model
            cannot be rebuilt, or has nothing that can be scaled.

    Example:

    ```python
    import keras
    import numpy as np
    from keras_strategies import export

    inputs = keras.Input((4, 8))
    x = keras.layers.LayerNormalization()(inputs)
    model = keras.Model(inputs, keras.layers.Dense(8)(x))
    model = export.smooth_activations(model, np.random.rand(64, 4, 8))
    ```
    """
    checks.instance("model", model, keras.Model)
    checks.real("alpha", alpha, low=0, high=1)
    _layer_data.check_data(model, data)
    copy = flat_copy(model)
    norms = _norms(copy)
    links = find_links(copy)
    if not norms and not links:
        checks.fail(
            "`model` must have Dense or attention behind LayerNormalization, or two "
            "layers with only relu, pooling, padding or Flatten between them",
            layers=[layer.name for layer in copy.layers],
        )
    for norm, kernels in norms:
        _smooth_norm(copy, norm, kernels, data, alpha)
    for link in links:
        inputs = _layer_data.inputs_of(copy, link.second, data)
        inputs = _layer_data.channels_last(link.second, inputs)
        largest = np.abs(inputs.reshape(-1, inputs.shape[-1])).max(axis=0)
        largest = largest.reshape(-1, _kernels.num_outputs(link.first)).max(axis=0)
        ranges = link.second_ranges(_kernels.kernel_of(link.second))
        move_scale(link, smoothing_factors(largest, ranges, alpha))
    return copy


def smoothing_factors(
    activations: np.ndarray, weights: np.ndarray, alpha: float
) -> np.ndarray:
    """`max |x|^alpha / max |w|^(1 - alpha)` of each channel; 1 where either is 0."""
    both = (activations > 0) & (weights > 0)
    x, w = np.where(both, activations, 1.0), np.where(both, weights, 1.0)
    return np.where(both, np.maximum(x**alpha / w ** (1 - alpha), _LEAST_SCALE), 1.0)


def _norms(model: keras.Model) -> list[tuple[Any, list[keras.Variable]]]:
    """`(LayerNormalization, kernels of all that takes its output)`."""
    weighted = {id(layer) for layer in weighted_layers(model)}
    calls = [call for call in read(model).calls if not call.is_entry]
    rows = []
    for call in calls:
        norm = call.operation
        is_norm = type(norm) is _LAYERS.LayerNormalization and norm.scale
        if not is_norm or not _is_last_axis(norm, call.outputs[0]):
            continue
        if sum(other.operation is norm for other in calls) > 1:
            continue
        [output] = call.outputs
        found = [
            _kernels_on(consumer, output, weighted) for consumer in output.consumers
        ]
        if found and not output.is_output and all(found):
            rows.append((norm, [kernel for part in found for kernel in part]))
    return rows


def _is_last_axis(norm, tensor):
    axes = [norm.axis] if isinstance(norm.axis, int) else list(norm.axis)
    return [axis % len(tensor.shape) for axis in axes] == [len(tensor.shape) - 1]


def _kernels_on(call, tensor, weighted):
    """The kernels that a call multiplies a tensor with, inputs in the first axis."""
    layer = call.operation
    if isinstance(layer, _LAYERS.Dense) and id(layer) in weighted:
        return [layer.kernel]
    if type(layer) is _LAYERS.MultiHeadAttention:
        # Keys and values default to the same tensor as each other.
        taken = {**dict(zip(("query", "value", "key"), call.args, strict=False))}
        taken |= {
            k: v for k, v in call.kwargs.items() if k in ("query", "value", "key")
        }
        taken.setdefault("key", taken.get("value"))
        parts = {
            "query": layer.query_dense,
            "key": layer.key_dense,
            "value": layer.value_dense,
        }
        return [parts[name].kernel for name, value in taken.items() if value is tensor]
    return []


def _smooth_norm(model, norm, kernels, data, alpha):
    values = keras.Model(model.inputs, norm.output).predict(
        data, batch_size=128, verbose=0
    )
    largest = np.abs(values.reshape(-1, values.shape[-1])).max(axis=0)
    arrays = [np.array(keras.ops.convert_to_numpy(k), "float64") for k in kernels]
    ranges = np.max([np.abs(a).reshape(len(a), -1).max(axis=1) for a in arrays], axis=0)
    factor = smoothing_factors(largest, ranges, alpha)
    for name in ("gamma", "beta"):
        variable = getattr(norm, name, None)
        if variable is not None:
            value = np.array(keras.ops.convert_to_numpy(variable), "float64")
            variable.assign((value / factor).astype("float32"))
    for kernel, array in zip(kernels, arrays, strict=True):
        shape = (-1, *([1] * (array.ndim - 1)))
        kernel.assign((array * factor.reshape(shape)).astype("float32"))
