"""Mixtures of two rows of a table and their labels."""

from collections.abc import Sequence
from typing import Any

from keras_strategies._internal import checks
from keras_strategies._internal.registration import serializable
from keras_strategies._internal.types import Config, Tensor
from keras_strategies.augmentation._base.random_layer import Draws, RandomLayer
from keras_strategies.augmentation._common.mixing import (
    check_labels,
    mix,
    permutation,
    symmetric_beta,
)


@serializable
class TabularMixUp(RandomLayer):
    """Mixes each row of a table with another one of the batch, and their labels.

    ```
    y = a x_i + (1 - a) x_j,    a ~ Beta(alpha, alpha)
    label = a label_i + (1 - a) label_j
    ```

    Codes of categories have no values between them: in the columns `categorical` each
    cell is that of `x_i` with probability `a`, else that of `x_j`, so that it is mixed
    on average.

    Reference: Zhang et al., 2018, [mixup: Beyond Empirical Risk
    Minimization](https://arxiv.org/abs/1710.09412) (section 3.4 on tables).

    Works in a model, called directly, and in `tf.data` pipelines on every backend, on
    batches. Active in training only.

    Args:
        alpha: Parameter of the distribution, above 0: below 1 mostly one of the two,
            at 1 uniform. Defaults to `0.2`.
        categorical: Indices of the columns that hold codes. Defaults to `()`.
        seed: Integer that makes the draws reproducible, or `None`.
            Defaults to `None`.
        **kwargs: Base layer arguments, such as `name` and `dtype`.

    Call arguments:
        data: A dict with the keys `features` and `labels`, or rows alone.
        training: Whether to mix. Defaults to `True`, as for Keras's random layers.

    Input shape:
        `(batch, features)`, labels `(batch, classes)`, or `(batch, 1)` of a
        regression.

    Output shape:
        The same.

    Raises:
        ValueError: If an argument is outside its range, a single row is given, or
            labels are class numbers, which cannot be mixed.

    Example:

    ```python
    import numpy as np
    from keras_strategies.augmentation.tabular import TabularMixUp

    batch = {"features": np.random.rand(4, 3), "labels": np.eye(4)}
    mixed = TabularMixUp(0.4, categorical=[2])(batch)
    ```
    """

    _RANK = 2
    _KEY = "features"
    _AXES = "(batch, features)"
    _NEEDS_BATCH = True

    def __init__(
        self,
        alpha: float = 0.2,
        categorical: Sequence[int] = (),
        seed: int | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(seed=seed, **kwargs)
        self.alpha: float = checks.real("alpha", alpha, low=0, low_open=True)
        self.categorical: list[int] = [
            checks.integer("categorical", column, low=0) for column in categorical
        ]

    def _augment_with_labels(
        self, batch: Tensor, labels: Any, draws: Draws, ops: Any
    ) -> tuple[Tensor, Any]:
        rows, columns = ops.shape(batch)
        uniform = draws.uniform((rows, 4))
        weights = symmetric_beta(uniform[:, :3], self.alpha, ops)
        partners = permutation(uniform[:, 3], ops)
        mixed = mix(batch, partners, weights, ops)
        if self.categorical:
            if max(self.categorical) >= columns:
                rule = "`categorical` must be columns of the features"
                checks.fail(rule, categorical=self.categorical, features=columns)
            is_own = draws.uniform((rows, columns)) < ops.expand_dims(weights, 1)
            picked = ops.where(is_own, batch, ops.take(batch, partners, axis=0))
            is_code = [column in self.categorical for column in range(columns)]
            mixed = ops.where(ops.convert_to_tensor(is_code), picked, mixed)
        if labels is not None:
            check_labels(labels)
            labels = mix(ops.cast(labels, self.compute_dtype), partners, weights, ops)
        return mixed, labels

    def get_config(self) -> Config:
        config = {"alpha": self.alpha, "categorical": self.categorical}
        return {**super().get_config(), **config}
