"""The only package that may touch `keras.src` or underscore names of Keras.

Each use says why no public name serves, which Keras versions were read or run
with it, and is covered by `tests/_internal/test_keras_private*.py`.
"""

from keras_strategies._internal.keras_private.calls import (
    BaseImagePreprocessingLayer,
    backend_ops,
    exact_scopes,
    outermost,
    runs_in_tf_data,
    seeds_from,
)
from keras_strategies._internal.keras_private.exponential_averages import (
    averages_deferred,
    has_averaged,
    moving_average_variables,
)
from keras_strategies._internal.keras_private.fit_loop import (
    build_for_fit,
    callback_list,
    changed_step,
)
from keras_strategies._internal.keras_private.frozen_layers import (
    hold_at_inference,
    own_variables_of_layer,
    set_own_flag,
)
from keras_strategies._internal.keras_private.gradients import (
    dense_gradient,
    gradients,
)
from keras_strategies._internal.keras_private.graphs import (
    carries_mask,
    default_name,
    direct_layers,
    flatten_layers,
    graph_nodes,
    input_signature,
    operations,
    output_operations,
    output_structure,
)
from keras_strategies._internal.keras_private.lora import (
    lora_weights,
    merge_lora,
)
from keras_strategies._internal.keras_private.optimizers import (
    add_variable_like,
    assign_optimizer_variables,
    iterations_variable,
    lasting_variables,
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
from keras_strategies._internal.keras_private.rebuilding import (
    host_value,
    is_built_for,
    rebuild_optimizer,
    retrace_training,
    sync_state,
    variables_scope,
    weights_aside,
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
    running_epochs,
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
    "add_variable_like",
    "additional_loss",
    "assign_in_a_call",
    "assign_optimizer_variables",
    "averages_deferred",
    "backend_ops",
    "build_for_fit",
    "callback_list",
    "carries_mask",
    "changed_step",
    "checkpoint_state",
    "compile_arguments",
    "compile_function",
    "compiled_metrics",
    "current_values",
    "default_name",
    "dense_gradient",
    "direct_layers",
    "exact_scopes",
    "flatten_layers",
    "gradients",
    "graph_nodes",
    "has_averaged",
    "has_functional_constructor",
    "has_inner_regularizers",
    "hold_at_inference",
    "host_value",
    "input_layer_of",
    "input_signature",
    "is_built_for",
    "is_frozen_by_scope",
    "iterations_variable",
    "lasting_variables",
    "lora_weights",
    "merge_lora",
    "metric_values",
    "moving_average",
    "moving_average_variables",
    "operations",
    "outermost",
    "output_operations",
    "output_structure",
    "own_direction",
    "own_variables",
    "own_variables_of_layer",
    "owns",
    "preserved_losses",
    "print_message",
    "raw_learning_rate",
    "rebuild_optimizer",
    "retrace_training",
    "running_epochs",
    "runs_in_tf_data",
    "seeds_from",
    "set_checkpoint_state",
    "set_inner_regularizer",
    "set_own_flag",
    "share_lambda_functions",
    "slot",
    "sync_state",
    "track",
    "track_unsaved_state",
    "trusting_object_scope",
    "untrack_unsaved_state",
    "unwatch_updates",
    "updated_variables",
    "variables_scope",
    "watch_updates",
    "weights_aside",
    "wrapped_function",
]
