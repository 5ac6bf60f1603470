import math

import keras
from keras import ops

from keras_strategies._internal import checks
from keras_strategies.layers import _axes


def seed_probability(rate, block_size, sizes):
    """The chance of a place to become the corner of a block (gamma in the article)."""
    chance = rate / block_size ** len(sizes)
    for size in sizes:
        size = size if isinstance(size, int) else ops.cast(size, "float32")
        chance = chance * size / (size - block_size + 1)
    return chance


def grow_blocks(seeds, block_size):
    """Turns each 1 of `seeds` into a block of ones.

    Args:
        seeds: Float tensor `(batch, *places, channels)` of zeros and ones, with
            `size - block_size + 1` places where the result has `size`.
        block_size: Length of the edge of a block.
    """
    around = (block_size - 1, block_size - 1)
    places = len(seeds.shape) - 2
    padded = ops.pad(seeds, [(0, 0), *[around] * places, (0, 0)])
    return ops.max_pool(
        padded, block_size, strides=1, padding="valid", data_format="channels_last"
    )


def drop_blocks(x, dropped):
    """Zeroes `x` where `dropped` is 1 and scales the rest to keep the sum of ones."""
    kept = 1.0 - dropped
    number = ops.cast(math.prod(ops.shape(kept)), "float32")
    scale = number / ops.maximum(ops.sum(kept), 1.0)
    return ops.where(kept > 0, x * ops.cast(scale, x.dtype), 0)


class DropBlock(keras.layers.Layer):
    """What DropBlock1D and DropBlock2D share."""

    places = None

    def __init__(self, rate, block_size, data_format=None, seed=None, **kwargs):
        super().__init__(**kwargs)
        self.rate = checks.real("rate", rate, low=0, high=1, high_open=True)
        self.block_size = checks.integer("block_size", block_size, low=1)
        self.data_format = _axes.data_format(data_format)
        self.seed = checks.integer("seed", seed, optional=True)
        self.seed_generator = keras.random.SeedGenerator(self.seed)
        self.supports_masking = True
        self.input_spec = keras.layers.InputSpec(ndim=self.places + 2)

    def build(self, input_shape):
        axes = _axes.spatial_axes(self.data_format, self.places + 2)
        sizes = [input_shape[axis] for axis in axes]
        if any(size is not None and size < self.block_size for size in sizes):
            checks.fail(
                "`block_size` must not be larger than the feature map",
                block_size=self.block_size,
                input_shape=tuple(input_shape),
                fix="Use a smaller block_size, or Dropout on such small maps.",
            )
        self.built = True

    def call(self, inputs, training=False):
        if not training or self.rate == 0:
            return inputs
        rank = self.places + 2
        shape = ops.shape(inputs)
        axes = _axes.spatial_axes(self.data_format, rank)
        channels = shape[_axes.channel_axis(self.data_format, rank)]
        sizes = [shape[axis] for axis in axes]
        corners = [size - self.block_size + 1 for size in sizes]
        # Drawn in float32: half precision has too few values below the chance.
        draw = keras.random.uniform(
            (shape[0], *corners, channels), dtype="float32", seed=self.seed_generator
        )
        chance = seed_probability(self.rate, self.block_size, sizes)
        dropped = grow_blocks(ops.cast(draw < chance, "float32"), self.block_size)
        if self.data_format == "channels_first":
            dropped = ops.moveaxis(dropped, -1, 1)
        return drop_blocks(inputs, dropped)

    def compute_output_shape(self, input_shape):
        return input_shape

    def get_config(self):
        return {
            **super().get_config(),
            "rate": self.rate,
            "block_size": self.block_size,
            "data_format": self.data_format,
            "seed": self.seed,
        }
