"""Features of tables that are missing at random."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from keras_strategies._internal import checks
from keras_strategies._internal.registration import serializable
from keras_strategies._internal.types import Config, Tensor
from keras_strategies.augmentation._base.random_layer import Draws, RandomLayer


@serializable
class FeatureDropout(RandomLayer):
    """Replaces cells of a table by the value that stands for a missing one.

    Prepares a network for rows with gaps, and makes it use more than one feature. Each
    cell is dropped with probability `rate`. Unlike `keras.layers.Dropout` it does not
    scale the others, and the value may be the mean of the column or a code of its own.

    Reference: Vincent et al., 2008, [Extracting and Composing Robust Features with
    Denoising Autoencoders](https://doi.org/10.1145/1390156.1390294) (masking noise).

    Works in a model, called directly, and in `tf.data` pipelines on every backend.
    Active in training only.

    Args:
        rate: Probability that a cell is dropped, in `[0, 1]`. Defaults to `0.1`.
        fill_value: Value of dropped cells, a number or one for each feature. Defaults
            to `0.0`, the mean of normalized features.
        seed: Integer that makes the draws reproducible, or `None`.
            Defaults to `None`.
        **kwargs: Base layer arguments, such as `name` and `dtype`.

    Call arguments:
        data: Rows, or a dict with the key `features`.
        training: Whether to drop. Defaults to `True`, as for Keras's random layers.

    Input shape:
        `(features,)` or `(batch, features)`.

    Output shape:
        The same.

    Raises:
        ValueError: If `rate` is outside its range, or `fill_value` has another number
            of values than there are features.

    Example:

    ```python
    import numpy as np
    from keras_strategies.augmentation.tabular import FeatureDropout

    rows = np.random.rand(32, 3)
    with_gaps = FeatureDropout(0.2, fill_value=[0.5, 0.5, -1.0])(rows)
    ```
    """

    _RANK = 2
    _KEY = "features"
    _AXES = "(batch, features)"

    def __init__(
        self,
        rate: float = 0.1,
        fill_value: float | Sequence[float] = 0.0,
        seed: int | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(seed=seed, **kwargs)
        self.rate: float = checks.real("rate", rate, low=0, high=1)
        self.fill_value: float | list[float]
        if isinstance(fill_value, list | tuple | np.ndarray):
            values = np.asarray(fill_value).tolist()
            self.fill_value = [checks.real("fill_value", value) for value in values]
        else:
            self.fill_value = checks.real("fill_value", fill_value)

    def _augment(self, batch: Tensor, draws: Draws, ops: Any) -> Tensor:
        rows, columns = ops.shape(batch)
        if isinstance(self.fill_value, list) and len(self.fill_value) != columns:
            fix = "Give a number for each feature."
            rule = "`fill_value` must have a value for each feature"
            checks.fail(rule, fix=fix, values=len(self.fill_value), features=columns)
        is_dropped = draws.uniform((rows, columns)) < self.rate
        filling = ops.cast(ops.convert_to_tensor(self.fill_value), batch.dtype)
        return ops.where(is_dropped, filling, batch)

    def get_config(self) -> Config:
        config = {"rate": self.rate, "fill_value": self.fill_value}
        return {**super().get_config(), **config}
