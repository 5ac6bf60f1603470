"""Layers."""

from tests.cases.case import Case

LAYERS = [
    Case(
        "layers.StochasticDepth",
        "layer",
        make=lambda: {"rate": 0.3, "seed": 7},
        input_shape=(6,),
        random=True,
    ),
    Case(
        "layers.StochasticDepth",
        "layer",
        make=lambda: {"rate": 0.3, "seed": 7},
        input_shape=(12, 10, 3),
        label="shortcut",
        random=True,
        apply=lambda layer, x: layer([x, x]),
    ),
]
