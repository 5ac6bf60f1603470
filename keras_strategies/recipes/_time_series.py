"""Forecasts of time series."""

from typing import Any, Literal

import keras
import numpy as np
from keras import ops

from keras_strategies._internal import checks
from keras_strategies.recipes import _compiling, _data
from keras_strategies.recipes.recipe import Recipe


def time_series(
    series: Any,
    *,
    window: int = 48,
    horizon: int = 1,
    targets: int | list[int] | None = None,
    network: Literal["gru", "conv"] = "gru",
    validation_split: float = 0.2,
    units: int = 64,
    dropout: float = 0.1,
    learning_rate: float = 2e-3,
    epochs: int = 30,
    batch_size: int = 64,
    seed: int = 0,
) -> Recipe:
    """Returns a network that forecasts a series, with data and callbacks.

    From `window` steps it predicts the next `horizon` ones, as a change from the last
    step: "nothing changes", which is hard to beat, is where training begins. The
    latest steps validate, and no window reaches across the border. Values are given
    and predicted in their own unit; the model normalizes them inside with mean and
    deviation of the training steps.

    `"gru"` is a recurrent network, exported to `.tflite` for one window at a time;
    `"conv"` has dilated causal convolutions that see the whole window (van den Oord
    et al. 2016, https://arxiv.org/abs/1609.03499), for any batch.

    Args:
        series: Numbers, `(steps,)` or `(steps, variables)`, at equal distances.
        window: Steps that the model sees. Defaults to `48`.
        horizon: Steps that it predicts. Defaults to `1`.
        targets: Variables that it predicts. Defaults to `None`: all.
        network: `"gru"` or `"conv"`. Defaults to `"gru"`.
        validation_split: Part at the end to validate with. Defaults to `0.2`.
        units: Units or channels. Defaults to `64`.
        dropout: Rate before the last layer. Defaults to `0.1`.
        learning_rate: Highest learning rate. Defaults to `2e-3`.
        epochs: Epochs for which the learning rate is planned. Defaults to `30`.
        batch_size: Windows of a step. Defaults to `64`.
        seed: Seed of order and weights. Defaults to `0`.

    Returns:
        A `Recipe`. The model's outputs have shape `(batch, horizon, targets)`.

    Raises:
        ValueError: If the series is too short or has missing values.

    Example:

    ```python
    import numpy as np
    from keras_strategies import recipes

    series = np.sin(np.arange(200) / 5)
    recipe = recipes.time_series(series, window=12, horizon=2, epochs=1, units=4)
    recipe.model.fit(**recipe.fit_arguments, verbose=0)
    print(recipe.model.predict(series[None, -12:, None], verbose=0).shape)  # (1, 2, 1)
    ```
    """
    _data.check_training(epochs, batch_size)
    checks.choice("network", network, _NETWORKS)
    for name, value in (("window", window), ("horizon", horizon), ("units", units)):
        checks.integer(name, value, low=1)
    values = _series(series)
    chosen = _targets(targets, values.shape[1])
    fraction = checks.real("validation_split", validation_split, low=0, high=1)
    border = len(values) - round(len(values) * fraction)
    sides = [values[:border], values[border:]]
    if min(len(side) for side in sides) < window + horizon:
        checks.fail(
            "Training and validation must each have `window` + `horizon` steps",
            fix="Give a longer series or a shorter window.",
            steps=[len(side) for side in sides],
            window=window,
            horizon=horizon,
        )
    pairs = [_windows(side, window, horizon, chosen) for side in sides]
    keras.utils.set_random_seed(seed)
    model = _network(
        network, sides[0], (window, horizon, chosen), (units, dropout, seed)
    )
    _compiling.compile_model(
        model,
        len(pairs[0][0]),
        batch_size,
        epochs,
        learning_rate=learning_rate,
        classes=False,
        # A loss in squared units of the series has gradients of any size.
        global_clipnorm=None,
    )
    return Recipe(
        model=model,
        train=_data.batches(*pairs[0], batch_size, shuffle=True, seed=seed),
        validation=_data.batches(*pairs[1], batch_size),
        callbacks=_compiling.best_weights(epochs),
        epochs=epochs,
        network=model,
    )


def _series(series: Any) -> np.ndarray:
    values = np.asarray(series)
    if values.ndim == 1:
        values = values[:, None]
    if values.ndim != 2 or values.dtype.kind not in "iuf":
        checks.fail(
            "`series` must be numbers of shape (steps,) or (steps, variables)",
            shape=values.shape,
            dtype=str(values.dtype),
        )
    missing = np.flatnonzero(~np.isfinite(values).all(axis=1))
    if len(missing):
        checks.fail(
            "`series` must be finite",
            fix="Fill in what is missing.",
            steps=missing[:5].tolist(),
        )
    return values.astype("float32")


def _targets(targets: int | list[int] | None, variables: int) -> list[int]:
    if targets is None:
        return list(range(variables))
    chosen = [targets] if isinstance(targets, int) else list(targets)
    if not chosen:
        checks.fail("`targets` must name a variable", targets=targets)
    return [checks.integer("targets", t, low=0, high=variables - 1) for t in chosen]


def _windows(
    values: np.ndarray, window: int, horizon: int, targets: list[int]
) -> tuple[np.ndarray, np.ndarray]:
    """All windows and what follows each."""
    view = np.lib.stride_tricks.sliding_window_view(values, window + horizon, axis=0)
    view = np.moveaxis(view, -1, 1)
    return view[:, :window].copy(), view[:, window:][:, :, targets].copy()


def _gru(x: Any, units: int, window: int) -> Any:
    return keras.layers.GRU(units)(x)


def _conv(x: Any, units: int, window: int) -> Any:
    dilation = 1
    while dilation < window:
        y = keras.layers.Conv1D(
            units, 3, padding="causal", dilation_rate=dilation, activation="relu"
        )(x)
        x = y if x.shape[-1] != units else keras.layers.Add()([x, y])
        dilation *= 2
    return x[:, -1]


_NETWORKS = {"gru": _gru, "conv": _conv}


def _network(
    kind: str,
    values: np.ndarray,
    sizes: tuple[int, int, list[int]],
    options: tuple[int, float, int],
) -> Any:
    window, horizon, targets = sizes
    units, dropout, seed = options
    mean, deviation = values.mean(0), values.std(0)
    deviation = np.where(deviation > 0, deviation, 1.0)
    inputs = keras.Input((window, values.shape[1]), name="window")
    normalization = keras.layers.Normalization(
        axis=-1, mean=mean, variance=deviation**2, name="normalization"
    )
    x = _NETWORKS[kind](normalization(inputs), units, window)
    x = keras.layers.Dropout(dropout, seed=seed)(x)
    # Zeros: training begins with "nothing changes".
    x = keras.layers.Dense(
        horizon * len(targets), kernel_initializer="zeros", name="change"
    )(x)
    x = keras.layers.Reshape((horizon, len(targets)))(x)
    scale = deviation[targets].tolist()
    change = keras.layers.Rescaling(scale, name="in_own_unit")(x)
    last = ops.stack([inputs[:, -1, t] for t in targets], axis=-1)
    outputs = ops.add(change, ops.expand_dims(last, 1))
    return keras.Model(inputs, outputs, name="time_series")
