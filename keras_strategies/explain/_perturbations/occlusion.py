"""How much the score falls when a window is hidden."""

import itertools
from collections.abc import Sequence
from typing import Any

import keras
import numpy as np

from keras_strategies._internal import checks
from keras_strategies.explain._engine.explained import Explained
from keras_strategies.explain._engine.positions import (
    over_channels,
    positions_shape,
    substitute,
)
from keras_strategies.explain._perturbations.single_input import only_input


def occlusion(
    model: keras.Model,
    inputs: Any,
    target: Any = None,
    *,
    window: int | Sequence[int] = 8,
    stride: int | Sequence[int] | None = None,
    baseline: Any = 0.0,
    input_name: str | None = None,
    logits: bool = True,
    batch_size: int = 32,
) -> np.ndarray:
    """Maps of how much the score falls when a part of the input is hidden.

    The plainest explanation there is, for any model: a window moves over the image,
    and what is under it is replaced. It costs a run of the model for each place of the
    window, and shows nothing that could be replaced by something else in the image.

        a_ij = mean over the windows W that cover (i, j) of f(x) - f(x without W)

    All channels of a position are hidden together. For a table a window of 1 hides one
    column after the other.

    Source: Zeiler and Fergus (2013), "Visualizing and Understanding Convolutional
    Networks", https://arxiv.org/abs/1311.2901.

    Args:
        model: Any built Keras model; it is run at inference.
        inputs: Its inputs, samples first.
        target: What is explained, as for `saliency`. Defaults to `None`, the highest
            output of each sample.
        window: Side of the window in pixels, or one for each axis, at least 1; at
            most as large as the input. Defaults to `8`.
        stride: Steps of the window, likewise, at most as large as the window. Defaults
            to `None`, half the window. The last window ends at the edge.
        baseline: What stands in the window: a number, or an array of a sample's or the
            inputs' shape, such as a blurred copy. Defaults to `0.0`.
        input_name: Which of several inputs is explained. Defaults to `None`, the only
            one with floating-point numbers.
        logits: Whether the values before a last softmax or sigmoid are explained.
            Defaults to `True`.
        batch_size: Changed samples that the model is run on at once. Defaults to `32`.

    Returns:
        float32 array of the shape of the inputs, with signs; the same for all channels
        of a position.

    Raises:
        TypeError: If an argument is of the wrong type.
        ValueError: If the window does not fit the input, or an argument is out of
            range.

    Example:

    ```python
    import keras
    import numpy as np
    from keras_strategies import explain

    model = keras.Sequential([
        keras.Input((8, 8, 1)),
        keras.layers.Flatten(),
        keras.layers.Dense(3, activation="softmax"),
    ])
    x = np.random.default_rng(0).random((2, 8, 8, 1))
    explain.occlusion(model, x, window=4).shape  # (2, 8, 8, 1)
    ```
    """
    explained = Explained(model, inputs, target, logits=logits, batch_size=batch_size)
    position = only_input(explained, input_name)
    array = explained.inputs.flat[position]
    hidden = substitute(array, baseline)
    shape = positions_shape(array)
    sides = _per_axis("window", window, shape)
    strides = _strides(stride, sides, shape)
    explained.fix_target()
    corners = list(
        itertools.product(
            *(
                _starts(size, side, step)
                for size, side, step in zip(shape, sides, strides, strict=True)
            )
        )
    )
    before = explained.scores()

    def make(positions):
        rows, windows = np.divmod(positions, len(corners))
        masks = np.zeros((len(rows), *shape), bool)
        for mask, index in zip(masks, windows, strict=True):
            mask[_slices(corners[index], sides)] = True
        flat = [x[rows] for x in explained.inputs.flat]
        mask = over_channels(masks, array)
        flat[position] = np.where(mask, hidden[rows], flat[position])
        return flat, rows

    scores = explained.scores(explained.count * len(corners), make)
    falls = before[:, None] - scores.reshape(explained.count, len(corners))
    total = np.zeros((explained.count, *shape), "float64")
    covers = np.zeros(shape)
    for index, corner in enumerate(corners):
        part = _slices(corner, sides)
        covers[part] += 1
        total[(slice(None), *part)] += falls[:, index].reshape(-1, *[1] * len(shape))
    # `covers` is above 0 everywhere: strides are at most as long as windows.
    means = over_channels((total / covers).astype("float32"), array)
    return np.ascontiguousarray(np.broadcast_to(means, array.shape))


def _slices(corner, sides):
    return tuple(
        slice(begin, begin + side) for begin, side in zip(corner, sides, strict=True)
    )


def _starts(size, side, step):
    starts = list(range(0, size - side + 1, step))
    # The last window ends at the edge, or pixels beside it would never be hidden.
    return starts if starts[-1] == size - side else [*starts, size - side]


def _per_axis(name, value, shape):
    several = isinstance(value, Sequence)
    sides = list(value) if several else [value] * len(shape)
    if len(sides) != len(shape):
        checks.fail(
            f"`{name}` must have a number for each axis of the input",
            **{name: value},
            axes=len(shape),
        )
    for side, size in zip(sides, shape, strict=True):
        checks.integer(name, side, low=1, high=size)
    return sides


def _strides(stride, sides, shape):
    if stride is None:
        return [max(1, side // 2) for side in sides]
    strides = _per_axis("stride", stride, shape)
    if any(step > side for step, side in zip(strides, sides, strict=True)):
        checks.fail(
            "`stride` must be at most as large as `window`",
            fix="Some pixels would never be hidden.",
            stride=stride,
            window=sides,
        )
    return strides
