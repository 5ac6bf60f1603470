"""A target of segmentation models."""

from typing import Any

import numpy as np

from keras_strategies._internal import checks


class Region:
    """The score of a class over a region: the target for segmentation models.

    A segmentation model has an output for each class at each position. What is
    explained is their mean over the positions of the region, as in Seg-Grad-CAM: why
    does the model see this class *there*.

        score = sum_ij mask_ij output_ijc / sum_ij mask_ij

    Source: Vinogradova, Dibrov and Myers (2020), "Towards Interpretable Semantic
    Segmentation via Gradient-weighted Class Activation Mapping",
    https://arxiv.org/abs/2002.11434.

    Args:
        mask: Booleans or weights of at least 0, of the output's positions: one mask
            `(height, width)` for all samples, or `(samples, height, width)`. Each must
            have a positive entry.
        index: The class: the index on the last axis of the output.

    Raises:
        TypeError: If an argument is of the wrong type.
        ValueError: If the mask is empty or negative.

    Example:

    ```python
    import keras
    import numpy as np
    from keras_strategies import explain

    model = keras.Sequential([
        keras.Input((8, 8, 1)),
        keras.layers.Conv2D(4, 3, padding="same", activation="relu"),
        keras.layers.Conv2D(2, 1, activation="softmax"),
    ])
    mask = np.zeros((8, 8), bool)
    mask[2:5, 2:5] = True
    x = np.random.default_rng(0).random((3, 8, 8, 1))
    explain.saliency(model, x, target=explain.Region(mask, index=1)).shape  # as x
    ```
    """

    def __init__(self, mask: Any, index: int) -> None:
        array = np.asarray(mask)
        if array.dtype.kind not in "buif":
            rule = "`mask` must be booleans or weights"
            checks.fail(rule, error=TypeError, dtype=str(array.dtype))
        self.mask: np.ndarray = array.astype("float32")
        self.index: int = checks.integer("index", index, low=0)
        if not np.isfinite(self.mask).all() or (self.mask < 0).any():
            checks.fail("`mask` must be finite and at least 0", mask=mask)
        if not self.mask.any():
            checks.fail("`mask` must have a positive entry", shape=array.shape)
