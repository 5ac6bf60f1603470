"""Update multipliers by the path of a weight."""

from collections.abc import Mapping, Sequence

import keras

from keras_strategies._internal.registration import serializable
from keras_strategies.optimizers.transform import Transform


@serializable
class DepthMultipliers(Transform):
    """Scales the updates of each weight by a number for its path; 1 for other paths.

    `optimizers.LearningRateMultipliers` refuses a pattern that matches nothing, as that
    is likely a mistake of its user. Here the numbers come from the graph, and while
    layers thaw one after another some of them are for weights that do not train yet.
    """

    def __init__(self, by_path: Mapping[str, float], name: str | None = None):
        super().__init__(name)
        self.by_path = dict(by_path)

    def initial_multipliers(self, variables: Sequence[keras.Variable]) -> list[float]:
        return [self.by_path.get(variable.path, 1.0) for variable in variables]

    def get_config(self):
        return {"by_path": self.by_path, "name": self.name}
