"""Search of the learning rate and its schedule."""

from typing import Any

import keras

from keras_strategies.tuning._space import ranges
from keras_strategies.tuning.hypermodels._task import Task
from keras_strategies.tuning.hypermodels._tuned_fit import SCHEDULES
from keras_strategies.tuning.hypermodels.variations._tuned_model import (
    TunedModel,
    model_or_default,
)


class HyperSchedule(TunedModel):
    """Searches the learning rate and its schedule over the epochs of a trial.

    Varies the training of a small default network, or of any compiled model
    (`model=`). The schedules are callbacks of this package and span each trial, however
    long it is, so that any optimizer may be compiled.

    Schedules: `"constant"`; `"step"`, 1, then 0.1, then 0.01 of the rate;
    `"exponential"`, down towards 0.01 of it; `"cosine"`, down to 0; `"one_cycle"`, up
    for 30 % of the steps from 1/25 of it, then down.

    | name | values |
    |---|---|
    | `schedule` | constant, step, exponential, cosine, one_cycle |
    | `learning_rate` | 0.0001 to 0.1, log scale |

    Args:
        input_shape: Shape of one example for the default network: `(features,)`
            gives two dense layers, `(height, width, channels)` two convolutions and
            a dense layer. `None` with `model`.
        classes: Number of classes, or of values for `task="regression"`. `None` with
            `model`. Defaults to `None`.
        task: `"classification"`, `"binary"` or `"regression"`, for the default
            network, as in `HyperMLP`. Defaults to `"classification"`.
        schedule: Names of schedules to choose from. Defaults to all five.
        learning_rate: Range of the highest learning rate, searched on a log scale.
            Defaults to `(1e-4, 1e-1)`.
        epochs: Number of epochs of a trial, one number or a pair. Defaults to `None`,
            which leaves it to `tuner.search(..., epochs=...)`.
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
    from keras_strategies.tuning import HyperSchedule

    x = np.random.default_rng(0).normal(size=(64, 4)).astype("float32")
    y = (x[:, 0] > x[:, 1]).astype("int32")
    tuner = keras_tuner.RandomSearch(
        HyperSchedule((4,), classes=2, schedule=("constant", "cosine")),
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
        schedule: ranges.Names | None = SCHEDULES,
        learning_rate: ranges.FloatRange | None = (1e-4, 1e-1),
        epochs: ranges.IntRange | None = None,
        model: keras.Model | None = None,
        **kwargs: Any,
    ) -> None:
        model = model_or_default(model, input_shape, classes, task)
        super().__init__(
            model,
            schedule=schedule,
            learning_rate=learning_rate,
            epochs=epochs,
            **kwargs,
        )
