"""GridMask, RandomCutout and ChannelShuffle against their definition."""

import numpy as np
import pytest
from keras import ops

from keras_strategies.augmentation import ChannelShuffle, GridMask, RandomCutout
from keras_strategies.augmentation._image.erasing.mask_ops import grid, holes


def _numpy(x):
    return ops.convert_to_numpy(x)


def test_grid_by_the_formula():
    # unit 0.5 of 8 pixels, half kept, no turn, offsets of a quarter and of nothing
    uniform = np.array([[0.0, 0.0, 0.25, 0.0, 0.0]], "float32")
    got = _numpy(grid(uniform, 8, 12, (0.5, 1.0), (0.5, 0.9), (0.0, 0.0)))[0]
    rows, columns = np.arange(8) - 3.5, np.arange(12) - 5.5
    down = (rows / 4) % 1 >= 0.5
    along = (columns / 4 + 0.25) % 1 >= 0.5
    np.testing.assert_array_equal(got, down[:, None] & along[None])


@pytest.mark.parametrize("ratio", [0.3, 0.6])
def test_grid_takes_its_share(ratio):
    images = np.ones((16, 96, 96, 1), "float32")
    layer = GridMask((0.1, 0.2), ratio, factor=1.0, fill_value=-1.0, seed=0)
    masked = _numpy(layer(images))
    assert set(np.unique(masked)) == {-1, 1}
    assert (masked < 0).mean() == pytest.approx((1 - ratio) ** 2, abs=0.03)


def test_a_rotated_grid_is_the_grid_rotated():
    straight = np.array([[0.0, 0.0, 0.3, 0.1, 0.5]], "float32")
    quarter = np.array([[0.0, 0.0, 0.3, 0.1, 1.0]], "float32")
    bounds = (0.4, 0.4), (0.5, 0.5), (-0.25, 0.25)
    first, second = (_numpy(grid(u, 16, 16, *bounds))[0] for u in (straight, quarter))
    # Pixels on the very edge of a square may fall to either side.
    assert (np.rot90(first, -1) == second).mean() > 0.95


def test_holes_by_the_formula():
    # 3 x 4 pixels around row 5 and column 1 of 8 x 10: cut at the left border
    uniform = np.array([[0.5, 0.5, 5.5 / 8, 1.5 / 10]], "float32")
    sizes = (3 / 8, 3 / 8), (0.4, 0.4)
    got = _numpy(holes(uniform, 8, 10, sizes, 1))[0]
    expected = np.zeros((8, 10), bool)
    expected[4:7, 0:3] = True
    np.testing.assert_array_equal(got, expected)


def test_factor_is_the_probability_that_an_image_is_cut():
    images = np.ones((400, 4, 4, 1), "float32")
    layer = RandomCutout((1.0, 1.0), factor=0.25, fill_value=7.0, seed=0)
    cut = (_numpy(layer(images)) == 7).any(axis=(1, 2, 3))
    assert 60 < cut.sum() < 140


def test_channels_keep_their_contents_and_all_orders_come():
    images = np.zeros((200, 2, 2, 3), "float32") + np.arange(3)
    shuffled = _numpy(ChannelShuffle(seed=0)(images))
    orders = {tuple(image[0, 0]) for image in shuffled}
    assert len(orders) == 6
    assert all(sorted(order) == [0, 1, 2] for order in orders)
    assert (shuffled == shuffled[:, :1, :1]).all()


def test_groups_of_channels_move_together():
    images = np.zeros((20, 2, 2, 6), "float32") + np.arange(6)
    shuffled = _numpy(ChannelShuffle(groups=2, seed=0)(images))[:, 0, 0]
    orders = {tuple(order) for order in shuffled}
    assert orders == {(0, 1, 2, 3, 4, 5), (3, 4, 5, 0, 1, 2)}
    with pytest.raises(ValueError, match="`groups` must divide"):
        ChannelShuffle(groups=4)(images)
