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
    iterations_variable,
    moving_average,
    own_variables,
    owns,
    raw_learning_rate,
    slot,
    track,
    track_unsaved_state,
    untrack_unsaved_state,
    updated_variables,
)
from keras_strategies._internal.keras_private.regularizers import (
    additional_loss,
    has_inner_regularizers,
    preserved_losses,
    set_inner_regularizer,
)
from keras_strategies._internal.keras_private.saving import (
    has_functional_constructor,
    input_layer_of,
    share_lambda_functions,
    trusting_object_scope,
)
from keras_strategies._internal.keras_private.training import (
    checkpoint_state,
    compile_arguments,
    compile_function,
    compiled_metrics,
    current_values,
    metric_values,
    own_direction,
    print_message,
    set_checkpoint_state,
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
    "iterations_variable",
    "track_unsaved_state",
    "checkpoint_state",
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
    "raw_learning_rate",
    "has_inner_regularizers",
    "input_layer_of",
    "input_signature",
    "is_called_by_itself",
    "is_frozen_by_scope",
    "metric_values",
    "preserved_losses",
    "moving_average",
    "operations",
    "outermost",
    "own_direction",
    "own_variables",
    "owns",
    "print_message",
    "runs_in_tf_data",
    "seeds_from",
    "set_checkpoint_state",
    "set_inner_regularizer",
    "share_lambda_functions",
    "slot",
    "untrack_unsaved_state",
    "track",
    "trusting_object_scope",
    "unwatch_updates",
    "updated_variables",
    "watch_updates",
    "wrapped_function",
]
