"""Learning rates of single layers."""

from keras_strategies._internal import checks
from keras_strategies._internal.registration import serializable
from keras_strategies.optimizers._selection import compiled, selection
from keras_strategies.optimizers.transform import Transform


@serializable
class LearningRateMultipliers(Transform):
    """Gives layers their own share of the learning rate.

    Pre-trained layers want a smaller rate than a new head. The multiplier scales the
    whole update, weight decay included, and not the gradient, whose scale Adam and its
    kin would cancel.

    ```
    w_new = w + m * (inner_update(w) - w),   m of the first pattern found in its path
    ```

    Weights that no pattern finds have multiplier 1. Multipliers can change during
    training: `optimizer.set_multiplier(where, value)`. A constraint of the weight is
    applied before the multiplier.

    Args:
        multipliers_by_pattern: Dict from regular expressions, searched in the paths of
            the variables, to multipliers of at least 0. The first that is found
            counts. Defaults to none.
        name: Name of the transform. Defaults to the name of the class.

    Raises:
        ValueError: If a multiplier is out of its range; when the optimizer is built,
            if a pattern finds no variable.

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
    rates = optimizers.LearningRateMultipliers({"backbone/": 0.1, "head/bias": 2.0})
    optimizer = optimizers.GradientTransform(keras.optimizers.Adam(0.001), [rates])
    model.compile(optimizer, loss="mse")
    optimizer.build(model.trainable_variables)
    print({path: round(m, 3) for path, m in optimizer.multipliers().items()})
    # {'sequential/backbone/kernel': 0.1, 'sequential/backbone/bias': 0.1,
    #  'sequential/head/kernel': 1.0, 'sequential/head/bias': 2.0}
    ```
    """

    def __init__(self, multipliers_by_pattern=None, name=None):
        super().__init__(name)
        given = {} if multipliers_by_pattern is None else multipliers_by_pattern
        checks.instance("multipliers_by_pattern", given, dict)
        for pattern in given:
            compiled("multipliers_by_pattern", pattern)
        self.multipliers_by_pattern = {
            pattern: checks.real(f"multipliers_by_pattern[{pattern!r}]", value, low=0)
            for pattern, value in given.items()
        }

    def multipliers(self, variables):
        chosen = [None] * len(variables)
        for pattern, value in self.multipliers_by_pattern.items():
            for i, found in enumerate(selection(pattern, variables)):
                if found and chosen[i] is None:
                    chosen[i] = value
        return [1.0 if value is None else value for value in chosen]

    def get_config(self):
        return {
            "multipliers_by_pattern": self.multipliers_by_pattern,
            "name": self.name,
        }
