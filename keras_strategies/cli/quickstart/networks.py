"""The network of the quickstart: plain Keras, or the same with strategies."""

from typing import Any

import keras

from keras_strategies.augmentation import RandomAffine
from keras_strategies.callbacks import CosineDecayScheduler, GradientClipping
from keras_strategies.layers import StochasticDepth
from keras_strategies.regularizers import GroupLasso

BATCH_SIZE = 32
LEARNING_RATE = 1e-3


def build(strategies: bool) -> keras.Model:
    """Returns a small residual CNN for 8x8 grey images, compiled with Adam.

    Both networks have the same weights; with `strategies=True` the training of
    the same function is augmented (one affine resample), drops its residual
    branch at random and penalizes whole units of the dense layer.
    """
    inputs = keras.Input((8, 8, 1), name="image")
    x = affine()(inputs) if strategies else inputs
    x = keras.layers.Conv2D(32, 3, padding="same", activation="relu")(x)
    branch = keras.layers.Conv2D(32, 3, padding="same", activation="relu")(x)
    branch = keras.layers.Conv2D(32, 3, padding="same")(branch)
    if strategies:
        branch = StochasticDepth(0.1)(branch)
    x = keras.layers.ReLU()(keras.layers.Add()([x, branch]))
    x = keras.layers.MaxPooling2D()(x)
    x = keras.layers.Conv2D(64, 3, padding="same", activation="relu")(x)
    x = keras.layers.Flatten()(x)
    x = keras.layers.Dense(
        128,
        activation="relu",
        kernel_regularizer=GroupLasso(1e-6) if strategies else None,
    )(x)
    outputs = keras.layers.Dense(10, activation="softmax", name="digit")(x)
    model = keras.Model(inputs, outputs, name="digits")
    compile_model(model)
    return model


def affine(seed: int | None = None) -> keras.layers.Layer:
    """Small rotations, shifts, shears and zooms, as one resample."""
    return RandomAffine(
        rotation_factor=0.03,
        translation_height_factor=0.08,
        translation_width_factor=0.08,
        shear_x_factor=0.1,
        zoom_height_factor=0.1,
        zoom_width_factor=0.1,
        fill_mode="constant",
        seed=seed,
    )


def compile_model(model: keras.Model, learning_rate: float = LEARNING_RATE) -> None:
    """Compiles the model with Adam."""
    model.compile(
        keras.optimizers.Adam(learning_rate),
        loss="sparse_categorical_crossentropy",
        metrics=["accuracy"],
    )


def callbacks(strategies: bool, epochs: int, steps_per_epoch: int) -> list[Any]:
    """Warm-up with cosine decay and clipping, or nothing."""
    if not strategies:
        return []
    warmup = min(steps_per_epoch, epochs * steps_per_epoch // 10)
    return [
        CosineDecayScheduler(update="batch", warmup_steps=warmup),
        GradientClipping(global_clipnorm=1.0),
    ]
