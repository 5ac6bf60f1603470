"""Initializers."""

from tests.cases.case import Case


def _he():
    import keras

    return keras.initializers.HeNormal(seed=3)


INITIALIZERS = [
    Case(
        "initializers.ConvolutionAware",
        "initializer",
        make=lambda: {"stddev": 0.1, "seed": 3},
    ),
    Case(
        "initializers.DeltaOrthogonal",
        "initializer",
        make=lambda: {"gain": 1.5, "seed": 3},
    ),
    Case("initializers.Dirac", "initializer", make=lambda: {"groups": 2}),
    Case(
        "initializers.ICNR",
        "initializer",
        make=lambda: {"scale": 1, "initializer": _he()},
    ),
]
