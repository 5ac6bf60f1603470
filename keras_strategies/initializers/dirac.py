"""Dirac initialization: convolutions that begin as the identity."""

from collections.abc import Sequence

import keras
import numpy as np
from keras import ops

from keras_strategies._internal import bases, checks
from keras_strategies._internal.registration import serializable
from keras_strategies._internal.types import Config, Tensor
from keras_strategies.initializers._kernels import at_center, check_kernel


@serializable
class Dirac(bases.Initializer):
    """Initializes a convolution with `"same"` padding as the identity.

    Each filter copies one input channel, so that very deep plain networks start as
    shallow ones and can be trained. Keras's `IdentityInitializer` is for matrices only;
    this is `torch.nn.init.dirac_` for Keras's kernels.

    ```
    kernel[center, i, o] = 1 if i == o, else 0
    ```

    Filters beyond the number of input channels are zero, and input channels beyond the
    number of filters are dropped; with `groups`, within each group. For an even size
    the center is the left of the two, as in Keras's `"same"` padding; Torch's is the
    right.

    Reference:

    - [Zagoruyko and Komodakis, 2017, DiracNets: Training Very Deep Neural Networks
      Without Skip-Connections](https://arxiv.org/abs/1706.00388)

    Args:
        groups: The `groups` of the convolution, at least 1. Defaults to `1`.

    Raises:
        TypeError: If `groups` is no integer.
        ValueError: If `groups` is out of its range or, when called, if the shape is
            not that of a convolution or `groups` does not divide the number of filters.

    Example:

    ```python
    import keras
    import numpy as np
    from keras_strategies.initializers import Dirac

    layer = keras.layers.Conv2D(4, 3, padding="same", kernel_initializer=Dirac())
    x = np.random.default_rng(0).normal(size=(1, 8, 8, 4)).astype("float32")
    y = keras.ops.convert_to_numpy(layer(x))
    print(np.abs(y - x).max())  # 0.0
    ```
    """

    def __init__(self, groups: int = 1) -> None:
        self.groups: int = checks.integer("groups", groups, low=1)

    def __call__(self, shape: Sequence[int], dtype: str | None = None) -> Tensor:
        inputs, filters = check_kernel(shape)
        if filters % self.groups:
            checks.fail(
                "`groups` must divide the number of filters",
                groups=self.groups,
                filters=filters,
            )
        matrix = np.tile(np.eye(inputs, filters // self.groups), (1, self.groups))
        return at_center(ops.cast(matrix, dtype or keras.config.floatx()), shape)

    def get_config(self) -> Config:
        return {"groups": self.groups}
