"""Graphs through which channels have to be followed."""

import keras
import numpy as np
from keras import layers

from keras_strategies.compression.filters import _selection as selection
from keras_strategies.compression.filters._analysis import Analysis, producers
from keras_strategies.layers import StochasticDepth


def conv(x, filters, kernel=3, activation="relu", norm=True, **arguments):
    x = layers.Conv2D(filters, kernel, padding="same", use_bias=not norm, **arguments)(
        x
    )
    x = layers.BatchNormalization()(x) if norm else x
    return layers.Activation(activation)(x) if activation else x


def head(inputs, x, units=3):
    return keras.Model(inputs, layers.Dense(units)(layers.GlobalAveragePooling2D()(x)))


def plain():
    return keras.Sequential(
        [
            keras.Input((12, 12, 3)),
            layers.ZeroPadding2D(1),
            layers.Conv2D(8, 3, use_bias=False),
            layers.BatchNormalization(),
            layers.ReLU(),
            layers.MaxPooling2D(),
            layers.Conv2D(12, 3, activation="relu"),
            layers.Dropout(0.5),
            layers.GlobalMaxPooling2D(keepdims=True),
            layers.Flatten(),
            layers.Dense(10, activation="relu"),
            layers.Dense(4, activation="softmax"),
        ]
    )


def residual():
    inputs = keras.Input((8, 8, 3))
    x = conv(inputs, 8)
    y = conv(conv(x, 6), 8, activation=None)
    x = layers.ReLU()(layers.Add()([x, y]))
    y = StochasticDepth(0.2)([x, conv(x, 8, activation=None)])
    x = layers.Subtract()([layers.Maximum()([x, y]), layers.Average()([x, y])])
    return head(inputs, x)


def operators():
    inputs = keras.Input((8, 8, 3))
    x = conv(inputs, 8)
    x = keras.ops.relu(x + conv(x, 8, norm=False)) * 2.0
    return head(inputs, keras.ops.multiply(x, conv(x, 8)) - x)


def dense_net():
    inputs = keras.Input((8, 8, 3))
    x = conv(inputs, 8)
    for _ in range(3):
        y = conv(conv(x, 8, 1), 4, norm=False)
        x = layers.Concatenate()([x, y])
    x = layers.Concatenate()([inputs, x])
    x = layers.BatchNormalization()(x)
    rows = layers.Concatenate(axis=1)([conv(x, 6), conv(x, 6)])
    return head(inputs, layers.UpSampling2D()(rows))


def mobile_net():
    inputs = keras.Input((8, 8, 3))
    x = conv(inputs, 8)
    for _ in range(2):
        y = conv(x, 16, 1)
        y = layers.DepthwiseConv2D(3, padding="same", use_bias=False)(y)
        y = layers.ReLU(6.0)(layers.BatchNormalization()(y))
        x = layers.Add()([x, conv(y, 8, 1, activation=None)])
    x = layers.DepthwiseConv2D(3, depth_multiplier=2, activation="relu")(x)
    x = layers.SeparableConv2D(10, 3, depth_multiplier=2, activation="relu")(x)
    return head(inputs, layers.PReLU(shared_axes=[1, 2])(x))


def flat():
    inputs = keras.Input((6, 6, 2))
    x = layers.PReLU()(conv(inputs, 8, activation=None))
    x = layers.Flatten()(layers.AveragePooling2D(2)(x))
    x = layers.BatchNormalization()(x)
    x = layers.Dense(8, activation="tanh")(x)
    x = layers.RepeatVector(5)(x)
    x = layers.Conv1D(6, 3, activation="relu")(x)
    x = layers.Permute((2, 1))(x)
    x = layers.Permute((2, 1))(x)
    x = layers.Reshape((-1,))(x)
    return keras.Model(inputs, layers.Dense(3)(x))


def squeeze_excite():
    inputs = keras.Input((8, 8, 3))
    x = conv(inputs, 8, activation="silu")
    gate = layers.Reshape((1, 1, 8))(layers.GlobalAveragePooling2D()(x))
    gate = layers.Conv2D(4, 1, activation="relu")(gate)
    gate = layers.Conv2D(8, 1, activation="sigmoid")(gate)
    x = layers.Multiply()([x, gate])
    gate = layers.Dense(8, activation="sigmoid")(layers.GlobalMaxPooling2D()(x))
    x = layers.Multiply()([x, gate])  # (8,) becomes (1, 1, 8)
    where = layers.Conv2D(1, 3, padding="same", activation="sigmoid")(x)
    return head(inputs, layers.Multiply()([x, where]))


def two_outputs():
    inputs = {"a": keras.Input((8, 8, 3), name="a"), "b": keras.Input((5,), name="b")}
    x = conv(inputs["a"], 8)
    mask = layers.Conv2D(4, 1, name="mask")(conv(x, 6))
    pooled = layers.GlobalAveragePooling2D()(x)
    x = layers.Concatenate()([pooled, layers.Dense(7, activation="relu")(inputs["b"])])
    return keras.Model(inputs, {"mask": mask, "label": layers.Dense(3)(x), "x": pooled})


def shared():
    inputs = keras.Input((8, 8, 4))
    first = layers.Conv2D(6, 3, padding="same", use_bias=False)
    norm, again = layers.BatchNormalization(), layers.Conv2D(8, 3, padding="same")
    x, y = (
        norm(first(inputs)),
        norm(first(layers.AveragePooling2D(2, 1, "same")(inputs))),
    )
    x, y = again(layers.ReLU()(x)), again(conv(layers.ReLU()(y), 6))
    return head(inputs, layers.Concatenate()([x, y]))


def nested():
    inputs = keras.Input((8, 8, 3))
    block_in = keras.Input((8, 8, 8))
    y = conv(conv(block_in, 6), 8, activation=None)
    block = keras.Model(block_in, layers.Add()([block_in, y]), name="block")
    stem = keras.Sequential(
        [keras.Input((8, 8, 3)), layers.Conv2D(8, 3, padding="same"), layers.ReLU()],
        name="stem",
    )
    tail = keras.Sequential([layers.Conv2D(6, 1, activation="relu"), block_head()])
    x = stem(inputs)
    return keras.Model(inputs, tail(block(layers.ReLU()(block(x)))))


def block_head():
    return keras.Sequential([layers.GlobalAveragePooling2D(), layers.Dense(3)])


def upsample():
    inputs = keras.Input((8, 8, 3))
    skip = conv(inputs, 8)
    x = conv(layers.MaxPooling2D()(skip), 8)
    x = layers.Conv2DTranspose(8, 2, strides=2, activation="relu")(x)
    x = layers.Concatenate()([skip, layers.Cropping2D(0)(x)])
    return keras.Model(inputs, layers.Conv2D(2, 1)(conv(x, 6)))


def signal():
    inputs = keras.Input((16, 3))
    x = layers.Conv1D(8, 3, activation="relu")(inputs)
    x = layers.DepthwiseConv1D(3)(layers.MaxPooling1D()(x))
    x = layers.SeparableConv1D(8, 3, activation="relu")(x)
    x = layers.Conv1DTranspose(6, 2, strides=2, activation="relu")(x)
    x = layers.SpatialDropout1D(0.2)(layers.Dense(8, activation="gelu")(x))
    return keras.Model(inputs, layers.Dense(2)(layers.GlobalAveragePooling1D()(x)))


def volume():
    inputs = keras.Input((6, 6, 6, 2))
    x = layers.Conv3D(6, 3, activation="relu")(inputs)
    x = layers.Conv3DTranspose(6, 2, activation="relu")(layers.MaxPooling3D()(x))
    return keras.Model(inputs, layers.Dense(2)(layers.GlobalMaxPooling3D()(x)))


GRAPHS = {
    make.__name__: make
    for make in (
        *(plain, residual, operators, dense_net, mobile_net, flat, squeeze_excite),
        *(two_outputs, shared, nested, upsample, signal, volume),
    )
}


def randomize(model, seed=0):
    """Random weights; biases and means 0, so that a zero kernel gives a zero."""
    rng = np.random.default_rng(seed)
    for weight in model.weights:
        if weight.name in ("bias", "beta", "moving_mean"):
            value = np.zeros(weight.shape)
        elif weight.name in ("gamma", "moving_variance"):
            value = rng.uniform(0.5, 1.5, weight.shape)
        elif weight.name in ("mean", "variance", "count"):  # of Normalization
            continue
        else:
            fan = np.prod(weight.shape[:-1])
            value = rng.normal(size=weight.shape) * np.sqrt(2 / fan)
        weight.assign(value)
    return model


def silence(model, fraction):
    """Sets the kernels of the units to zero that `prune_filters` would remove."""
    analysis = Analysis(model)
    groups = selection.prunable_groups(analysis, lambda plan: True)
    removed = selection.select(analysis, groups, lambda plan: fraction, "l1", 1)
    for plan in producers(analysis):
        variable, axis = plan.kernel
        value = np.moveaxis(np.array(keras.ops.convert_to_numpy(variable)), axis, -1)
        gone = np.isin(analysis.groups.roots(plan.units), list(removed))
        value[..., gone] = 0
        variable.assign(np.moveaxis(value, -1, axis))
    return model


def batch(model, seed=1):
    """Random input for a model, in the structure it wants."""
    rng = np.random.default_rng(seed)

    def draw(tensor):
        return rng.normal(size=(3, *tensor.shape[1:])).astype("float32")

    if isinstance(model, keras.Sequential):
        return draw(model.inputs[0])
    return keras.tree.map_structure(draw, model.input)


def outputs(model, x):
    """The flat outputs of a model as NumPy arrays."""
    flat = keras.tree.flatten(model(x, training=False))
    return [keras.ops.convert_to_numpy(value) for value in flat]
