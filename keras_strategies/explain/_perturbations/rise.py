"""Maps by the scores of randomly masked inputs."""

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
from keras_strategies.explain._engine.resizing import resize
from keras_strategies.explain._perturbations.single_input import only_input


def rise(
    model: keras.Model,
    inputs: Any,
    target: Any = None,
    *,
    masks: int = 500,
    cells: int | Sequence[int] = 7,
    keep: float = 0.5,
    baseline: Any = 0.0,
    seed: int = 0,
    input_name: str | None = None,
    logits: bool = False,
    batch_size: int = 32,
) -> np.ndarray:
    """Maps of where an image speaks for a class, by random masks: RISE.

    Needs the outputs of a model only, and finds parts of any form. Smooth random masks
    hide about half of the image; the importance of a pixel is the mean score of the
    masks that show it. It costs a run of the model for each mask and sample.

        a_ij = sum over the masks M of f(x * M + b (1 - M)) M_ij / sum of M_ij

    The paper divides by the expected sum of M_ij, n times `keep`. The sum that was
    drawn has the same limit without its noise: which pixels a few hundred masks happen
    to show more often. Each mask is a random grid, larger than the image by a cell,
    resized and shifted at random. All samples get the same masks.

    Source: Petsiuk, Das and Saenko (2018), "RISE: Randomized Input Sampling for
    Explanation of Black-box Models", https://arxiv.org/abs/1806.07421.

    Args:
        model: Any built Keras model over images, volumes or sequences; it is run at
            inference.
        inputs: Its inputs, samples first.
        target: What is explained, as for `saliency`. Defaults to `None`, the highest
            output of each sample.
        masks: Random masks, at least 1; the paper has 4,000 and more for images of 224
            pixels. Defaults to `500`.
        cells: Cells of a mask along each axis, at least 1. Defaults to `7`.
        keep: Probability of a cell to be shown, in (0, 1). Defaults to `0.5`.
        baseline: What stands where nothing is shown: a number, or an array of a
            sample's or the inputs' shape. Defaults to `0.0`.
        seed: Seed of the masks. Defaults to `0`.
        input_name: Which of several inputs is explained. Defaults to `None`, the only
            one with floating-point numbers.
        logits: Whether the values before a last softmax or sigmoid are explained.
            Defaults to `False`, as in the paper: a mean of probabilities.
        batch_size: Masked samples that the model is run on at once. Defaults to `32`.

    Returns:
        float32 array of the shape of the inputs; the same for all channels of a
        position.

    Raises:
        TypeError: If an argument is of the wrong type.
        ValueError: If an argument is out of range, or the input is no image, volume
            or sequence.

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
    explain.rise(model, x, masks=50, cells=4).shape  # (2, 8, 8, 1)
    ```
    """
    checks.integer("masks", masks, low=1)
    checks.real("keep", keep, low=0, high=1, low_open=True, high_open=True)
    random = np.random.default_rng(checks.integer("seed", seed, low=0))
    explained = Explained(model, inputs, target, logits=logits, batch_size=batch_size)
    position = only_input(explained, input_name)
    array = explained.inputs.flat[position]
    if array.ndim < 3:
        checks.fail(
            "RISE needs images, volumes or sequences",
            fix="Use kernel_shap for a table.",
            shape=array.shape,
        )
    hidden, shape = substitute(array, baseline), positions_shape(array)
    drawn = random_masks(random, masks, _cells(cells, shape), shape, keep)
    explained.fix_target()

    def make(positions):
        rows, numbers = np.divmod(positions, masks)
        flat = [x[rows] for x in explained.inputs.flat]
        mask = over_channels(drawn[numbers], array)
        flat[position] = mask * flat[position] + (1 - mask) * hidden[rows]
        return flat, rows

    scores = explained.scores(explained.count * masks, make).reshape(-1, masks)
    # A pixel that no mask shows has sums of 0, and so the importance 0.
    shown = np.maximum(drawn.sum(axis=0), np.finfo("float32").tiny)
    maps = np.tensordot(scores, drawn, axes=1) / shown
    maps = over_channels(maps.astype("float32"), array)
    return np.ascontiguousarray(np.broadcast_to(maps, array.shape))


def random_masks(
    random: np.random.Generator,
    count: int,
    cells: Sequence[int],
    shape: Sequence[int],
    keep: float,
) -> np.ndarray:
    """Smooth random masks `(count, *shape)` in [0, 1], shifted within a cell."""
    grids = (random.random((count, *cells)) < keep).astype("float32")
    sizes = [-(-size // c) for size, c in zip(shape, cells, strict=True)]
    # A cell more than needed, which the random shift takes off again (section 3.2 of
    # the paper): the borders of the cells are elsewhere in each mask.
    larger = [(c + 1) * s for c, s in zip(cells, sizes, strict=True)]
    large = resize(grids, larger)
    shifts = np.stack([random.integers(0, s, count) for s in sizes], axis=1)
    drawn = np.empty((count, *shape), "float32")
    for mask, source, shift in zip(drawn, large, shifts, strict=True):
        mask[:] = source[
            tuple(slice(b, b + n) for b, n in zip(shift, shape, strict=True))
        ]
    return drawn


def _cells(cells, shape):
    several = isinstance(cells, Sequence)
    numbers = list(cells) if several else [cells] * len(shape)
    if len(numbers) != len(shape):
        checks.fail(
            "`cells` must have a number for each axis", cells=cells, axes=len(shape)
        )
    return [
        checks.integer("cells", number, low=1, high=size)
        for number, size in zip(numbers, shape, strict=True)
    ]
