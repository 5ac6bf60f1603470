"""DropBlock for feature maps of any spatial rank."""

import math
from collections.abc import Sequence
from typing import Any, ClassVar

import keras
from keras import ops

from keras_strategies._internal import bases, checks
from keras_strategies._internal.types import Config, Shape, Tensor
from keras_strategies.layers import _axes, _masks


def seed_probability(rate: float, block_size: int, sizes: Sequence[Any]) -> Any:
    """Returns the probability of a position to start a block (gamma in the paper).

    With it the blocks cover about `rate` of a map of these `sizes`, overlaps aside.
    """
    probability = rate
    for size in sizes:
        if isinstance(size, int):
            block = min(block_size, size)
        else:
            size = ops.cast(size, "float32")
            block = ops.minimum(float(block_size), size)
        probability = probability / block * size / (size - block + 1)
    return probability


def grow_blocks(seeds: Tensor, block_size: int) -> Tensor:
    """Expands each 1 of `seeds` to a block of ones.

    Args:
        seeds: Float tensor `(batch, *spatial, channels)` of zeros and ones, of size
            `size - block_size + 1` along each spatial axis, where the result has
            `size`.
        block_size: Edge length of a block.

    Returns:
        A tensor as large as the map, or as a block where the map is smaller.
    """
    padding = (block_size - 1, block_size - 1)
    spatial_rank = len(seeds.shape) - 2
    padded = ops.pad(seeds, [(0, 0), *[padding] * spatial_rank, (0, 0)])
    # Full padding: the window of each output position covers the seeds whose blocks
    # include it.
    return ops.max_pool(
        padded, block_size, strides=1, padding="valid", data_format="channels_last"
    )


def drop_blocks(x: Tensor, dropped: Tensor, valid: Tensor | None = None) -> Tensor:
    """Zeroes `x` where `dropped` is 1 and scales the rest to preserve the mean.

    `valid` is where positions count, a boolean tensor that broadcasts, or `None`.
    """
    kept = 1.0 - dropped
    counted = _masks.zero_masked(kept, valid)
    size = ops.cast(math.prod(ops.shape(kept)), "float32")
    if valid is not None:
        size = ops.sum(_masks.zero_masked(ops.ones_like(kept), valid))
    scale = size / ops.maximum(ops.sum(counted), 1.0)
    return ops.where(kept > 0, x * ops.cast(scale, x.dtype), 0)


def _at_least_one(size: Any) -> Any:
    """Returns `max(size, 1)` of a number or a tensor."""
    return max(size, 1) if isinstance(size, int) else ops.maximum(size, 1)


class DropBlock(bases.Layer):
    """Base of `DropBlock1D` and `DropBlock2D`, which set `spatial_rank`."""

    spatial_rank: ClassVar[int]

    def __init__(
        self,
        rate: float,
        block_size: int,
        data_format: str | None = None,
        seed: int | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.rate: float = checks.real("rate", rate, low=0, high=1, high_open=True)
        self.block_size: int = checks.integer("block_size", block_size, low=1)
        self.data_format: str = _axes.data_format(data_format)
        self.seed: int | None = checks.integer("seed", seed, optional=True)
        self.seed_generator: keras.random.SeedGenerator = keras.random.SeedGenerator(
            self.seed
        )
        self.supports_masking: bool = True
        self.input_spec: Any = keras.layers.InputSpec(ndim=self.spatial_rank + 2)

    def call(
        self, inputs: Tensor, training: bool = False, mask: Tensor | None = None
    ) -> Tensor:
        if not training or self.rate == 0:
            return inputs
        rank = self.spatial_rank + 2
        shape = ops.shape(inputs)
        axes = _axes.spatial_axes(self.data_format, rank)
        channel_axis = _axes.channel_axis(self.data_format, rank)
        channels = shape[channel_axis]
        sizes = [shape[axis] for axis in axes]
        # On a map that is smaller than a block, the only block covers all of it.
        seed_sizes = [_at_least_one(size - self.block_size + 1) for size in sizes]
        # Drawn in float32: half precision has too few values below the probability.
        uniform = keras.random.uniform(
            (shape[0], *seed_sizes, channels), dtype="float32", seed=self.seed_generator
        )
        probability = seed_probability(self.rate, self.block_size, sizes)
        seeds = ops.cast(uniform < probability, "float32")
        dropped = grow_blocks(seeds, self.block_size)
        dropped = dropped[(slice(None), *(slice(size) for size in sizes))]
        if self.data_format == "channels_first":
            dropped = ops.moveaxis(dropped, -1, 1)
        valid = _masks.along_positions(mask, rank, channel_axis)
        return drop_blocks(inputs, dropped, valid)

    def compute_output_shape(self, input_shape: Shape) -> Shape:
        return input_shape

    def get_config(self) -> Config:
        return {
            **super().get_config(),
            "rate": self.rate,
            "block_size": self.block_size,
            "data_format": self.data_format,
            "seed": self.seed,
        }
