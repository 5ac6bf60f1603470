"""Search space over any compiled model."""

import keras
import keras_tuner

from keras_strategies._internal import checks
from keras_strategies.tuning._space import ranges
from keras_strategies.tuning.hypermodels._rewrite import image_input
from keras_strategies.tuning.hypermodels.variations._tuned_model import (
    Augmentation,
    TunedModel,
)


def tune_model(
    model: keras.Model,
    *,
    optimizer: ranges.Names | None = ("adam", "rmsprop", "sgd"),
    learning_rate: ranges.FloatRange | None = (1e-4, 1e-1),
    schedule: ranges.Names | None = ("constant", "cosine", "one_cycle"),
    batch_size: ranges.IntRange | None = (16, 128),
    epochs: ranges.IntRange | None = None,
    dropout: ranges.FloatRange | None = (0.0, 0.5),
    regularization: ranges.Names | None = ("none", "l2"),
    l1: ranges.FloatRange | None = (1e-6, 1e-2),
    l2: ranges.FloatRange | None = (1e-6, 1e-2),
    augmentation: Augmentation | str | None = "auto",
    batch_normalization: ranges.Names | None = None,
    activation: ranges.Names | None = None,
    initializer: ranges.Names | None = None,
    keep_weights: bool = False,
    name: str | None = None,
    tunable: bool = True,
) -> keras_tuner.HyperModel:
    """Returns a hypermodel over a compiled model, without rewriting it.

    For an existing model: its training and, optionally, the details of its layers
    become a search space for any tuner of KerasTuner, while its architecture stays. The
    model itself is never changed or trained.

    A range is one value, which is then fixed, or a pair `(low, high)` with both ends
    included; choices are one name or several; `None` keeps what the model has and
    leaves it out of the search. The hyperparameters have the names of the arguments.

    Each trial trains a copy. Its weights are new, except those of frozen layers and of
    layers that only store data (such as `Normalization`). Nested models are copied as
    they are. A subclassed model whose `get_config` returns all arguments of its
    constructor can be searched too, but only its training: its layers cannot be
    changed.

    Use an objective such as `val_accuracy`: `val_loss` contains the penalty, so that
    trials with different `regularization` cannot be compared by it.

    Args:
        model: A compiled `keras.Model`; losses, metrics and everything that is not
            searched are kept.
        optimizer: Names of Keras optimizers. Defaults to
            `("adam", "rmsprop", "sgd")`.
        learning_rate: Range of the learning rate, above 0, on a log scale. Defaults
            to `(1e-4, 1e-1)`.
        schedule: Schedule of the learning rate over a trial: `"constant"`, `"step"`,
            `"exponential"`, `"cosine"`, `"one_cycle"`, as in `HyperSchedule`.
            Defaults to `("constant", "cosine", "one_cycle")`.
        batch_size: Range of examples per step, at least 1. Defaults to `(16, 128)`;
            must be `None` for data that is already batched.
        epochs: Range of the number of epochs, at least 1. Defaults to `None`, which
            leaves it to `tuner.search(..., epochs=...)`.
        dropout: Range of the rate of the model's dropout layers, in [0, 1); if it has
            none, one is inserted after each hidden activation. Defaults to
            `(0.0, 0.5)`.
        regularization: Penalties on all kernels: `"none"`, `"l1"`, `"l2"`, `"l1_l2"`,
            in place of the model's. Defaults to `("none", "l2")`.
        l1: Range of the factor of L1, above 0, on a log scale. Defaults to
            `(1e-6, 1e-2)`.
        l2: The same for L2. Defaults to `(1e-6, 1e-2)`.
        augmentation: Range of one strength, in [0, 0.5], of a `RandomAffine` before
            the model: translation, shear and zoom by up to this fraction, rotation by
            up to a quarter of it. Or a dict of ranges and choices, such as
            `{"rotation": (0, 0.1), "flip": ("none", "horizontal")}`, with the names
            of `HyperAugment`. `"auto"` is `(0.0, 0.2)` for a model with one image
            input, `None` for others. Defaults to `"auto"`.
        batch_normalization: Positions of batch normalization relative to hidden
            activations: `"off"`, `"before"`, `"after"`. Defaults to `None`.
        activation: Names of activations for all hidden layers. Defaults to `None`.
        initializer: Names of initializers for all kernels. Defaults to `None`.
        keep_weights: Whether copies begin with the weights of `model`. Defaults to
            `False`.
        name: Name of the hypermodel. Defaults to `None`.
        tunable: `False` keeps the hyperparameters out of the search space; they take
            their smallest or first values. Defaults to `True`.

    Returns:
        A `keras_tuner.HyperModel`.

    Raises:
        TypeError: If `model` is no Keras model or an argument has the wrong type.
        ValueError: If the model is not compiled, a range or a name cannot be used, or
            the layers of a subclassed model would have to be changed.

    Example:

    ```python
    import keras
    import keras_tuner
    import numpy as np
    from keras_strategies.tuning.hypermodels.variations import _tune_model as tune_model

    model = keras.Sequential([
        keras.Input((4,)),
        keras.layers.Dense(8, activation="relu"),
        keras.layers.Dense(1, activation="sigmoid"),
    ])
    model.compile("adam", "binary_crossentropy", metrics=["accuracy"])

    x = np.random.default_rng(0).normal(size=(64, 4)).astype("float32")
    y = (x[:, 0] > x[:, 1]).astype("float32")
    tuner = keras_tuner.RandomSearch(
        tune_model(model, batch_size=(8, 32)),
        objective="val_accuracy",
        max_trials=2,
        overwrite=True,
    )
    tuner.search(x, y, validation_split=0.25, epochs=2, verbose=0)
    print(tuner.get_best_hyperparameters()[0].values)
    ```
    """
    if isinstance(augmentation, str):
        checks.choice("augmentation", augmentation, ("auto",))
        has_image = getattr(model, "built", False) and image_input(model) is not None
        augmentation = (0.0, 0.2) if has_image else None
    return TunedModel(
        model,
        optimizer=optimizer,
        learning_rate=learning_rate,
        schedule=schedule,
        batch_size=batch_size,
        epochs=epochs,
        activation=activation,
        initializer=initializer,
        regularization=regularization,
        l1=l1,
        l2=l2,
        dropout=dropout,
        batch_normalization=batch_normalization,
        augmentation=augmentation,
        keep_weights=keep_weights,
        name=name,
        tunable=tunable,
    )
