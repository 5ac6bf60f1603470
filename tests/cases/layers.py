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


def _dense(**arguments):
    import keras

    return keras.layers.Dense(3, **arguments)


def _block():
    import keras

    from keras_strategies.layers import LayerScale, Snake

    return {
        "filters": 4,
        "strides": 2,
        "activation": Snake(),
        "preactivation": True,
        "normalization": keras.layers.GroupNormalization(1),
        "branch_end": LayerScale(0.1),
        "drop_path_rate": 0.1,
        "seed": 7,
    }


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
    _layer("AttentionPooling", SEQUENCE, units=3, gated=True),
    _layer("BlurPooling2D", IMAGE, strides=2),
    Case(
        "layers.ConcreteDropout",
        "layer",
        make=lambda: {"layer": _dense(), "rate": 0.3, "seed": 7},
        input_shape=VECTOR,
        random=True,
    ),
    _layer("ConvolutionalBlockAttention", IMAGE, ratio=2, kernel_size=3),
    _layer("DropBlock1D", SEQUENCE, random=True, rate=0.2, block_size=3, seed=7),
    _layer("DropBlock2D", IMAGE, random=True, rate=0.2, block_size=4, seed=7),
    _layer("EfficientChannelAttention", IMAGE, kernel_size=3),
    _layer("FilterResponseNormalization", IMAGE, learned_epsilon=True),
    _layer("GatedLinearUnit", SEQUENCE, units=3, activation="silu"),
    _layer("GhostBatchNormalization", IMAGE, virtual_batch_size=3),
    _layer("GlobalResponseNormalization", IMAGE, gamma_initializer=NORMAL),
    _layer("LayerScale", IMAGE, initial_value=0.1, axis=3),
    _layer("LearnableSwish", VECTOR, beta_initializer=NORMAL),
    _layer("Maxout", IMAGE, apply=_wide, num_units=2),
    # So little that the random inference is the same to the last digits but one.
    _layer("MonteCarloDropout", VECTOR, random=True, rate=1e-7, seed=7),
    _layer("NoisyDense", VECTOR, random=True, units=3, activation="relu", seed=7),
    _layer("PositionalEmbedding", SEQUENCE, sequence_length=9),
    _layer("PositionalEmbedding", SEQUENCE, "sinusoidal", method="sinusoidal"),
    Case("layers.ResidualBlock", "layer", make=_block, input_shape=IMAGE, random=True),
    _layer("Snake", VECTOR, alpha_initializer=NORMAL),
    _layer("SpatialPyramidPooling2D", IMAGE, bins=[1, 2]),
    _layer("SqueezeExcitation", IMAGE, ratio=2, gate_activation="hard_sigmoid"),
    _layer(
        "TransformerBlock",
        SEQUENCE,
        random=True,
        intermediate_dim=6,
        num_heads=2,
        dropout=0.1,
        activation="silu",
        causal=True,
        gated=True,
        drop_path_rate=0.1,
        layer_scale=0.5,
        seed=7,
    ),
    Case(
        "layers.WeightNormalization",
        "layer",
        make=lambda: {"layer": _dense(activation="relu"), "axis": [-1]},
        input_shape=VECTOR,
    ),
    _layer("WeightStandardizedConv2D", IMAGE, filters=4, kernel_size=[3, 3]),
]
