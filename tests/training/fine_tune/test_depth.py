"""Depth by the graph: branches, nested models, groups and stages."""

import keras
import pytest

from keras_strategies.training._fine_tune import depth as depths

L = keras.layers


def branched():
    """Two branches of one and three layers, then a nested model, then a head."""
    inputs = keras.Input((4,))
    short = L.Dense(4, name="short")(inputs)
    x = inputs
    for name in ("long_1", "long_2", "long_3"):
        x = L.Dense(4, name=name)(x)
    nested = keras.Sequential(
        [keras.Input((4,)), L.Dense(4, name="in_1"), L.ReLU(), L.Dense(4, name="in_2")],
        name="nested",
    )
    x = nested(L.Add(name="add")([short, x]))
    return keras.Model(inputs, L.Dense(1, name="head")(x))


def by_name(model):
    found = depths.depths(model)
    names = {}
    for layer in [*model.layers, *model.get_layer("nested").layers]:
        names[layer.name] = found[id(layer)]
    return names


def test_the_longest_path_to_the_output():
    names = by_name(branched())
    assert [names[n] for n in ("head", "nested", "in_2", "in_1")] == [0, 1, 1, 2]
    assert [names[n] for n in ("add", "short", "long_3")] == [3, 3, 3]
    assert [names[n] for n in ("long_2", "long_1")] == [4, 5]
    # By the order of the list the short branch would be the deepest but one.
    order = [layer.name for layer in branched().layers if layer.weights]
    assert order.index("short") > order.index("long_1")


def test_layers_without_a_graph_have_the_depth_of_their_container():
    class Block(L.Layer):
        def __init__(self):
            super().__init__()
            self.one, self.two = L.Dense(3), L.Dense(3)

        def call(self, x):
            return self.two(self.one(x))

    block = Block()
    model = keras.Sequential([keras.Input((3,)), block, L.Dense(1)])
    found = depths.depths(model)
    assert found[id(block)] == found[id(block.one)] == found[id(block.two)] == 1


def test_the_part_nearest_to_the_output():
    model = branched()
    layers = depths.weighted([*model.layers, *model.get_layer("nested").layers])
    found = depths.depths(model)
    names = [layer.name for layer in depths.nearest_output(layers, 0.5, found)]
    assert names[:3] == ["head", "in_2", "in_1"]
    assert len(names) == 4
    assert depths.nearest_output(layers, 0.0, found) == []
    assert len(depths.nearest_output(layers, 1.0, found)) == len(layers)


@pytest.mark.parametrize("count", [3, 12, 40])
def test_groups_and_stages_cut_by_depth(count):
    stack = [L.Dense(2) for _ in range(count)]
    model = keras.Sequential([keras.Input((2,)), *stack])
    found = depths.depths(model)
    group = depths.groups(stack, found)
    numbers = [group[id(layer)] for layer in stack]
    assert numbers == sorted(numbers, reverse=True)
    assert numbers[-1] == 0
    assert max(numbers) == min(count, depths.MOST_GROUPS) - 1
    sizes = [numbers.count(number) for number in set(numbers)]
    assert max(sizes) - min(sizes) <= 1
    parts = depths.stages(stack, 3, found)
    assert [layer for part in parts for layer in part] == stack[::-1]
    assert max(map(len, parts)) - min(map(len, parts)) <= 1
