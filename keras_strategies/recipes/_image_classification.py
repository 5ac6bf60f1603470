"""Images into classes."""

from collections.abc import Sequence
from typing import Any

import keras
import numpy as np

from keras_strategies import layers
from keras_strategies._internal import checks
from keras_strategies.augmentation import RandomAffine
from keras_strategies.recipes import _compiling, _data
from keras_strategies.recipes.recipe import Recipe


def image_classification(
    x: Any,
    y: Any,
    *,
    validation_data: tuple[Any, Any] | None = None,
    validation_split: float = 0.2,
    augmentation: Sequence[Any] | None = None,
    filters: int = 32,
    dropout: float = 0.2,
    learning_rate: float = 3e-3,
    epochs: int = 30,
    batch_size: int = 64,
    seed: int = 0,
) -> Recipe:
    """Returns a small residual network for images, with data and callbacks.

    Normalization of the channels, augmentation and classification are one model; it
    takes pixels as they are and can be exported to `.tflite` as a whole. The network
    halves the image until 4 to 7 pixels are left, with twice the channels each time
    (He et al. 2016, https://arxiv.org/abs/1512.03385).

    For photographs of which there are few, take a trained backbone instead:
    `training.fine_tune`.

    Args:
        x: Images, `(samples, height, width[, channels])`, of 4 pixels at least, of
            any range.
        y: Class numbers 0 to K - 1.
        validation_data: `(x, y)` to validate with. Defaults to `None`: a part of the
            data, of each class the same.
        validation_split: This part. Defaults to `0.2`.
        augmentation: Layers that change images in training. Defaults to `None`: small
            rotations, shifts and zooms, which suit letters and things alike. For
            photographs add `keras.layers.RandomFlip("horizontal")`. An empty list
            for none.
        filters: Channels of the first block. Defaults to `32`.
        dropout: Rate before the classification. Defaults to `0.2`.
        learning_rate: Highest learning rate. Defaults to `3e-3`.
        epochs: Epochs for which the learning rate is planned. Defaults to `30`.
        batch_size: Images of a step. Defaults to `64`.
        seed: Seed of split, order, weights and augmentation. Defaults to `0`.

    Returns:
        A `Recipe`.

    Raises:
        ValueError: If images or labels do not fit.

    Example:

    ```python
    import numpy as np
    from keras_strategies import recipes

    rng = np.random.default_rng(0)
    y = np.arange(64) % 2
    x = rng.normal(size=(64, 8, 8, 1)) + y[:, None, None, None]
    recipe = recipes.image_classification(x, y, epochs=1, filters=4)
    recipe.model.fit(**recipe.fit_arguments, verbose=0)
    print(recipe.model.predict(x[:3], verbose=0).shape)  # (3, 2)
    ```
    """
    _data.check_training(epochs, batch_size)
    images = _images("x", x)
    labels, classes = _data.class_labels(y, len(images))
    if validation_data is None:
        train, held = _data.split(labels, validation_split, seed, stratify=True)
        x_val, y_val = images[held], labels[held]
        images, labels = images[train], labels[train]
    else:
        x_val = _images("validation_data", validation_data[0])
        y_val = _validation_labels(validation_data[1], len(x_val), classes)
    keras.utils.set_random_seed(seed)
    model = _network(images, classes, augmentation, filters, dropout, seed)
    _compiling.compile_model(
        model, len(images), batch_size, epochs, learning_rate=learning_rate
    )
    return Recipe(
        model=model,
        train=_data.batches(images, labels, batch_size, shuffle=True, seed=seed),
        validation=_data.batches(x_val, y_val, batch_size),
        callbacks=_compiling.best_weights(epochs),
        epochs=epochs,
        network=model,
    )


def _images(name: str, x: Any) -> np.ndarray:
    images = np.asarray(x)
    if images.ndim == 3:
        images = images[..., None]
    if (
        images.ndim != 4
        or min(images.shape[1:3]) < 4
        or images.dtype.kind not in "iufb"
    ):
        checks.fail(
            f"`{name}` must have numeric images of shape (samples, height, width) or "
            "(samples, height, width, channels), of 4 pixels at least",
            shape=images.shape,
            dtype=str(images.dtype),
        )
    if images.dtype.kind == "f" and not np.isfinite(images).all():
        checks.fail(f"`{name}` must be finite", nan=int(np.isnan(images).sum()))
    return images.astype("float32")


def _validation_labels(y: Any, count: int, classes: int) -> np.ndarray:
    labels = np.asarray(y).reshape(-1)
    outside = labels.dtype.kind not in "iu" or not np.isin(labels, range(classes)).all()
    if len(labels) != count or outside:
        checks.fail(
            f"Labels of `validation_data` must be {count} class numbers from 0 to "
            f"{classes - 1}",
            labels=np.unique(labels)[:10].tolist(),
            count=len(labels),
        )
    return labels.astype("int32")


def _network(
    images: np.ndarray,
    classes: int,
    augmentation: Sequence[Any] | None,
    filters: int,
    dropout: float,
    seed: int,
) -> Any:
    if augmentation is None:
        augmentation = [
            RandomAffine(
                rotation_factor=0.03,
                translation_height_factor=0.08,
                translation_width_factor=0.08,
                zoom_height_factor=0.1,
                fill_mode="nearest",
                seed=seed,
            )
        ]
    checks.integer("filters", filters, low=1)
    inputs = keras.Input(images.shape[1:], name="image")

    def normalize():
        # Statistics that follow within tens of steps: small data have no more.
        return keras.layers.BatchNormalization(momentum=0.9)

    normalization = keras.layers.Normalization(axis=-1, name="normalization")
    normalization.adapt(images)
    x = normalization(inputs)
    for layer in augmentation:
        x = layer(x)
    x = keras.layers.Conv2D(filters, 3, padding="same", use_bias=False)(x)
    x = normalize()(x)
    x = keras.layers.ReLU()(x)
    size, channels = min(images.shape[1:3]), filters
    x = layers.ResidualBlock(channels, normalization=normalize())(x)
    while size >= 8:
        size, channels = size // 2, min(2 * channels, 16 * filters)
        x = layers.ResidualBlock(channels, strides=2, normalization=normalize())(x)
    x = keras.layers.GlobalAveragePooling2D()(x)
    x = keras.layers.Dropout(dropout, seed=seed)(x)
    outputs = keras.layers.Dense(classes, activation="softmax", name="class")(x)
    return keras.Model(inputs, outputs, name="image_classification")
