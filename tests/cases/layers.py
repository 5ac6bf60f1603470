"""Layers.

Few input shapes: the battery builds one model for each.
"""

from tests.cases.case import Case

VECTOR, IMAGE, SEQUENCE = (6,), (12, 10, 3), (8, 4)
NORMAL = {"class_name": "RandomNormal", "config": {"stddev": 0.5}}


def _wide(layer, x):
    """Calls `layer` on six channels."""
    import keras

    return layer(keras.layers.Concatenate()([x, -x]))


def _layer(name, shape, label="", random=False, apply=None, **arguments):
    more = {} if apply is None else {"apply": apply}
    return Case(
        f"layers.{name}",
        "layer",
        make=lambda: dict(arguments),
        input_shape=shape,
        label=label,
        random=random,
        **more,
    )


LAYERS = [
    Case(
        "layers.StochasticDepth",
        "layer",
        make=lambda: {"rate": 0.3, "seed": 7},
        input_shape=VECTOR,
        random=True,
    ),
    Case(
        "layers.StochasticDepth",
        "layer",
        make=lambda: {"rate": 0.3, "seed": 7},
        input_shape=IMAGE,
        label="shortcut",
        random=True,
        apply=lambda layer, x: layer([x, x]),
    ),
    _layer("AconC", IMAGE, p1_initializer=NORMAL),
    _layer("BlurPooling2D", IMAGE, strides=2),
    _layer("ConvolutionalBlockAttention", IMAGE, ratio=2, kernel_size=3),
    _layer("DropBlock1D", SEQUENCE, random=True, rate=0.2, block_size=3, seed=7),
    _layer("DropBlock2D", IMAGE, random=True, rate=0.2, block_size=4, seed=7),
    _layer("EfficientChannelAttention", IMAGE, kernel_size=3),
    _layer("FilterResponseNormalization", IMAGE, learned_epsilon=True),
    _layer("GhostBatchNormalization", IMAGE, virtual_batch_size=3),
    _layer("GlobalResponseNormalization", IMAGE, gamma_initializer=NORMAL),
    _layer("LayerScale", IMAGE, initial_value=0.1, axis=3),
    _layer("LearnableSwish", VECTOR, beta_initializer=NORMAL),
    _layer("Maxout", IMAGE, apply=_wide, num_units=2),
    _layer("Snake", VECTOR, alpha_initializer=NORMAL),
    _layer("SpatialPyramidPooling2D", IMAGE, bins=[1, 2]),
    _layer("SqueezeExcitation", IMAGE, ratio=2, gate_activation="hard_sigmoid"),
    _layer("WeightStandardizedConv2D", IMAGE, filters=4, kernel_size=[3, 3]),
]
