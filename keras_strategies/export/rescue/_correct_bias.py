"""`correct_bias`: the mean error of rounded weights, taken out of the biases."""

from math import erf as _erf
from typing import Any, Literal

import keras
import numpy as np

from keras_strategies._internal import checks
from keras_strategies._internal.model_graph import Call
from keras_strategies.export.rescue import _kernels, _layer_data
from keras_strategies.export.rescue._flat_copy import FlatCopy, weighted_layers

_LAYERS = keras.layers


def correct_bias(
    model: keras.Model,
    data: Any = None,
    *,
    bits: int = 8,
    per_channel: bool = True,
    method: Literal["empirical", "analytic"] = "empirical",
) -> keras.Model:
    """Returns a copy of a model whose biases make up for the rounding of its weights.

    Use it last before export (and after `adaround`): rounding errors of weights do not
    have the mean 0 in an output channel of few weights, so that the mean of its values
    moves, and of all behind it. With the rounding error `e = Q(w) - w`,

        b := b - E[e x]

    `method="empirical"` takes the expectation over `data`, layer by layer, with the
    layers before rounded and corrected already: errors made earlier are corrected too.
    `method="analytic"` needs no data: `x` is then what relu makes of a normal
    distribution with the mean `beta` and the deviation `|gamma|` of the
    BatchNormalization before (folded here), and only layers behind such a one are
    corrected. The float model without rounding is no longer what it was: export it
    with the same `bits` and `per_channel`.

    Reference: Nagel et al., "Data-free quantization through weight equalization and
    bias correction" (2019), section 4.2, https://arxiv.org/abs/1906.04721.

    Args:
        model: A built Functional or Sequential `keras.Model`. It is not changed.
        data: Inputs as in use, some hundred: an array, or a list or dict of arrays.
            Defaults to `None`, for `method="analytic"` only.
        bits: Bits of the weights, from 2 to 8. Defaults to 8.
        per_channel: Whether output channels have ranges of their own. Defaults to
            `True`.
        method: `"empirical"` or `"analytic"`. Defaults to `"empirical"`.

    Returns:
        A new, uncompiled `keras.Model`, with the changes of `fold_batch_norm`.

    Raises:
        TypeError: If `model` is no Keras model.
        ValueError: If an argument is out of its range, `data` is missing or does not
            fit, or the model cannot be rebuilt.

    Example:

    ```python
    import keras
    import numpy as np
    from keras_strategies import export

    model = keras.Sequential([
        keras.Input((8,)),
        keras.layers.Dense(4, activation="relu"),
        keras.layers.Dense(2),
    ])
    model = export.correct_bias(model, np.random.rand(64, 8))
    ```
    """
    checks.instance("model", model, keras.Model)
    checks.choice("method", method, ("empirical", "analytic"))
    bits = checks.integer("bits", bits, low=2, high=8)
    checks.boolean("per_channel", per_channel)
    flat = FlatCopy(model)
    copy = flat.build()
    if method == "analytic":
        _correct_by_statistics(flat, bits, per_channel)
        return copy
    if data is None:
        checks.fail(
            "`data` must be given for the method 'empirical'",
            fix='Some hundred inputs, or `method="analytic"`.',
            data=None,
        )
    _layer_data.check_data(model, data)
    _correct_by_data(copy, data, bits, per_channel)
    return copy


def _correct_by_data(model, data, bits, per_channel):
    """Corrects `model`, whose other weights are as they were afterwards."""
    layers = weighted_layers(model)
    kernels = [_kernels.kernel_of(layer) for layer in layers]
    # All means of the float model, before anything is rounded.
    expected = [
        _mean(layer, _layer_data.inputs_of(model, layer, data)) for layer in layers
    ]
    for layer, kernel, right in zip(layers, kernels, expected, strict=True):
        inputs = _layer_data.inputs_of(model, layer, data)
        _kernels.assign(layer, _kernels.rounded(layer, kernel, bits, per_channel))
        error = _mean(layer, inputs) - right
        bias = _kernels.bias_of(layer) - error
        _kernels.assign(layer, _kernels.kernel_of(layer), bias)
    for layer, kernel in zip(layers, kernels, strict=True):
        _kernels.assign(layer, kernel)


def _mean(layer, inputs):
    values = _layer_data.pre_activations(layer, inputs)
    return values.reshape(-1, values.shape[-1]).mean(axis=0, dtype="float64")


def _correct_by_statistics(flat: FlatCopy, bits: int, per_channel: bool) -> None:
    for call in flat.calls:
        layer = call.operation
        if not _kernels.is_weighted(layer) or flat.counts[id(layer)] > 1:
            continue
        mean = _input_mean(flat, call)
        if mean is None:
            continue
        copy = flat.copies[id(layer)][1]
        kernel = _kernels.kernel_of(copy)
        error = _kernels.rounded(copy, kernel, bits, per_channel) - kernel
        shift = _kernels.scale_inputs(copy, error, mean)
        if isinstance(copy, _kernels.DEPTHWISE):
            moved = shift.sum(axis=tuple(range(shift.ndim - 2))).reshape(-1)
        else:
            moved = _kernels.by_output(copy, shift).sum(axis=0)
        _kernels.assign(copy, kernel, _kernels.bias_of(copy) - moved)


def _input_mean(flat: FlatCopy, call: Call) -> np.ndarray | None:
    """The mean of each input channel by the BatchNormalization before, or `None`."""
    [tensor] = call.inputs
    producer, rectified = tensor.producer, False
    while producer is not None and _is_relu(producer.operation):
        [tensor] = producer.inputs
        producer, rectified = tensor.producer, True
    norm = producer.operation if producer is not None else None
    if type(norm) is not _LAYERS.BatchNormalization:
        return None
    folded = any(other is producer for other in flat.folds.values())
    channels = call.operation.kernel.shape[-2]
    if (
        not folded
        or not norm.scale
        or not norm.center
        or norm.gamma.shape[0] != channels
    ):
        return None
    beta = keras.ops.convert_to_numpy(norm.beta).astype("float64")
    gamma = np.abs(keras.ops.convert_to_numpy(norm.gamma)).astype("float64")
    return clipped_normal_mean(beta, gamma) if rectified else beta


def clipped_normal_mean(mean: np.ndarray, deviation: np.ndarray) -> np.ndarray:
    """`E[max(0, x)]` of a normal distribution: `s phi(m / s) + m Phi(m / s)`."""
    safe = np.maximum(deviation, 1e-12)
    ratio = mean / safe
    density = np.exp(-0.5 * ratio**2) / np.sqrt(2 * np.pi)
    # Phi by erf, which NumPy lacks.
    share = 0.5 * (1 + np.vectorize(_erf, otypes=[float])(ratio / np.sqrt(2)))
    return safe * density + mean * share


def _is_relu(layer):
    if isinstance(layer, _LAYERS.ReLU):
        return layer.max_value is None and not layer.negative_slope
    return (
        isinstance(layer, _LAYERS.Activation)
        and layer.activation is keras.activations.relu
    )
