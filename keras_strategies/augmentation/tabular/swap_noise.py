"""Cells of tables from other rows."""

from typing import Any

from keras_strategies._internal import checks
from keras_strategies._internal.registration import serializable
from keras_strategies._internal.types import Config, Tensor
from keras_strategies.augmentation._base.random_layer import Draws, RandomLayer


@serializable
class SwapNoise(RandomLayer):
    """Replaces cells of a table by the values of other rows in the same column.

    Noise that keeps the distribution of every column, for numbers and categories
    alike, where Gaussian noise would make values that do not occur. For denoising
    autoencoders and contrastive learning of tables, and as a regularizer. Each cell
    takes, with probability `rate`, the value of a row of the batch drawn for it.

    References: Jahrer, 2017, [1st place with representation
    learning](https://www.kaggle.com/c/porto-seguro-safe-driver-prediction/discussion/44629),
    rate 0.15; Bahri et al., 2022, [SCARF](https://arxiv.org/abs/2106.15147), rate 0.6.

    Works in a model, called directly, and in `tf.data` pipelines on every backend, on
    batches. Active in training only.

    Args:
        rate: Probability that a cell is replaced, in `[0, 1]`. Defaults to `0.15`.
        seed: Integer that makes the draws reproducible, or `None`.
            Defaults to `None`.
        **kwargs: Base layer arguments, such as `name` and `dtype`.

    Call arguments:
        data: Rows, or a dict with the key `features`.
        training: Whether to swap. Defaults to `True`, as for Keras's random layers.

    Input shape:
        `(batch, features)`.

    Output shape:
        The same.

    Raises:
        ValueError: If `rate` is outside its range or a single row is given.

    Example:

    ```python
    import numpy as np
    from keras_strategies.augmentation.tabular import SwapNoise

    rows = np.random.rand(32, 5)
    noisy = SwapNoise(0.2)(rows)
    ```
    """

    _RANK = 2
    _KEY = "features"
    _AXES = "(batch, features)"
    _NEEDS_BATCH = True

    def __init__(
        self, rate: float = 0.15, seed: int | None = None, **kwargs: Any
    ) -> None:
        super().__init__(seed=seed, **kwargs)
        self.rate: float = checks.real("rate", rate, low=0, high=1)

    def _augment(self, batch: Tensor, draws: Draws, ops: Any) -> Tensor:
        rows, columns = ops.shape(batch)
        is_swapped = draws.uniform((rows, columns)) < self.rate
        last = ops.cast(rows, "float32") - 1.0
        source = ops.floor(draws.uniform((rows, columns)) * (last + 1.0))
        # A uniform number just below 1 may round up to the number of rows.
        source = ops.cast(ops.minimum(source, last), "int32")
        own = ops.arange(columns, dtype="int32")[None]
        cells = ops.take(ops.reshape(batch, (-1,)), source * columns + own, axis=0)
        return ops.where(is_swapped, cells, batch)

    def get_config(self) -> Config:
        return {**super().get_config(), "rate": self.rate}
