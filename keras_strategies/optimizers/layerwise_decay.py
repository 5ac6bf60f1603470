"""Layer-wise decay of the learning rate towards the input."""

from collections.abc import Sequence

import keras

from keras_strategies._internal import checks
from keras_strategies._internal.registration import serializable
from keras_strategies._internal.select import (
    Selector,
    VariableSelection,
    variable_targets,
)
from keras_strategies._internal.types import Config
from keras_strategies.optimizers.transform import Transform


@serializable
class LayerwiseDecay(Transform):
    """Decays the learning rate from the last layer towards the input.

    The common way to fine-tune Transformers and vision backbones: early layers have
    general features that should change little. As in `LearningRateMultipliers`, the
    whole update is scaled.

    ```
    m = decay ** (number of groups between that of the weight and the output)
    ```

    The group closest to the output has multiplier 1.

    Reference:

    - [Howard and Ruder, 2018, Universal Language Model Fine-tuning for Text
      Classification](https://arxiv.org/abs/1801.06146)
    - [Clark et al., 2020, ELECTRA](https://arxiv.org/abs/2003.10555)

    Args:
        decay: Factor from one group to the one before it, in (0, 1]. 0.65 to 0.9 are
            common.
        groups: List of groups from input to output, each a regular expression that is
            searched in the paths of the variables, a layer, a function of a variable,
            or a list of these; a weight belongs to the first group that matches it.
            Weights without a group have multiplier 1. Defaults to `None`: each layer
            with weights is a group, in the order of `model.trainable_variables`, and a
            nested model or block counts as one.
        name: Name of the transform. Defaults to the name of the class.

    Raises:
        TypeError: If `groups` is not such a list.
        ValueError: If an argument is out of its range; when the optimizer is built, if
            a group matches no variable.

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

    def __init__(
        self,
        decay: float,
        groups: Sequence[Selector] | None = None,
        name: str | None = None,
    ) -> None:
        super().__init__(name)
        self.decay: float = checks.real("decay", decay, low=0, high=1, low_open=True)
        fix = 'For example ["embedding", "block_1/", "head"].'
        checks.instance("groups", groups, (list, tuple), optional=True, fix=fix)
        names = ("groups", "exclude")
        self._groups = groups and [VariableSelection(g, names=names) for g in groups]

    def initial_multipliers(self, variables: Sequence[keras.Variable]) -> list[float]:
        group_of, num_groups = self._grouped(variables)
        return [
            1.0 if group is None else self.decay ** (num_groups - 1 - group)
            for group in group_of
        ]

    def _grouped(
        self, variables: Sequence[keras.Variable]
    ) -> tuple[list[int | None], int]:
        """Returns the index of the group of each variable, and the number of groups."""
        if self._groups is None:
            paths = [target.path.split("/") for target in variable_targets(variables)]
            layers = _outermost_layers(paths)
            order = list(dict.fromkeys(layers))
            return [order.index(layer) for layer in layers], len(order)
        group_of = [None] * len(variables)
        for number, group in enumerate(self._groups):
            for i, is_selected in enumerate(group.resolve(variables)):
                if is_selected and group_of[i] is None:
                    group_of[i] = number
        return group_of, len(self._groups)

    def get_config(self) -> Config:
        groups = self._groups and [group.config()["groups"] for group in self._groups]
        return {"decay": self.decay, "groups": groups, "name": self.name}


def _outermost_layers(paths: list[list[str]]) -> list[str]:
    """Returns the outermost layer in each path, without models around all of them."""
    # The last part of a path is the variable, the one before it at least a layer.
    while min(map(len, paths)) > 2 and len({path[0] for path in paths}) == 1:
        paths = [path[1:] for path in paths]
    return [path[0] for path in paths]
