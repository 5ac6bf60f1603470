"""`equalize_layers`: ranges of the channels of successive layers made alike."""

import keras
import numpy as np

from keras_strategies._internal import checks
from keras_strategies.export.rescue import _kernels
from keras_strategies.export.rescue._flat_copy import flat_copy
from keras_strategies.export.rescue._links import Link, find_links

_TOLERANCE = 1e-4


def equalize_layers(
    model: keras.Model, *, max_iterations: int = 100, replace_relu6: bool = False
) -> keras.Model:
    """Returns a copy of a model whose channels have alike ranges of weights.

    Use it when int8 with one range for each kernel loses accuracy because some
    channels are much smaller than others, as in depthwise convolutions with folded
    BatchNormalization: their weights all round to a few values. Where only functions
    with `f(s x) = s f(x)` lie between two layers (relu, pooling, padding, Flatten),
    output channel `i` of the first is divided and input channel `i` of the second
    multiplied by

        s_i = sqrt(max |w1_i| / max |w2_i|)

    after which both have the range `sqrt(max |w1_i| max |w2_i|)`. This is repeated
    over all pairs until nothing changes. The model computes the same function; its
    activations have other ranges. BatchNormalization is folded first.

    Reference: Nagel et al., "Data-free quantization through weight equalization and
    bias correction" (2019), section 4.1, https://arxiv.org/abs/1906.04721.

    Args:
        model: A built Functional or Sequential `keras.Model`. It is not changed.
        max_iterations: Most passes over all pairs, at least 1. Defaults to 100.
        replace_relu6: Whether relu6 becomes relu first, as in the paper: relu6 cuts at
            6 whatever the scale, and ends a pair otherwise. The function of the model
            then changes where values exceed 6. Defaults to `False`.

    Returns:
        A new, uncompiled `keras.Model`, with the changes of `fold_batch_norm`.

    Raises:
        TypeError: If an argument is of the wrong type.
        ValueError: If the model cannot be rebuilt from its graph, or there is no pair.

    Example:

    ```python
    import keras
    from keras_strategies import export

    model = keras.Sequential([
        keras.Input((8,)),
        keras.layers.Dense(4, activation="relu"),
        keras.layers.Dense(2),
    ])
    equal = export.equalize_layers(model)
    ```
    """
    checks.instance("model", model, keras.Model)
    checks.integer("max_iterations", max_iterations, low=1)
    checks.boolean("replace_relu6", replace_relu6)
    copy = flat_copy(model, replace_relu6)
    links = find_links(copy)
    if not links:
        checks.fail(
            "`model` must have two layers with only relu, pooling, padding or Flatten "
            "between them",
            fix="With relu6 give `replace_relu6=True`.",
            layers=[layer.name for layer in copy.layers],
        )
    for _ in range(max_iterations):
        change = max(_equalize(link) for link in links)
        if change < _TOLERANCE:
            break
    return copy


def equalization_factors(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """`sqrt(r1 / r2)` of each channel; 1 where either range is 0."""
    both = (first > 0) & (second > 0)
    ratio = np.where(both, first, 1.0) / np.where(both, second, 1.0)
    return np.sqrt(ratio)


def _equalize(link: Link) -> float:
    """Equalizes one pair; returns the largest relative change."""
    kernels = _kernels.kernel_of(link.first), _kernels.kernel_of(link.second)
    ranges = _kernels.output_ranges(link.first, kernels[0])
    factor = equalization_factors(ranges, link.second_ranges(kernels[1]))
    move_scale(link, factor)
    return float(np.abs(factor - 1).max())


def move_scale(link: Link, factor: np.ndarray) -> None:
    """Divides the outputs of the first layer, multiplies the inputs of the second."""
    first, second = link.first, link.second
    kernel = _kernels.scale_outputs(first, _kernels.kernel_of(first), 1.0 / factor)
    _kernels.assign(first, kernel, _kernels.bias_of(first) / factor)
    kernel = _kernels.kernel_of(second)
    _kernels.assign(second, _kernels.scale_inputs(second, kernel, link.expand(factor)))
