"""Freezing and unfreezing of weights during training."""

from collections.abc import Sequence

import keras

from keras_strategies._internal.registration import serializable
from keras_strategies._internal.select import Selector, VariableSelection
from keras_strategies._internal.types import Config
from keras_strategies.optimizers.transform import Transform


@serializable
class Freeze(Transform):
    """Freezes weights that can be unfrozen during training, without compiling again.

    Changing `trainable` requires a new `compile`, which resets the optimizer's moments.
    Here `optimizer.freeze(...)` and `optimizer.unfreeze(...)` act from the next step
    on. A frozen weight receives no update, not even weight decay, while its moments are
    still computed, so that they are accurate when it is unfrozen.

    ```
    w_new = w + mask * (inner_update(w) - w),   mask 0 or 1 for each weight
    ```

    Gradients of frozen weights are still computed in the backward pass.

    An optimizer knows weights only: BatchNormalization goes on collecting statistics
    and Dropout goes on drawing, so that what a frozen part computes still drifts.
    `training.freeze` and `callbacks.GradualUnfreezing` hold all of a layer;
    `training.trainable_report` shows what moves.

    Args:
        include: The variables to freeze at first: a regular expression that is searched
            in the path of a variable (`"sequential/backbone/kernel"`), the name of a
            layer or model, which stands for all in it, the layer or model itself, a
            variable, a function of a variable, or a list of these. Defaults to
            `None`: all if `exclude` is given, else none.
        exclude: The variables not to freeze, as in `include`, which it overrides.
            Defaults to `None`.
        name: Name of the transform. Defaults to the name of the class.

    Raises:
        TypeError: If `include` or `exclude` is of another type.
        ValueError: If a regular expression is invalid; when the optimizer is built, if
            an entry matches no variable; in `get_config`, if an entry is a function
            and the optimizer is not built.

    Example:

    ```python
    import keras
    from keras_strategies import optimizers

    model = keras.Sequential(
        [
            keras.Input((8,)),
            keras.layers.Dense(4, name="backbone"),
            keras.layers.Dense(2, name="head"),
        ]
    )
    freeze = optimizers.Freeze("backbone/")
    optimizer = optimizers.GradientTransform("adam", [freeze])
    model.compile(optimizer, loss="mse")
    optimizer.build(model.trainable_variables)
    print(optimizer.frozen())
    # ['sequential/backbone/kernel', 'sequential/backbone/bias']
    optimizer.unfreeze(model.get_layer("backbone"))
    print(optimizer.frozen())  # []
    ```
    """

    def __init__(
        self,
        include: Selector | None = None,
        exclude: Selector | None = None,
        name: str | None = None,
    ) -> None:
        super().__init__(name)
        self._selection = VariableSelection(include, exclude)

    def initially_frozen(self, variables: Sequence[keras.Variable]) -> list[bool]:
        if self._selection.selects_all:
            return [False] * len(variables)
        return self._selection.resolve(variables)

    def get_config(self) -> Config:
        return {**self._selection.config(), "name": self.name}
