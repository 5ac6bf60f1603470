"""Search of penalties, dropout and batch normalization."""

from typing import Any

import keras

from keras_strategies.tuning._space import ranges
from keras_strategies.tuning.hypermodels._task import Task
from keras_strategies.tuning.hypermodels.variations._tuned_model import (
    BATCH_NORMALIZATION_POSITIONS,
    PENALTIES,
    TunedModel,
    model_or_default,
)


class HyperRegularization(TunedModel):
    """Searches L1 and L2 penalties, dropout, and the position of batch normalization.

    Varies a small default network, or any compiled model (`model=`) without rewriting
    it. Penalties replace those of all kernels. Dropout sets the rate of the model's
    dropout layers; if it has none, one is inserted after each hidden activation. Batch
    normalization is removed, or inserted before or after each hidden activation in
    place of the model's own.

    Use an objective such as `val_accuracy`: `val_loss` contains the penalty, so that
    trials with different factors cannot be compared by it.

    | name | values |
    |---|---|
    | `regularization` | none, l1, l2, l1_l2 |
    | `l1`, `l2` | 0.000001 to 0.01, log scale, where they are in use |
    | `dropout` | 0 to 0.5 |
    | `batch_normalization` | off, before, after |

    Reference:

    - [Srivastava et al., 2014, Dropout](
      https://jmlr.org/papers/v15/srivastava14a.html)
    - [Ioffe and Szegedy, 2015, Batch Normalization](
      https://arxiv.org/abs/1502.03167)

    Args:
        input_shape: Shape of one example for the default network: `(features,)`
            gives two dense layers, `(height, width, channels)` two convolutions and
            a dense layer. `None` with `model`.
        classes: Number of classes, or of values for `task="regression"`. `None` with
            `model`. Defaults to `None`.
        task: `"classification"`, `"binary"` or `"regression"`, for the default
            network, as in `HyperMLP`. Defaults to `"classification"`.
        regularization: Kinds of penalty to choose from. Defaults to
            `("none", "l1", "l2", "l1_l2")`; `None` keeps those of the model.
        l1: Range of the factor of L1, above 0, searched on a log scale. Defaults to
            `(1e-6, 1e-2)`.
        l2: The same for L2. Defaults to `(1e-6, 1e-2)`.
        dropout: Range of the dropped fraction, in [0, 1). Defaults to `(0.0, 0.5)`;
            `None` keeps the dropout of the model.
        batch_normalization: Positions to choose from. Defaults to
            `("off", "before", "after")`; `None` keeps that of the model.
        model: A compiled Keras model to vary instead of the default network.
            Defaults to `None`.
        **kwargs: Further arguments of `tune_model`; what is not named here is not
            searched.

    Raises:
        ValueError: If a range or a name cannot be used, or the model cannot be
            changed this way.
        TypeError: If an argument has the wrong type.

    Example:

    ```python
    import keras_tuner
    import numpy as np
    from keras_strategies.tuning import HyperRegularization

    x = np.random.default_rng(0).normal(size=(64, 4)).astype("float32")
    y = (x[:, 0] > x[:, 1]).astype("int32")
    tuner = keras_tuner.RandomSearch(
        HyperRegularization((4,), classes=2),
        objective="val_accuracy",
        max_trials=1,
        overwrite=True,
    )
    tuner.search(x, y, validation_split=0.25, epochs=1, verbose=0)
    model = tuner.get_best_models()[0]
    ```
    """

    def __init__(
        self,
        input_shape: tuple[int, ...] | None = None,
        classes: int | None = None,
        task: Task = "classification",
        regularization: ranges.Names | None = PENALTIES,
        l1: ranges.FloatRange = (1e-6, 1e-2),
        l2: ranges.FloatRange = (1e-6, 1e-2),
        dropout: ranges.FloatRange | None = (0.0, 0.5),
        batch_normalization: ranges.Names | None = BATCH_NORMALIZATION_POSITIONS,
        model: keras.Model | None = None,
        **kwargs: Any,
    ) -> None:
        model = model_or_default(model, input_shape, classes, task)
        super().__init__(
            model,
            regularization=regularization,
            l1=l1,
            l2=l2,
            dropout=dropout,
            batch_normalization=batch_normalization,
            **kwargs,
        )
