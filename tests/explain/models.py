"""Small models to explain, and the network of the reference values."""

import keras
import numpy as np
from keras import layers as kl


def reference(activation=None):
    """A convolution of two filters and two outputs, with weights by formula."""
    model = keras.Sequential(
        [
            keras.Input((4, 4, 1)),
            kl.Conv2D(2, 2, activation="tanh", name="conv"),
            kl.Flatten(),
            kl.Dense(2, activation=activation),
        ]
    )
    kernel = (np.arange(8).reshape(2, 2, 1, 2) - 3.5) / 4
    weights = (np.arange(36).reshape(18, 2) % 7 - 3) / 6
    model.set_weights([kernel, np.array([0.1, -0.1]), weights, np.zeros(2)])
    return model


def reference_input():
    return ((np.arange(16) % 5) / 4).astype("float32").reshape(1, 4, 4, 1)


def _backbone():
    inputs = keras.Input((12, 12, 3))
    x = kl.Conv2D(4, 3, padding="same", name="first")(inputs)
    x = kl.BatchNormalization()(x)
    x = kl.Activation("relu")(x)
    x = kl.MaxPooling2D()(x)
    x = kl.Conv2D(6, 3, padding="same", activation="relu", name="last")(x)
    return keras.Model(inputs, x, name="backbone")


def functional():
    backbone = _backbone()
    x = kl.GlobalAveragePooling2D()(backbone.output)
    return keras.Model(backbone.input, kl.Dense(3, activation="softmax")(x))


def nested():
    inputs = keras.Input((12, 12, 3))
    x = _backbone()(inputs)
    x = kl.Dropout(0.5)(kl.GlobalAveragePooling2D()(x))
    return keras.Model(inputs, kl.Dense(3, activation="softmax")(x))


def sequential():
    head = [kl.GlobalAveragePooling2D(), kl.Dense(3), kl.Softmax()]
    return keras.Sequential([keras.Input((12, 12, 3)), _backbone(), *head])


@keras.saving.register_keras_serializable("tests.explain")
class Subclassed(keras.Model):
    def __init__(self, **kwargs):
        super().__init__(**kwargs)
        self.backbone = _backbone()
        self.pool = kl.GlobalAveragePooling2D()
        self.head = kl.Dense(3, activation="softmax")

    def call(self, inputs, training=False):
        return self.head(self.pool(self.backbone(inputs, training=training)))


def subclassed():
    model = Subclassed()
    model(np.zeros((1, 12, 12, 3), "float32"))
    return model


KINDS = [functional, nested, sequential, subclassed]


def images(count=3, size=12, channels=3, seed=0):
    random = np.random.default_rng(seed)
    return random.random((count, size, size, channels)).astype("float32")


def moved(model, seed=0):
    """The model with weights and statistics that are not those of its beginning."""
    random = np.random.default_rng(seed)
    model.set_weights(
        [
            np.abs(w) + 0.5 if "variance" in v.path else w + 0.3
            for v, w in (
                (v, random.normal(scale=0.4, size=v.shape)) for v in model.weights
            )
        ]
    )
    return model


def two_inputs():
    """An image and a table."""
    image, table = keras.Input((8, 8, 1), name="image"), keras.Input((4,), name="table")
    x = kl.Conv2D(4, 3, activation="relu", name="features")(image)
    x = kl.Concatenate()([kl.GlobalMaxPooling2D()(x), table])
    return keras.Model([image, table], kl.Dense(3, activation="softmax")(x))


def segmentation():
    inputs = keras.Input((8, 8, 1))
    x = kl.Conv2D(4, 3, padding="same", activation="relu", name="features")(inputs)
    x = kl.Conv2D(2, 1, name="logits")(x)
    return keras.Model(inputs, kl.Softmax()(x))
