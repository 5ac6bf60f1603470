"""One member of a joint training, trained."""

import dataclasses
from collections.abc import Mapping, Sequence

import numpy as np

from keras_strategies.training._many.variants import Variant


@dataclasses.dataclass(frozen=True)
class Member:
    """What a member became.

    Attributes:
        variant: Its seed and settings.
        history: Its `History.history`.
        values: Values of `model.variables`, in this order.
    """

    variant: Variant
    history: Mapping[str, Sequence[float]]
    values: Sequence[np.ndarray]
