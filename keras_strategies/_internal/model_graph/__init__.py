"""Keras models as graphs: reading, copying and rebuilding them.

The floor below everything that edits models. A model is editable if its graph says
what it computes (`predicates`); `read` returns that graph, `Rewriter` rebuilds the
model with changes, and `clone_model` without.
"""

from keras_strategies._internal.model_graph.clone import (
    by_name,
    clone_as,
    clone_layer,
    compile_objects,
    copy_state,
    copy_variables,
    live_objects,
    own_objects,
    parts,
    value_of,
)
from keras_strategies._internal.model_graph.compiling import (
    check_output_names,
    compile_like,
    copy_optimizer_state,
)
from keras_strategies._internal.model_graph.graph import (
    Call,
    Graph,
    Tensor,
    call_targets,
    connect,
    keras_tensors,
    read,
    replace_keras_tensors,
    substitute,
    tensors,
    walk,
)
from keras_strategies._internal.model_graph.predicates import (
    NOT_BUILT,
    check_readable,
    check_rebuildable,
    construction_class,
    input_layers,
    is_open,
    opaque_reason,
    rebuild_reason,
)
from keras_strategies._internal.model_graph.rewrite import (
    Rewriter,
    Step,
    assemble,
    clone_model,
)
from keras_strategies._internal.model_graph.trace import functional_form

__all__ = [
    "NOT_BUILT",
    "Call",
    "Graph",
    "Rewriter",
    "Step",
    "Tensor",
    "assemble",
    "by_name",
    "call_targets",
    "check_output_names",
    "check_readable",
    "check_rebuildable",
    "clone_as",
    "clone_layer",
    "clone_model",
    "compile_like",
    "compile_objects",
    "connect",
    "construction_class",
    "copy_optimizer_state",
    "copy_state",
    "copy_variables",
    "functional_form",
    "input_layers",
    "is_open",
    "keras_tensors",
    "live_objects",
    "opaque_reason",
    "own_objects",
    "parts",
    "read",
    "rebuild_reason",
    "replace_keras_tensors",
    "substitute",
    "tensors",
    "value_of",
    "walk",
]
