"""Frozen weights that can thaw."""

from keras_strategies._internal.registration import serializable
from keras_strategies.optimizers._selection import checked_patterns, selection
from keras_strategies.optimizers.transform import Transform


@serializable
class Freeze(Transform):
    """Freezes weights that can be unfrozen during training, without compiling again.

    Changing `trainable` needs a new `compile`, which forgets the optimizer's moments.
    Here `optimizer.freeze(where)` and `optimizer.unfreeze(where)` act from the next
    step on. A frozen weight gets no update of any sort, weight decay included, while
    its moments go on, so that it starts well when it thaws.

    ```
    w_new = w + mask * (inner_update(w) - w),   mask 0 or 1 for each weight
    ```

    Frozen weights still cost their part of the backward pass.

    Args:
        patterns: List of regular expressions: variables in whose path one of them is
            found are frozen at first. Defaults to `()`, none.
        name: Name of the transform. Defaults to the name of the class.

    Raises:
        ValueError: If a pattern finds no variable.

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
    freeze = optimizers.Freeze(["backbone/"])
    optimizer = optimizers.GradientTransform("adam", [freeze])
    model.compile(optimizer, loss="mse")
    optimizer.build(model.trainable_variables)
    print(optimizer.frozen())
    # ['sequential/backbone/kernel', 'sequential/backbone/bias']
    optimizer.unfreeze(model.get_layer("backbone"))
    print(optimizer.frozen())  # []
    ```
    """

    def __init__(self, patterns=(), name=None):
        super().__init__(name)
        self.patterns = checked_patterns("patterns", patterns)

    def frozen(self, variables):
        chosen = [selection(pattern, variables) for pattern in self.patterns]
        return [any(found) for found in zip(*chosen, strict=True)] or [False] * len(
            variables
        )

    def get_config(self):
        return {"patterns": self.patterns, "name": self.name}
