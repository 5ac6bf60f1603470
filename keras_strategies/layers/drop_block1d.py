"""DropBlock for sequences."""

from typing import Any, ClassVar

from keras_strategies._internal.registration import serializable
from keras_strategies.layers._drop_block import DropBlock


@serializable
class DropBlock1D(DropBlock):
    """Drops contiguous ranges of steps of a sequence at random.

    Neighbouring steps are correlated, so that dropout of single steps removes little
    information from a convolution, unlike dropout of a whole range. Intended for the
    output of one-dimensional convolutions.
    At inference the layer is the identity, so it disappears from an exported model.
    Increase `rate` slowly during training, or use the layer only in the later stages,
    where it helps most.

    For each sample and channel, with `b = block_size` and `t` steps:

    ```
    gamma  = rate / b * t / (t - b + 1)
    seeds  ~ Bernoulli(gamma) where a whole block fits
    drop   = the blocks of b positions that begin at the seeds
    output = inputs * (1 - drop) * size(drop) / sum(1 - drop)
    ```

    With `gamma`, blocks cover about `rate` of the positions; overlaps make it slightly
    less. The last factor preserves the mean of the features. With `block_size=1` it is
    dropout of single positions. Along an axis that is shorter than a block, `b` is its
    length.

    Reference:

    - [Ghiasi et al., 2018, DropBlock](https://arxiv.org/abs/1810.12890)

    Args:
        rate: Fraction of the steps to drop, in `[0, 1)`. Often 0.1.
        block_size: Length of a block in steps, at least 1. Defaults to `5`.
        data_format: `"channels_last"` or `"channels_first"`. Defaults to
            `keras.config.image_data_format()`.
        seed: Integer that makes the random decisions reproducible, or `None`. Defaults
            to `None`.
        **kwargs: Base layer arguments, such as `name` and `dtype`.

    Call arguments:
        inputs: Tensor of rank 3.
        training: Whether blocks are dropped. Set by Keras in `fit`, `evaluate` and
            `predict`.
        mask: Boolean tensor `(batch, ...)`: which positions count in the last factor.
            Set by Keras after a `Masking` or `Embedding` layer.

    Input shape:
        `(batch, steps, channels)` or, channels first, `(batch, channels, steps)`.

    Output shape:
        The shape of the input.

    Raises:
        ValueError: If an argument is out of range.

    Example:

    ```python
    import keras
    from keras_strategies.layers import DropBlock1D

    inputs = keras.Input((32, 4))
    x = keras.layers.Conv1D(8, 3, padding="same", activation="relu")(inputs)
    x = DropBlock1D(0.1, block_size=5)(x)
    model = keras.Model(inputs, keras.layers.GlobalAveragePooling1D()(x))
    ```
    """

    spatial_rank: ClassVar[int] = 1

    def __init__(
        self,
        rate: float,
        block_size: int = 5,
        data_format: str | None = None,
        seed: int | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(rate, block_size, data_format, seed, **kwargs)
