"""What a step does that only its trace tells: draws and state of the host's."""

import random
from collections.abc import Callable, Sequence
from typing import Any

import keras
import numpy as np

from keras_strategies._internal.graph_operations import operation_names
from keras_strategies._internal.keras_private.compiled_step import watching_steps
from keras_strategies._internal.keras_private.step_blocks import check_step

# Operations of TensorFlow that keep a state in a variable, or none between steps; of
# any other stateful one it is not known what the next model would begin with.
_KNOWN_OPERATIONS = (
    *("ReadVariable", "Assign", "Resource", "VarHandle", "VarIsInitialized"),
    *("StatefulPartitionedCall", "PartitionedCall", "While", "If", "Case"),
    *("Assert", "Print", "Rng", "StatefulStandardNormalV2", "StatefulUniform"),
    *("StatefulTruncatedNormal", "StatefulRandomBinomial", "Placeholder", "NoOp"),
    *("StatelessRandomGet", "XlaLaunch", "Collective", "Stack", "TensorArray"),
    *("Iterator", "Optional", "_Arg", "_Retval"),
)


class StepAudit:
    """Why a compiled step serves no other model, from the calls that trace it.

    Numbers of NumPy's or Python's global generators are constants of a trace. An
    operation such as that of `tf.random.normal` has its seed as a constant, and a
    state of its own. A function of Python that runs in each step may keep anything.

    Args:
        variables: All variables that other models' values are assigned to.

    Attributes:
        reason: What was seen first, `None` for nothing.
    """

    def __init__(self, variables: Callable[[], list[Any]]):
        self._variables = variables
        self.reason: str | None = None

    def __call__(self, call: Callable[[], Any]) -> Any:
        """Runs a Python call of a step and looks at what it does."""
        before = _generators()
        result = call()
        if self.reason is None and _generators() != before:
            self.reason = "its step draws from the generator of NumPy or Python"
        if self.reason is None and keras.backend.backend() == "tensorflow":
            self.reason = _unknown_operation() or _unknown_variable(self._variables())
        return result


def audited_step(
    model: keras.Model, batch: Any, variables: Sequence[Any]
) -> str | None:
    """Why no compiled step of a model serves others, by traces that nothing runs.

    Args:
        model: Model whose optimizer, loss and metrics are built.
        batch: `(x, y, sample_weight)` of arrays.
        variables: All variables that other models' values are assigned to.
    """
    audit = StepAudit(lambda: [*variables, *model.metrics_variables])
    # A step of the user's may unpack as many parts as the data have.
    parts = keras.utils.unpack_x_y_sample_weight(tuple(batch))
    parts = keras.tree.map_structure(
        lambda leaf: None if leaf is None else np.asarray(leaf), parts
    )
    data = keras.utils.pack_x_y_sample_weight(*parts)
    if keras.backend.backend() == "torch":
        audit(lambda: check_step(model, data))
        return audit.reason
    with watching_steps(model, audit):
        trace = _trace_jax if keras.backend.backend() == "jax" else _trace_tensorflow
        trace(model, data)
    return audit.reason


def _trace_jax(model, data):
    import jax

    kinds = ("trainable", "non_trainable", "metrics")
    trainable, others, metrics = (
        [v.value for v in getattr(model, f"{kind}_variables")] for kind in kinds
    )
    slots = [v.value for v in model.optimizer.variables]
    jax.eval_shape(model.train_step, (trainable, others, slots, metrics), data)
    jax.eval_shape(model.test_step, (trainable, others, metrics), data)


def _trace_tensorflow(model, data):
    import tensorflow as tf

    for step in (model.train_step, model.test_step):
        tf.function(step, autograph=False).get_concrete_function(data)


def _generators():
    name, keys, *others = np.random.get_state()
    return random.getstate(), keys.tobytes(), others


def _unknown_operation():
    """An operation in the graph that is built, or in functions that it calls."""
    import tensorflow as tf

    if tf.executing_eagerly():
        return None
    graph = tf.compat.v1.get_default_graph()
    for kind in sorted(operation_names(graph)):
        is_known = kind.startswith(_KNOWN_OPERATIONS)
        if not is_known and graph.op_def_for_type(kind).is_stateful:
            return f"its step has an operation {kind}, which has a state of its own"
    return None


def _unknown_variable(variables):
    """A variable that the graph uses and the model does not have."""
    import tensorflow as tf

    if tf.executing_eagerly():
        return None
    raw = [v.value if isinstance(v, keras.Variable) else v for v in variables]
    known = {id(variable) for variable in raw}
    # While it is traced, a graph lists none under its public name.
    for variable in tf.compat.v1.get_default_graph()._watched_variables:
        if id(variable) not in known:
            return f"its step uses {variable.name}, which is not the model's"
    return None
