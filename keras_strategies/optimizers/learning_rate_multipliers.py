"""Learning-rate multipliers of layers."""

from collections.abc import Mapping, Sequence

import keras

from keras_strategies._internal import checks
from keras_strategies._internal.registration import serializable
from keras_strategies._internal.select import Entry, VariableSelection
from keras_strategies._internal.types import Config
from keras_strategies.optimizers.transform import Transform


@serializable
class LearningRateMultipliers(Transform):
    """Multiplies the learning rate of chosen layers by a factor.

    Pre-trained layers need a smaller learning rate than a new head. The multiplier
    scales the whole update, weight decay included, and not the gradient, whose scale
    Adam and related optimizers cancel.

    ```
    w_new = w + m * (inner_update(w) - w),   m of the first key that matches w
    ```

    Weights that match no key have multiplier 1. Multipliers can be changed during
    training by `optimizer.set_multiplier(value, include=...)`. A constraint of the
    weight is applied before the multiplier.

    Args:
        multipliers: Dict from regular expressions, which are searched in the paths of
            the variables (`"sequential/head/bias"`), to multipliers of at least 0. A
            key may also be a layer or a function of a variable. The first key that
            matches a variable applies. Defaults to `None`, no keys.
        name: Name of the transform. Defaults to the name of the class.

    Raises:
        TypeError: If `multipliers` is not such a dict.
        ValueError: If a multiplier is out of its range; when the optimizer is built,
            if a key matches no variable.

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
    multipliers = {"backbone/": 0.1, "head/bias": 2.0}
    transform = optimizers.LearningRateMultipliers(multipliers)
    optimizer = optimizers.GradientTransform(keras.optimizers.Adam(0.001), [transform])
    model.compile(optimizer, loss="mse")
    optimizer.build(model.trainable_variables)
    print({path: round(m, 3) for path, m in optimizer.multipliers().items()})
    # {'sequential/backbone/kernel': 0.1, 'sequential/backbone/bias': 0.1,
    #  'sequential/head/kernel': 1.0, 'sequential/head/bias': 2.0}
    ```
    """

    def __init__(
        self, multipliers: Mapping[Entry, float] | None = None, name: str | None = None
    ) -> None:
        super().__init__(name)
        checks.instance("multipliers", multipliers, Mapping, optional=True)
        self.multipliers: dict[Entry, float] = {
            key: checks.real(f"multipliers[{key!r}]", value, low=0)
            for key, value in (multipliers or {}).items()
        }
        names = ("multipliers", "exclude")
        self._selections = [
            VariableSelection(key, names=names) for key in self.multipliers
        ]

    def initial_multipliers(self, variables: Sequence[keras.Variable]) -> list[float]:
        factors = [None] * len(variables)
        pairs = zip(self._selections, self.multipliers.values(), strict=True)
        for selection, factor in pairs:
            for i, is_selected in enumerate(selection.resolve(variables)):
                if is_selected and factors[i] is None:
                    factors[i] = factor
        return [1.0 if factor is None else factor for factor in factors]

    def get_config(self) -> Config:
        keys = [selection.config()["multipliers"] for selection in self._selections]
        factors = self.multipliers.values()
        return {
            "multipliers": dict(zip(keys, factors, strict=True)),
            "name": self.name,
        }
