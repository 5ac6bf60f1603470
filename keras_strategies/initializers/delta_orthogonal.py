"""Delta-orthogonal initialization of convolutions."""

from collections.abc import Sequence

import keras
from keras import ops

from keras_strategies._internal import bases, checks
from keras_strategies._internal.registration import serializable
from keras_strategies._internal.types import Tensor
from keras_strategies.initializers._kernels import at_center, check_kernel


@serializable
class DeltaOrthogonal(bases.OrthogonalInitializer):
    """Initializes a convolution as an orthogonal map of each pixel's channels.

    A random kernel mixes neighbouring pixels and blurs signals over many layers. This
    one preserves the norm of every signal exactly, however deep the network: networks
    of ten thousand convolutions without normalization or shortcuts were trained from
    it. `keras.initializers.Orthogonal`, which is orthogonal in the flattened kernel,
    does not have that property. JAX has this initializer as
    `jax.nn.initializers.delta_orthogonal`.

    ```
    kernel[position, i, o] = gain * Q[i, o]  at the center, 0 elsewhere
    ```

    with `Q` a random matrix with orthonormal rows, from the QR decomposition of a
    normal one. For an even size the center is the left of the two, as in Keras's
    `"same"` padding. There must be at least as many filters as input channels, or
    information would be lost.

    Reference:

    - [Xiao et al., 2018, Dynamical Isometry and a Mean Field Theory of
      CNNs](https://arxiv.org/abs/1806.05393)

    Args:
        gain: Factor of the kernel, greater than 0; about 1 for tanh, sqrt(2) for
            ReLU. Defaults to `1.0`.
        seed: Integer, or a `keras.random.SeedGenerator` for new numbers at each
            call. Defaults to `None`, a random integer.

    Raises:
        TypeError: If `gain` is no number.
        ValueError: If `gain` is out of its range or, when called, if the shape is not
            that of a convolution or has fewer filters than input channels.

    Example:

    ```python
    import keras
    import numpy as np
    from keras_strategies.initializers import DeltaOrthogonal

    layer = keras.layers.Conv2D(
        32, 3, padding="same", kernel_initializer=DeltaOrthogonal(seed=1)
    )
    x = np.random.default_rng(0).normal(size=(1, 8, 8, 16)).astype("float32")
    y = keras.ops.convert_to_numpy(layer(x))
    print(np.linalg.norm(y) / np.linalg.norm(x))  # 1.0
    ```
    """

    def __init__(
        self, gain: float = 1.0, seed: int | keras.random.SeedGenerator | None = None
    ) -> None:
        gain = checks.real("gain", gain, low=0, low_open=True)
        super().__init__(gain=gain, seed=seed)

    def __call__(self, shape: Sequence[int], dtype: str | None = None) -> Tensor:
        inputs, filters = check_kernel(shape)
        if inputs > filters:
            checks.fail(
                "`shape` must have at least as many filters as input channels",
                shape=tuple(shape),
                fix="Use more filters, or keras.initializers.Orthogonal.",
            )
        matrix = super().__call__((inputs, filters), dtype="float32")
        return ops.cast(at_center(matrix, shape), dtype or keras.config.floatx())
