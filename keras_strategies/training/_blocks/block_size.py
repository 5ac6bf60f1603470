"""Number of steps in a block, within the memory limit."""

from collections.abc import Sequence
from typing import NamedTuple

from keras_strategies.training._data.arrays import Arrays
from keras_strategies.training._data.dataset import Dataset

# Steps of a block whose data come from the host.
MAX_BLOCK_STEPS = 64
# Blocks on the device at the same time: one in use, one ready, one in transfer.
BLOCKS_IN_MEMORY = 3


class BlockSize(NamedTuple):
    """Size of the blocks of a fit.

    Attributes:
        on_device: Whether arrays stay on the device, all rows of them.
        steps: Steps in a block.
        device_bytes: Bytes of data on the device.
    """

    on_device: bool
    steps: int
    device_bytes: int


def block_size(
    granularity: str,
    sources: Sequence[Arrays | Dataset],
    steps_per_epoch: int | None,
    memory_limit: int,
) -> BlockSize:
    """Chooses the size of the blocks of a fit.

    Args:
        granularity: `"block"` or `"epoch"`.
        sources: The training data and, if there are any, the validation data.
        steps_per_epoch: Steps of an epoch, `None` for all batches.
        memory_limit: Bytes that data may take on the device.
    """
    training_data = sources[0]
    array_bytes = sum(data.nbytes or 0 for data in sources)
    on_device = granularity == "epoch" and array_bytes <= memory_limit
    device_bytes = array_bytes if on_device else 0
    # Data that reach the device block by block: datasets always, arrays if too large.
    in_blocks = [data for data in sources if data.nbytes is None or not on_device]
    total = steps_per_epoch or training_data.batches
    # With `steps_per_epoch`, Keras ends an epoch within the arrays and continues there
    # in the next one: blocks must end at that step too.
    exact = bool(steps_per_epoch) and training_data.nbytes is not None
    if not in_blocks:
        return BlockSize(on_device, steps_per_block(total, total, exact), device_bytes)
    batch_bytes = max(data.batch_bytes for data in in_blocks)
    maximum = max_block_steps(
        "block" if on_device else granularity, batch_bytes, memory_limit - device_bytes
    )
    steps = steps_per_block(total, maximum, exact)
    device_bytes += BLOCKS_IN_MEMORY * steps * batch_bytes
    return BlockSize(on_device, steps, device_bytes)


def steps_per_block(total: int | None, maximum: int, exact: bool = False) -> int:
    """Returns how many of `total` steps a block has, at most `maximum`.

    A divisor of `total` if there is one in the upper half, so that all blocks are equal
    and one program serves them; else as even as possible. With `exact`, always a
    divisor.
    """
    maximum = max(1, maximum)
    if total is None:
        return maximum
    if total <= maximum:
        return total
    for steps in range(maximum, 0 if exact else maximum // 2, -1):
        if total % steps == 0:
            return steps
    # No such divisor: the fewest blocks, and the rounded up share of each.
    blocks = -(-total // maximum)
    return -(-total // blocks)


def max_block_steps(granularity: str, batch_bytes: int, memory_limit: int) -> int:
    """Returns how many steps fit into a block within `memory_limit` bytes."""
    fitting = memory_limit // max(1, BLOCKS_IN_MEMORY * batch_bytes)
    return max(1, fitting if granularity == "epoch" else min(MAX_BLOCK_STEPS, fitting))
