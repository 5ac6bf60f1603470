"""The only package that may touch `keras.src` or underscore names of Keras.

Each use says why no public name serves, which Keras versions were read or run
with it, and is covered by `tests/_internal/test_keras_private*.py`.
"""

from keras_strategies._internal.keras_private.calls import (
    BaseImagePreprocessingLayer,
    backend_ops,
    exact_scopes,
    is_called_by_itself,
    outermost,
    runs_in_tf_data,
    seeds_from,
)
from keras_strategies._internal.keras_private.gradients import gradients
from keras_strategies._internal.keras_private.graphs import (
    default_name,
    direct_layers,
    flatten_layers,
    graph_nodes,
    input_signature,
    operations,
)
from keras_strategies._internal.keras_private.optimizers import (
    assign_optimizer_variables,
    batches_seen,
    carry,
    held_learning_rate,
    moving_average,
    own_variables,
    owns,
    slot,
    stop_carrying,
    track,
    updated_variables,
)
from keras_strategies._internal.keras_private.regularizers import (
    additional_loss,
    holds_regularizers,
    kept_losses,
    set_held_regularizer,
)
from keras_strategies._internal.keras_private.saving import (
    has_functional_constructor,
    input_layer_of,
    share_lambda_functions,
    trusting_object_scope,
)
from keras_strategies._internal.keras_private.training import (
    checkpoint_memory,
    compile_arguments,
    compile_function,
    compiled_metrics,
    current_values,
    metric_values,
    own_direction,
    print_message,
    set_checkpoint_memory,
    wrapped_function,
)
from keras_strategies._internal.keras_private.variables import (
    assign_in_a_call,
    is_frozen_by_scope,
    unwatch_updates,
    watch_updates,
)

__all__ = [
    "BaseImagePreprocessingLayer",
    "additional_loss",
    "assign_in_a_call",
    "assign_optimizer_variables",
    "backend_ops",
    "batches_seen",
    "carry",
    "checkpoint_memory",
    "compile_arguments",
    "compile_function",
    "compiled_metrics",
    "current_values",
    "default_name",
    "direct_layers",
    "exact_scopes",
    "flatten_layers",
    "gradients",
    "graph_nodes",
    "has_functional_constructor",
    "held_learning_rate",
    "holds_regularizers",
    "input_layer_of",
    "input_signature",
    "is_called_by_itself",
    "is_frozen_by_scope",
    "kept_losses",
    "metric_values",
    "moving_average",
    "operations",
    "outermost",
    "own_direction",
    "own_variables",
    "owns",
    "print_message",
    "runs_in_tf_data",
    "seeds_from",
    "set_checkpoint_memory",
    "set_held_regularizer",
    "share_lambda_functions",
    "slot",
    "stop_carrying",
    "track",
    "trusting_object_scope",
    "unwatch_updates",
    "updated_variables",
    "watch_updates",
    "wrapped_function",
]
