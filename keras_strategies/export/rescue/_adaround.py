"""`adaround`: weights rounded up or down as the outputs of their layer want it."""

from typing import Any

import keras
import numpy as np

from keras_strategies._internal import checks
from keras_strategies.export.rescue import _kernels, _layer_data
from keras_strategies.export.rescue._flat_copy import flat_copy, weighted_layers

# The stretched sigmoid, so that 0 and 1 are reached, and the schedule of the paper.
_LOW, _HIGH = -0.1, 1.1
_WEIGHT, _BETA_START, _BETA_END = 0.01, 20.0, 2.0
_WARM_UP = 0.2
_LEARNING_RATE = 0.01
# Most passes over all weights at the end.
_MOST_SWEEPS = 20
# Most rows of patches of a layer that its second moments are computed from.
_MOST_ROWS = 20_000


def adaround(
    model: keras.Model,
    data: Any,
    *,
    bits: int = 8,
    per_channel: bool = True,
    iterations: int = 1000,
    seed: int = 0,
) -> keras.Model:
    """Returns a copy of a model whose weights are rounded as its outputs want it.

    Use it where rounding to the nearest value costs accuracy: at 4 bits, or at 8 with
    one range for a kernel. Rounding every weight to the nearest value minimizes the
    error of the weights, not of the outputs: errors of weights whose inputs go together
    should cancel. Layer by layer, whether a weight goes up or down is learned:

        W(V) = s (floor(W / s) + h(V)),   h(V) = clip(1.2 sigmoid(V) - 0.1, 0, 1)
        min  |W(V) x - W x|^2 + 0.01 sum (1 - |2 h(V) - 1|^beta)

    where `x` on the left comes from the layers that were rounded before, and `beta`
    falls from 20 to 2, so that `h` ends at 0 or 1; then single weights move as long as
    the loss falls. No labels are needed. The loss is a
    quadratic function of the second moments of the patches, which is what is
    minimized here; this takes seconds for layers of some hundred inputs.

    The kernels of the result are exact multiples of the distances that the converter
    chooses for the same `bits` and `per_channel`: it rounds nothing any more.

    Reference: Nagel et al., "Up or down? Adaptive rounding for post-training
    quantization" (2020), https://arxiv.org/abs/2004.10568.

    Args:
        model: A built Functional or Sequential `keras.Model`. It is not changed.
        data: Inputs as in use, some hundred: an array, or a list or dict of arrays.
        bits: Bits of the weights, from 2 to 8. Defaults to 8.
        per_channel: Whether output channels have ranges of their own. Defaults to
            `True`.
        iterations: Steps of the optimization of each layer, at least 1. Defaults to
            1000.
        seed: Seed of the choice of patches, where there are more than 20,000.
            Defaults to 0.

    Returns:
        A new, uncompiled `keras.Model`, with the changes of `fold_batch_norm`.

    Raises:
        TypeError: If `model` is no Keras model.
        ValueError: If an argument is out of its range, `data` does not fit, or the
            model cannot be rebuilt.

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
    model = export.adaround(model, np.random.rand(64, 8), bits=4, iterations=50)
    ```
    """
    checks.instance("model", model, keras.Model)
    bits = checks.integer("bits", bits, low=2, high=8)
    checks.boolean("per_channel", per_channel)
    checks.integer("iterations", iterations, low=1)
    rng = np.random.default_rng(checks.integer("seed", seed, low=0))
    _layer_data.check_data(model, data)
    reference, copy = flat_copy(model), flat_copy(model)
    for old, new in zip(weighted_layers(reference), weighted_layers(copy), strict=True):
        if getattr(new, "groups", 1) != 1:
            kernel = _kernels.kernel_of(new)
            _kernels.assign(new, _kernels.rounded(new, kernel, bits, per_channel))
            continue
        right = _layer_data.patches(old, _layer_data.inputs_of(reference, old, data))
        made = _layer_data.patches(new, _layer_data.inputs_of(copy, new, data))
        rows = rng.permutation(len(made))[:_MOST_ROWS]
        _round_layer(new, right[rows], made[rows], bits, per_channel, iterations)
    return copy


def _round_layer(layer, right, made, bits, per_channel, iterations):
    """Rounds the kernel of a layer.

    Args:
        layer: The layer of the copy.
        right: Patches in the float model, `(rows, kernel size, input channels)`.
        made: The same in the copy, behind rounded layers.
        bits: Bits of the weights.
        per_channel: Whether channels have ranges of their own.
        iterations: Steps.
    """
    kernel = _kernels.kernel_of(layer)
    step = _kernels.scales(layer, kernel, bits, per_channel)
    right, made = right.astype("float64"), made.astype("float64")
    if not isinstance(layer, _kernels.DEPTHWISE):
        flat = _kernels.by_output(layer, kernel)
        moments = _moments(right.reshape(len(right), -1), made.reshape(len(made), -1))
        rounded = adaptive_rounding(flat, step, *moments, bits, iterations)
        _kernels.assign(layer, rounded.reshape(kernel.shape))
        return
    size, channels, multiplier = made.shape[1], kernel.shape[-2], kernel.shape[-1]
    columns = kernel.reshape(size, channels, multiplier).copy()
    steps = step.reshape(channels, multiplier)
    for i in range(channels):
        moments = _moments(right[:, :, i], made[:, :, i])
        columns[:, i] = adaptive_rounding(
            columns[:, i], steps[i], *moments, bits, iterations
        )
    _kernels.assign(layer, columns.reshape(kernel.shape))


def _moments(right, made):
    """`E[m m^T]` and `E[m r^T]`: the loss is `|m W' - r W|^2`."""
    return made.T @ made / len(made), made.T @ right / len(made)


def adaptive_rounding(
    kernel: np.ndarray,
    step: np.ndarray,
    second: np.ndarray,
    cross: np.ndarray,
    bits: int,
    iterations: int,
) -> np.ndarray:
    """The kernel with each weight rounded up or down.

    Args:
        kernel: `(inputs, outputs)`.
        step: Distance of two values, of each output.
        second: `E[x x^T]` of the inputs as they are with the layers before rounded.
        cross: `E[x y^T]`, with the inputs `y` of the float model.
        bits: Bits of a weight.
        iterations: Steps of Adam.
    """
    largest = 2 ** (bits - 1) - 1
    lower = np.floor(kernel / step)
    fraction = np.clip(kernel / step - lower, 1e-4, 1 - 1e-4)
    # V such that h(V) is the fraction: the start is the kernel itself.
    logits = -np.log((_HIGH - _LOW) / (fraction - _LOW) - 1)
    target = cross @ kernel
    nearest = np.clip(np.round(kernel / step), -largest, largest) * step
    scale = _quadratic(nearest, kernel, second, cross) + 1e-12
    first = second_moment = np.zeros_like(logits)
    warm = int(_WARM_UP * iterations)
    for number in range(1, iterations + 1):
        sigmoid = 1 / (1 + np.exp(-logits))
        stretched = sigmoid * (_HIGH - _LOW) + _LOW
        up = np.clip(stretched, 0, 1)
        weights = (lower + up) * step
        # Relative to the loss of the nearest values, so that one weight of the
        # regularizer fits layers of all sizes.
        gradient = 2 * (second @ weights - target) * step / scale
        if number > warm:
            progress = (number - warm) / max(iterations - warm, 1)
            beta = _BETA_END + (_BETA_START - _BETA_END) * 0.5 * (
                1 + np.cos(np.pi * progress)
            )
            distance = 2 * up - 1
            gradient = gradient - _WEIGHT * 2 * beta * np.sign(distance) * np.abs(
                distance
            ) ** (beta - 1)
        inside = (stretched > 0) & (stretched < 1)
        gradient = gradient * inside * sigmoid * (1 - sigmoid) * (_HIGH - _LOW)
        first = 0.9 * first + 0.1 * gradient
        second_moment = 0.999 * second_moment + 0.001 * gradient**2
        corrected = second_moment / (1 - 0.999**number)
        logits = logits - _LEARNING_RATE * (first / (1 - 0.9**number)) / (
            np.sqrt(corrected) + 1e-8
        )
    up = np.clip(1 / (1 + np.exp(-logits)) * (_HIGH - _LOW) + _LOW, 0, 1) >= 0.5
    rounded = np.clip(lower + up, -largest, largest) * step
    # The largest weights keep their range: the converter takes its step from them.
    extreme = np.abs(kernel) >= largest * step * (1 - 1e-9)
    rounded = np.where(extreme, nearest, rounded)
    ends = np.clip(lower, -largest, largest) * step
    ends = ends, np.clip(lower + 1, -largest, largest) * step
    candidates = [
        _descend(start, ends, extreme, second, target) for start in (rounded, nearest)
    ]
    losses = [_quadratic(w, kernel, second, cross) for w in candidates]
    return candidates[int(np.argmin(losses))]


def _descend(weights, ends, fixed, second, target):
    """Moves single weights up or down as long as the loss falls.

    The loss is quadratic, so that the best value of a weight, all others given, is
    known: the end that is nearest to it is taken, one input after the other.
    """
    weights = weights.copy()
    for _ in range(_MOST_SWEEPS):
        before = weights.copy()
        for i, curvature in enumerate(np.diag(second)):
            if curvature <= 0:
                continue
            slope = second[i] @ weights - target[i]
            best = weights[i] - slope / curvature
            is_lower = np.abs(best - ends[0][i]) <= np.abs(best - ends[1][i])
            moved = np.where(is_lower, ends[0][i], ends[1][i])
            weights[i] = np.where(fixed[i], weights[i], moved)
        if np.array_equal(before, weights):
            break
    return weights


def _quadratic(weights, kernel, second, cross):
    """`|x W' - y W|^2` without the term that does not depend on `W'`, but >= 0."""
    # The best that any kernel could do is the minimum of the quadratic form.
    error = weights - kernel
    shift = (second - cross) @ kernel
    return float(np.sum(error * (second @ error)) + 2 * np.sum(error * shift))
