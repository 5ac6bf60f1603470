"""Learning rates that fall towards the input."""

from keras_strategies._internal import checks
from keras_strategies._internal.registration import serializable
from keras_strategies.optimizers._selection import (
    checked_patterns,
    path_of,
    selection,
)
from keras_strategies.optimizers.transform import Transform


@serializable
class LayerwiseDecay(Transform):
    """Lets the learning rate fall from layer to layer towards the input.

    The usual way to fine-tune Transformers and vision backbones: early layers hold
    general features that should change little. As in `LearningRateMultipliers`, the
    whole update is scaled.

    ```
    m = decay ** (number of groups behind that of the weight)
    ```

    The group nearest to the output has multiplier 1.

    Reference:

    - [Howard and Ruder, 2018, Universal Language Model Fine-tuning for Text
      Classification](https://arxiv.org/abs/1801.06146)
    - [Clark et al., 2020, ELECTRA](https://arxiv.org/abs/2003.10555)

    Args:
        decay: Factor from one group to the one before it, in (0, 1]. 0.65 to 0.9 are
            common.
        groups: List of regular expressions from input to output; a weight belongs to
            the first that is found in its path. Weights that none finds have
            multiplier 1. With `None`, the default, each layer with weights is a group,
            in the order of `model.trainable_variables`, and a nested model or block
            counts as one.
        name: Name of the transform. Defaults to the name of the class.

    Raises:
        ValueError: If an argument is out of its range; when the optimizer is built, if
            a group finds no variable.

    Example:

    ```python
    import keras
    from keras_strategies import optimizers

    layers = [keras.layers.Dense(2, name=f"block_{i}") for i in range(3)]
    model = keras.Sequential([keras.Input((2,)), *layers])
    optimizer = optimizers.GradientTransform("adam", [optimizers.LayerwiseDecay(0.5)])
    model.compile(optimizer, loss="mse")
    optimizer.build(model.trainable_variables)
    print(list(optimizer.multipliers().values()))  # kernels and biases in turn
    # [0.25, 0.25, 0.5, 0.5, 1.0, 1.0]
    ```
    """

    def __init__(self, decay, groups=None, name=None):
        super().__init__(name)
        self.decay = checks.real("decay", decay, low=0, high=1, low_open=True)
        self.groups = checked_patterns("groups", groups, optional=True)

    def multipliers(self, variables):
        group_of, count = self._grouped(variables)
        return [
            1.0 if group is None else self.decay ** (count - 1 - group)
            for group in group_of
        ]

    def _grouped(self, variables):
        """The group of each variable, and the number of groups."""
        if self.groups is None:
            tops = _tops([path_of(variable).split("/") for variable in variables])
            order = list(dict.fromkeys(tops))
            return [order.index(top) for top in tops], len(order)
        group_of = [None] * len(variables)
        for number, pattern in enumerate(self.groups):
            for i, found in enumerate(selection(pattern, variables)):
                if found and group_of[i] is None:
                    group_of[i] = number
        return group_of, len(self.groups)

    def get_config(self):
        return {"decay": self.decay, "groups": self.groups, "name": self.name}


def _tops(paths):
    """The outermost layer in each path, without the name of a model around all."""
    while min(map(len, paths)) > 2 and len({path[0] for path in paths}) == 1:
        paths = [path[1:] for path in paths]
    return [path[0] for path in paths]
