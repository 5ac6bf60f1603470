"""Splits of an epoch into blocks, and their sizes within a memory limit."""

import types

from hypothesis import given
from hypothesis import strategies as st

from keras_strategies.training._blocks.block_size import (
    BLOCKS_IN_MEMORY,
    MAX_BLOCK_STEPS,
    block_size,
    steps_per_block,
)
from keras_strategies.training._launches.step_block import BlockSplit


@given(st.integers(1, 200), st.integers(1, 16), st.integers(1, 20))
def test_blocks_have_every_row_once(rows, batch_size, steps):
    split = BlockSplit(rows, batch_size, steps)
    position = 0
    for first, full, partial in split.blocks():
        assert first * batch_size == position
        assert 0 < full + bool(partial) <= steps and partial < batch_size
        position += full * batch_size + partial
    assert position == rows
    assert split.dynamic_batch == (rows % batch_size > 0)


@given(st.integers(1, 200), st.integers(1, 16), st.integers(1, 9), st.integers(1, 12))
def test_a_limit_ends_after_so_many_batches(rows, batch_size, steps, limit):
    split = BlockSplit(rows, batch_size, steps, limit)
    blocks = list(split.blocks())
    batches = sum(full + bool(partial) for _, full, partial in blocks)
    assert batches == split.batches == min(limit, -(-rows // batch_size))


@given(st.integers(1, 500), st.integers(1, 90), st.booleans())
def test_blocks_are_equal_or_nearly(total, maximum, exact):
    steps = steps_per_block(total, maximum, exact)
    assert 1 <= steps <= min(total, maximum)
    blocks = -(-total // steps)
    if exact:
        assert total % steps == 0
    else:  # as few blocks as half of the largest ones need
        assert blocks <= -(-total // max(1, maximum // 2))
        assert steps - (total - (blocks - 1) * steps) < blocks


def data(batches, batch_bytes, in_arrays):
    nbytes = batches * batch_bytes if in_arrays else None
    return types.SimpleNamespace(
        batches=batches, batch_bytes=batch_bytes, nbytes=nbytes
    )


@given(
    st.sampled_from(["block", "epoch"]),
    st.lists(
        st.builds(data, st.integers(1, 99), st.integers(1, 99), st.booleans()),
        min_size=1,
        max_size=2,
    ),
    st.integers(0, 9_000),
)
def test_data_on_the_device_stay_within_the_limit(granularity, sources, spare):
    # `accelerate` refuses less than this.
    least = BLOCKS_IN_MEMORY * max(source.batch_bytes for source in sources)
    size = block_size(granularity, sources, None, least + spare)
    if size.steps > 1:
        assert size.device_bytes <= least + spare
    if any(source.nbytes is None for source in sources) or not size.on_device:
        assert granularity == "epoch" or size.steps <= MAX_BLOCK_STEPS
    arrays = sum(source.nbytes or 0 for source in sources)
    assert size.on_device == (granularity == "epoch" and arrays <= least + spare)
