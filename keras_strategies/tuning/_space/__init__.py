"""The search space: hyperparameters, their values, ranges and encodings."""

from keras_strategies.tuning._space.encoding import encode, encode_all, mutate
from keras_strategies.tuning._space.hyperparameter import (
    is_active,
    is_legal,
    is_numeric,
    options,
    repaired,
)
from keras_strategies.tuning._space.labels import from_label
from keras_strategies.tuning._space.space import Space
from keras_strategies.tuning._space.text import format_duration, format_value
from keras_strategies.tuning._space.trials import Trial, trial_from_state
from keras_strategies.tuning._space.values import (
    Values,
    combinations,
    fill,
    is_conditional,
    searched,
    size,
)

__all__ = [
    "Space",
    "Trial",
    "Values",
    "combinations",
    "encode",
    "encode_all",
    "fill",
    "format_duration",
    "format_value",
    "from_label",
    "is_active",
    "is_conditional",
    "is_legal",
    "is_numeric",
    "mutate",
    "options",
    "repaired",
    "searched",
    "size",
    "trial_from_state",
]
