"""DropBlock for images."""

from typing import Any, ClassVar

from keras_strategies._internal.registration import serializable
from keras_strategies.layers._drop_block import DropBlock


@serializable
class DropBlock2D(DropBlock):
    """Drops contiguous squares of a feature map at random.

    Neighbouring pixels of a feature map are correlated, so that dropout of single ones
    removes little information from a convolution, unlike dropout of a whole square.
    Intended for the output of convolutions, also on the shortcuts of residual networks.
    At inference the layer is the identity, so it disappears from an exported model.
    Increase `rate` slowly during training, or use the layer only in the later stages,
    where it helps most.

    For each sample and channel, with `b = block_size` and the height `h` and width `w`:

    ```
    gamma  = rate / b**2 * h * w / ((h - b + 1) * (w - b + 1))
    seeds  ~ Bernoulli(gamma) where a whole block fits
    drop   = the blocks of b x b positions that begin at the seeds
    output = inputs * (1 - drop) * size(drop) / sum(1 - drop)
    ```

    With `gamma`, blocks cover about `rate` of the positions; overlaps make it slightly
    less. The last factor preserves the mean of the features. With `block_size=1` it is
    dropout of single positions. Along an axis that is shorter than a block, `b` is its
    length.

    Reference:

    - [Ghiasi et al., 2018, DropBlock](https://arxiv.org/abs/1810.12890)

    Args:
        rate: Fraction of the features to drop, in `[0, 1)`. Often 0.1.
        block_size: Edge length of a block in pixels, at least 1. Defaults to `7`.
        data_format: `"channels_last"` or `"channels_first"`. Defaults to
            `keras.config.image_data_format()`.
        seed: Integer that makes the random decisions reproducible, or `None`. Defaults
            to `None`.
        **kwargs: Base layer arguments, such as `name` and `dtype`.

    Call arguments:
        inputs: Tensor of rank 4.
        training: Whether blocks are dropped. Set by Keras in `fit`, `evaluate` and
            `predict`.
        mask: Boolean tensor `(batch, ...)`: which positions count in the last factor.
            Set by Keras after a `Masking` or `Embedding` layer.

    Input shape:
        `(batch, height, width, channels)` or, channels first,
        `(batch, channels, height, width)`.

    Output shape:
        The shape of the input.

    Raises:
        ValueError: If an argument is out of range.

    Example:

    ```python
    import keras
    from keras_strategies.layers import DropBlock2D

    inputs = keras.Input((16, 16, 3))
    x = keras.layers.Conv2D(8, 3, padding="same", activation="relu")(inputs)
    x = DropBlock2D(0.1, block_size=7)(x)
    model = keras.Model(inputs, keras.layers.GlobalAveragePooling2D()(x))
    ```
    """

    spatial_rank: ClassVar[int] = 2

    def __init__(
        self,
        rate: float,
        block_size: int = 7,
        data_format: str | None = None,
        seed: int | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(rate, block_size, data_format, seed, **kwargs)
