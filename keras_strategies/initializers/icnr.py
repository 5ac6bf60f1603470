"""ICNR initialization of sub-pixel convolutions."""

from collections.abc import Sequence

import keras
from keras import ops

from keras_strategies._internal import bases, checks
from keras_strategies._internal.registration import serializable
from keras_strategies._internal.types import Config, Initializer, Tensor
from keras_strategies.initializers._kernels import check_kernel


@serializable
class ICNR(bases.Initializer):
    """Initializes a sub-pixel convolution without checkerboard artifacts.

    A convolution followed by a rearrangement of channels to pixels
    (`keras.ops.depth_to_space`, pixel shuffle) is a common way to upsample images, but
    with random kernels neighbouring pixels come from unrelated filters, which causes a
    checkerboard pattern, often until the end of training. "Initialized to convolution,
    nearest-neighbour resize": the kernels of all pixels of one block are equal at
    first, so that the layer starts as a convolution followed by nearest-neighbour
    upsampling.

    ```
    kernel[..., b * F + f] = sub_kernel[..., f]    b = 0 ... scale^n - 1
    ```

    with `F` the channels after the rearrangement, `n` the number of spatial axes and
    `sub_kernel` drawn by `initializer`. That is the order of TensorFlow's and Keras's
    `depth_to_space`; the order of Torch's `PixelShuffle` differs.

    Reference:

    - [Aitken et al., 2017, Checkerboard artifact free sub-pixel
      convolution](https://arxiv.org/abs/1707.02937)

    Args:
        scale: Upsampling factor, the `block_size`, an integer of at least 1.
            Defaults to `2`.
        initializer: Initializer of the sub-kernel, an instance or a name as Keras
            takes it. Defaults to `"glorot_uniform"`.

    Raises:
        TypeError: If `scale` is no integer.
        ValueError: If `scale` is out of its range or, when called, if the shape is
            not that of a convolution or the filters do not divide into blocks.

    Example:

    ```python
    import keras
    from keras_strategies.initializers import ICNR

    layer = keras.layers.Conv2D(12, 3, padding="same", kernel_initializer=ICNR(2))
    layer.build((None, 8, 8, 16))
    kernel = keras.ops.convert_to_numpy(layer.kernel)  # 12 filters = 2 * 2 * 3
    print((kernel[..., :3] == kernel[..., 3:6]).all())  # True
    ```
    """

    def __init__(
        self, scale: int = 2, initializer: Initializer = "glorot_uniform"
    ) -> None:
        self.scale: int = checks.integer("scale", scale, low=1)
        self.initializer: keras.initializers.Initializer = keras.initializers.get(
            initializer
        )

    def __call__(self, shape: Sequence[int], dtype: str | None = None) -> Tensor:
        _, filters = check_kernel(shape)
        block = self.scale ** (len(shape) - 2)
        if filters % block:
            checks.fail(
                f"The filters must divide into blocks of {block}",
                filters=filters,
                scale=self.scale,
            )
        kernel = self.initializer((*shape[:-1], filters // block), dtype=dtype)
        return ops.tile(kernel, (1,) * (len(shape) - 1) + (block,))

    def get_config(self) -> Config:
        return {
            "scale": self.scale,
            "initializer": keras.initializers.serialize(self.initializer),
        }
