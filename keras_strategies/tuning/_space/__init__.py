"""The search space: hyperparameters, their values, ranges and encodings."""

from keras_strategies.tuning._space.encoding import (
    column_groups,
    encode,
    encode_all,
    mutate,
)
from keras_strategies.tuning._space.hyperparameter import (
    domain,
    is_active,
    is_legal,
    is_numeric,
    kind_of,
    options,
    repaired,
    scoped_name,
)
from keras_strategies.tuning._space.labels import from_label
from keras_strategies.tuning._space.space import (
    WAYS_OUT,
    Space,
    changed_message,
    type_change_message,
)
from keras_strategies.tuning._space.text import format_duration, format_value
from keras_strategies.tuning._space.trials import (
    INFEASIBLE,
    Trial,
    is_infeasible,
    trial_from_state,
)
from keras_strategies.tuning._space.values import (
    Values,
    combinations,
    fill,
    is_conditional,
    legal_value,
    matching_value,
    searched,
    size,
)

__all__ = [
    "INFEASIBLE",
    "WAYS_OUT",
    "Space",
    "Trial",
    "Values",
    "changed_message",
    "column_groups",
    "combinations",
    "domain",
    "encode",
    "encode_all",
    "fill",
    "format_duration",
    "format_value",
    "from_label",
    "is_active",
    "is_conditional",
    "is_infeasible",
    "is_legal",
    "is_numeric",
    "kind_of",
    "legal_value",
    "matching_value",
    "mutate",
    "options",
    "repaired",
    "scoped_name",
    "searched",
    "size",
    "trial_from_state",
    "type_change_message",
]
