"""Weight decay that changes over the training."""

from keras_strategies._internal import checks
from keras_strategies.callbacks._hyperparameters import NumberScheduler


class WeightDecayScheduler(NumberScheduler):
    """Sets the decoupled weight decay of the optimizer by a schedule.

    Growing decay is part of the recipes for vision transformers (DINO: 0.04 to
    0.4 along a cosine), falling decay of those that fine-tune. Keras reads
    `weight_decay` when the training step is traced, so that a new value would be
    ignored or cost a compilation; here a variable takes its place during the fit.

    ```
    weight -= learning_rate * decay(position) * weight
    ```

    where `position` counts epochs or, with `update="batch"`, batches from 0.

    Every optimizer of the model is set, also inside a `LossScaleOptimizer` or a
    `MultiOptimizer`; variables that it excludes from decay stay excluded.
    An optimizer without weight decay gets it for the fit. At the end each has its
    own value again; both ends rebuild the training step, which costs one compilation
    each. The value of each epoch's last batch is logged as `weight_decay`. If a fit
    is stopped by an exception, call `restore()`. A file saved during the fit has the
    optimizer's own value.

    Reference:

    - [Loshchilov & Hutter, 2019, Decoupled Weight Decay
      Regularization](https://arxiv.org/abs/1711.05101)
    - [Caron et al., 2021, Emerging Properties in Self-Supervised Vision
      Transformers](https://arxiv.org/abs/2104.14294)

    Args:
        schedule: Weight decay, at least 0, as a function of the position, as a
            `keras.optimizers.schedules.LearningRateSchedule`, or as stairs:
            `{0: 0.04, 10: 0.4}`, first position to value. With `update="batch"` a
            function that computes with plain numbers is much quicker than a
            schedule object.
        update: `"epoch"` sets the value at the begin of each epoch, `"batch"`
            before each batch. Defaults to `"epoch"`.

    Raises:
        TypeError: If `schedule` is neither callable nor a dict; in `fit`, if an
            optimizer has no weight decay to set.
        ValueError: If an argument or a scheduled value is out of its range; in
            `fit`, if two callbacks set the weight decay.

    Example:

    ```python
    import keras
    import numpy as np
    from keras_strategies import callbacks

    model = keras.Sequential([keras.Input((4,)), keras.layers.Dense(1)])
    model.compile(keras.optimizers.AdamW(0.01, weight_decay=0.04), loss="mse")
    growing = callbacks.WeightDecayScheduler(lambda epoch: 0.04 * (1 + epoch))
    history = model.fit(
        np.ones((8, 4)), np.ones(8), epochs=3, callbacks=[growing], verbose=0
    )
    print(np.round(history.history["weight_decay"], 2))  # [0.04 0.08 0.12]
    print(model.optimizer.weight_decay)  # 0.04
    ```
    """

    _log_name = "weight_decay"

    def __init__(self, schedule, update="epoch"):
        super().__init__(schedule, update)

    def _pick(self, optimizer):
        if not hasattr(optimizer, "weight_decay"):
            checks.fail(
                "WeightDecayScheduler needs an optimizer with `weight_decay`",
                fix="Compile with an optimizer of keras.optimizers.",
                error=TypeError,
                optimizer=optimizer,
            )
        return "weight_decay"

    def _checked(self, value):
        return checks.real("scheduled weight_decay", value, low=0)
