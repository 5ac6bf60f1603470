"""How the recipes train: optimizer, schedule, callbacks."""

from typing import Any

import keras

from keras_strategies import callbacks


def compile_model(
    model: Any,
    samples: int,
    batch_size: int,
    epochs: int,
    *,
    learning_rate: float,
    weight_decay: float = 1e-4,
    classes: bool = True,
    global_clipnorm: float | None = 1.0,
) -> None:
    """AdamW with a short warm-up and a cosine decay to 1 % over all epochs.

    Biases, scales and offsets do not decay (Loshchilov and Hutter 2019,
    https://arxiv.org/abs/1711.05101).
    """
    steps = max(2, epochs * -(-samples // batch_size))
    warmup = max(1, steps // 20)
    schedule = keras.optimizers.schedules.CosineDecay(
        learning_rate / 10,
        steps - warmup,
        alpha=0.01,
        warmup_target=learning_rate,
        warmup_steps=warmup,
    )
    optimizer = keras.optimizers.AdamW(
        schedule, weight_decay=weight_decay, global_clipnorm=global_clipnorm
    )
    optimizer.exclude_from_weight_decay(var_names=["bias", "gamma", "beta"])
    if classes:
        model.compile(
            optimizer, "sparse_categorical_crossentropy", metrics=["accuracy"]
        )
    else:
        model.compile(optimizer, "mse", metrics=["mae"])


def best_weights(epochs: int) -> list[Any]:
    """Stops long after the validation loss got no better; the best weights stay."""
    patience = max(5, epochs // 3)
    return [callbacks.EarlyStopping(patience=patience, restore_best_weights=True)]
