"""Kinds of models that every rewriter answers alike: right, or refused with why."""

import keras
import numpy as np

KL = keras.layers
register = keras.saving.register_keras_serializable("tests")
X = np.random.default_rng(0).normal(size=(6, 8, 8, 1)).astype("float32")


@register
class OwnConstructor(keras.Model):
    def __init__(self, **kwargs):
        inputs = keras.Input((8, 8, 1))
        super().__init__(inputs, body(inputs), **kwargs)

    def get_config(self):
        return {"name": self.name}

    @classmethod
    def from_config(cls, config):
        return cls(**config)


@register
class OwnCall(keras.Model):
    def call(self, inputs, training=None, mask=None):
        return 2.0 * super().call(inputs, training=training)


@register
class OwnStep(keras.Model):
    def train_step(self, data):
        return super().train_step(data)


@register
class SequentialKind(keras.Sequential):
    pass


@register
class SequentialCall(keras.Sequential):
    def call(self, inputs, training=None, mask=None):
        return 2.0 * super().call(inputs, training=training)


@register
class SequentialStep(keras.Sequential):
    def train_step(self, data):
        return super().train_step(data)


@register
class ConstructorAndStep(OwnConstructor):
    def train_step(self, data):
        return super().train_step(data)


class Subclassed(keras.Model):
    def __init__(self, **kwargs):
        super().__init__(**kwargs)
        self.pool, self.head = KL.Flatten(), KL.Dense(3)

    def call(self, inputs):
        return self.head(self.pool(inputs))


class Plus(KL.Layer):
    """Unregistered: only the live layer has its class."""

    def call(self, x):
        return x + 1.0

    def compute_output_shape(self, shape):
        return shape


def wave(x):
    """Unregistered, and `ops` is a name of this module only."""
    return keras.ops.sin(x)


def body(x):
    x = KL.RandomRotation(0.0)(x)
    x = KL.RandomZoom(0.0)(x)
    x = KL.Conv2D(4, 3, activation="relu", name="hidden")(x)
    return KL.Dense(3, name="head")(KL.Flatten()(x))


def functional(kind=keras.Model):
    inputs = keras.Input((8, 8, 1))
    return kind(inputs, body(inputs))


def sequential(kind=keras.Sequential):
    return kind(
        [
            keras.Input((8, 8, 1)),
            KL.RandomRotation(0.0),
            KL.RandomZoom(0.0),
            KL.Conv2D(4, 3, activation="relu", name="hidden"),
            KL.Flatten(),
            KL.Dense(3, name="head"),
        ]
    )


def nested(make):
    def outer():
        inner, inputs = make(), keras.Input((8, 8, 1))
        return keras.Model(inputs, KL.Dense(3, name="top")(inner(inputs)))

    return outer


def shared():
    inputs, layer = keras.Input((8, 8, 1)), KL.Conv2D(1, 3, padding="same")
    return keras.Model(inputs, body(layer(layer(inputs))))


def several_outputs():
    inputs = keras.Input((8, 8, 1))
    x = KL.Conv2D(4, 3, activation="relu", name="hidden")(inputs)
    flat = KL.Flatten()(x)
    return keras.Model(inputs, {"a": KL.Dense(3)(flat), "b": KL.Dense(2)(flat)})


def several_inputs():
    """Two inputs, one of which is the other one's mirror, made inside for `X`."""
    one, other = keras.Input((8, 8, 1)), keras.Input((8, 8, 1))
    inner = keras.Model([one, other], body(KL.Add()([one, other])))
    inputs = keras.Input((8, 8, 1))
    return keras.Model(inputs, inner([inputs, KL.Rescaling(0.5)(inputs)]))


def frozen():
    model = functional()
    model.get_layer("hidden").trainable = False
    return model


def with_layer(layer):
    def make():
        inputs = keras.Input((8, 8, 1))
        return keras.Model(inputs, body(layer()(inputs)))

    return make


SCALE = 3.0
RIGHT = {
    "Functional": functional,
    "Sequential": sequential,
    "own train_step": lambda: functional(OwnStep),
    "own constructor": OwnConstructor,
    "Sequential subclass": lambda: sequential(SequentialKind),
    "Sequential subclass, own train_step": lambda: sequential(SequentialStep),
}
RIGHT |= {f"nested {name}": nested(make) for name, make in RIGHT.items()}
RIGHT |= {
    # Inside another model only its call matters.
    "nested constructor and train_step": nested(ConstructorAndStep),
    "shared layer": shared,
    "several outputs": several_outputs,
    "several inputs": several_inputs,
    "frozen layer": frozen,
    # Also the name that the function reads from its module survives a copy.
    "Lambda": with_layer(
        lambda: KL.Lambda(lambda x: x * SCALE, output_shape=lambda s: s, name="own")
    ),
    "Lambda in a wrapper": with_layer(
        lambda: KL.TimeDistributed(
            KL.Lambda(lambda x: x * SCALE, output_shape=lambda s: s), name="own"
        )
    ),
    "unregistered layer": with_layer(lambda: Plus(name="own")),
    "unregistered activation": with_layer(lambda: KL.Activation(wave, name="own")),
}
REFUSED = {
    "own call": (lambda: functional(OwnCall), "its class has its own `call`"),
    "Sequential, own call": (
        lambda: sequential(SequentialCall),
        "its class has its own `call`",
    ),
    "constructor and train_step": (ConstructorAndStep, "`train_step` would be lost"),
    "subclassed": (Subclassed, "it is subclassed and has no graph"),
    "unbuilt": (lambda: keras.Sequential([KL.Dense(3)]), "it is not built"),
}
REFUSED |= {
    f"nested {name}": (nested(make), f"inside it, {reason}")
    for name, (make, reason) in REFUSED.items()
    if "call" in name
}
