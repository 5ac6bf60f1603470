"""The only file that may touch `keras.src` or underscore names of Keras.

Each use says why no public name serves, which Keras versions were read or run
with it, and is covered by `tests/_internal/test_keras_private.py`.
"""

import contextlib
import functools
import re

import keras
import numpy as np
from keras.src.backend.common import global_state
from keras.src.backend.common.stateless_scope import (
    get_stateless_scope,
    in_stateless_scope,
)
from keras.src.export import export_utils
from keras.src.layers.preprocessing.image_preprocessing.base_image_preprocessing_layer import (  # noqa: E501
    BaseImagePreprocessingLayer,
)

__all__ = [
    "BaseImagePreprocessingLayer",
    "assign_optimizer_variables",
    "backend_ops",
    "batches_seen",
    "carry",
    "exact_scopes",
    "flatten_layers",
    "graph_nodes",
    "held_learning_rate",
    "input_signature",
    "is_called_by_itself",
    "is_frozen_by_scope",
    "moving_average",
    "operation_calls",
    "owns",
    "stop_carrying",
    "unwatch_updates",
    "watch_updates",
]

# BaseImagePreprocessingLayer: the base of Keras's Random* layers. Not exported,
# yet the only way to a layer that runs in `tf.data.map` on every backend and
# takes masks and boxes. Keras 3.12 to 3.15.


def flatten_layers(model):
    """Every layer below `model` once, containers and wrapped layers included.

    `model.layers` stops at nested models and does not see layers kept as
    attributes of a subclassed layer or inside wrappers. Keras 3.12 to 3.15.
    """
    return model._flatten_layers(include_self=False, recursive=True)


def batches_seen(optimizer):
    """The Variable that counts the batches an optimizer has been given.

    `optimizer.iterations` is a quotient under gradient accumulation, while
    learning-rate schedules count every batch: they read this variable.
    Keras 3.12 to 3.15.
    """
    return optimizer._iterations


def held_learning_rate(optimizer):
    """What an optimizer holds: a Variable, a schedule object or a callable.

    The public `learning_rate` gives the current value, from which a schedule
    cannot be told. Keras 3.12 to 3.15.
    """
    return optimizer._learning_rate


def assign_optimizer_variables(model, variables, values):
    """Assigns between two batches of `fit`, without detaching JAX's state.

    On JAX the variables are empty in the middle of an epoch: `fit` passes their
    values from one call of `train_function` to the next. The public way,
    `callback.model`, writes every variable of the model back, for each batch. Here
    only these entries are replaced in the next call. Keras 3.12 to 3.15.
    """
    state = getattr(model, "_jax_state", None)
    detached = bool(state) and not model._jax_state_synced
    if detached and keras.distribution.distribution() is None:
        if not isinstance(model.train_function, _PatchedTrainFunction):
            model.train_function = _PatchedTrainFunction(model)
        model.train_function.patch(variables, values)
        return
    if detached:  # Sharded values need the placement that `assign` does.
        model.jax_state_sync()
    tensorflow = keras.backend.backend() == "tensorflow"
    for variable, value in zip(variables, values, strict=True):
        if tensorflow:  # a third of the time, as nothing is converted or read back
            variable.value.assign(value, read_value=False)
        else:
            variable.assign(value)


class _PatchedTrainFunction:
    """JAX's train function with a list of values to put into its next call."""

    def __init__(self, model):
        self.model, self.train_function = model, model.train_function
        self.pending, self.meant_for = {}, None

    def patch(self, variables, values):
        if self.meant_for is not self.model._jax_state:
            self.pending = {}
        self.meant_for = self.model._jax_state
        tracked = self.model.optimizer.variables
        for variable, value in zip(variables, values, strict=True):
            slot = next(i for i, item in enumerate(tracked) if item is variable)
            self.pending[slot] = np.asarray(value, dtype=variable.dtype)

    def __call__(self, state, iterator):
        # After an exception the next call belongs to another fit.
        if self.pending and self.meant_for is self.model._jax_state:
            optimizer_variables = list(state[2])
            for slot, value in self.pending.items():
                optimizer_variables[slot] = value
            state = (*state[:2], optimizer_variables, *state[3:])
        self.pending, self.meant_for = {}, None
        return self.train_function(state, iterator)


class _WatchedVariable(keras.Variable):
    """A variable that reports the start of every update by an optimizer."""

    @property
    def overwrite_with_gradient(self):
        self._before_update(self)
        return self._overwrite_with_gradient

    @overwrite_with_gradient.setter
    def overwrite_with_gradient(self, value):
        keras.Variable.overwrite_with_gradient.fset(self, value)


def watch_updates(variable, before_update):
    """Calls `before_update(variable)` whenever an optimizer starts to update it.

    A constraint is called after the update and cannot see what the value was.
    Every `Optimizer.apply`, on every backend and inside every trace, reads
    `overwrite_with_gradient` of each variable before it changes the first one;
    that read is the signal. It may come more than once. Keras 3.12 to 3.15.
    """
    if type(variable) is not keras.Variable:
        raise TypeError(
            f"Only plain Keras variables can be watched. Received: {variable.path} "
            f"of type {type(variable)}."
        )
    variable._before_update = before_update
    variable.__class__ = _WatchedVariable


def unwatch_updates(variable):
    """Undoes `watch_updates`."""
    variable.__class__ = keras.Variable
    del variable._before_update


def owns(optimizer, variable):
    """Whether `optimizer` was built to update `variable`.

    There is no public list of an optimizer's variables. Keras 3.12 to 3.15.
    """
    return optimizer._var_key(variable) in optimizer._trainable_variables_indices


def carry(optimizer, variables):
    """Makes `variables` state of an optimizer's step without saving them with it.

    A training step on JAX keeps only the optimizer's variables from what happens
    during an update, and no public call adds any. A file with more variables than
    the loaded optimizer has loses all of them: so these are left out, which also
    means that they come last. Keras 3.12 to 3.15.
    """
    carried = optimizer.__dict__.setdefault("_carried_variables", [])
    for variable in variables:
        optimizer._track_variable(variable)
        carried.append(variable)
    optimizer.__dict__["save_own_variables"] = functools.partial(
        _with_own_variables, optimizer, "save_own_variables"
    )
    optimizer.__dict__["load_own_variables"] = functools.partial(
        _with_own_variables, optimizer, "load_own_variables"
    )


def stop_carrying(optimizer, variables):
    """Undoes `carry`."""
    carried = optimizer.__dict__.get("_carried_variables", [])
    for variable in variables:
        optimizer._untrack_variable(variable)
        carried[:] = [other for other in carried if other is not variable]
    if not carried:
        for name in ("save_own_variables", "load_own_variables", "_carried_variables"):
            optimizer.__dict__.pop(name, None)


def _with_own_variables(optimizer, method, store):
    """Runs a method of the class while the carried variables are away."""
    carried = list(optimizer._carried_variables)
    for variable in carried:
        optimizer._untrack_variable(variable)
    try:
        return getattr(type(optimizer), method)(optimizer, store)
    finally:
        for variable in carried:
            optimizer._track_variable(variable)


def moving_average(optimizer, variable):
    """The variable that holds the moving average of `variable`, or `None`.

    Kept for `use_ema=True` under a private name only. Keras 3.12 to 3.15.
    """
    if not optimizer.use_ema:
        return None
    index = optimizer._get_variable_index(variable)
    return optimizer._model_variables_moving_average[index]


def is_frozen_by_scope(variable):
    """Whether assigning to `variable` now would be lost.

    Inside a `StatelessScope` (every training step on JAX) only the variables it
    was given are carried on. The active scope has no public accessor.
    Keras 3.12 to 3.15.
    """
    if not in_stateless_scope():
        return False
    return get_stateless_scope().get_current_value(variable) is None


def input_signature(model):
    """The arguments of a call of `model` as a list of structures of `InputSpec`.

    What `model.export` traces, for Functional, Sequential and subclassed models
    alike; public Keras has it only inside an export. A subclassed model that was
    loaded from a file is accepted too: its shapes are known although it was never
    called. Keras 3.12 to 3.15.
    """
    if isinstance(model, keras.Sequential) or hasattr(model, "_inputs_struct"):
        return export_utils.get_input_signature(model)
    signature = export_utils._infer_input_signature_from_model(model)
    if not signature:
        raise ValueError(
            f"`model` must have been called once. Received: model={model.name!r}. "
            "Call it on an input, so that its input shapes are known."
        )
    return signature


@functools.cache
class _BackendOps:
    """The functions of one backend under the names they have in `keras.ops`."""

    def __init__(self, *modules):
        self._modules = modules

    def __getattr__(self, name):
        for module in self._modules:
            if hasattr(module, name):
                return getattr(module, name)
        raise AttributeError(f"this backend has no {name!r}")


def backend_ops(backend):
    """What serves as `keras.ops` for the backend a preprocessing layer runs on.

    In a `tf.data` pipeline a preprocessing layer works on TensorFlow tensors also
    when Keras's backend is another one (`layer.backend` is then switched), where
    the public `keras.ops` do not apply. One object a backend. Keras 3.12 to 3.15.
    """
    if backend.name == keras.backend.backend():
        return keras.ops
    return _BackendOps(backend.core, backend.numpy)


def is_called_by_itself(layer):
    """Whether the running call of `layer` was made directly, not by a model.

    Keras's augmentation layers default to `training=True` even inside a model,
    so that a model called or exported without `training` augments its input (and
    the layers after it believe to be in training). The innermost call knows its
    outermost layer only through the private call context. Keras 3.12 to 3.15.
    """
    return layer._get_call_context().entry_layer is layer


@contextlib.contextmanager
def exact_scopes():
    """Names TensorFlow operations after the path of their layer, exactly.

    Yields a dict that fills with `{"outer/inner": layer}` while layers are called
    inside the block. Keras opens a layer's scope several times, and TensorFlow
    then appends `_1`, `_2`, ...: the operations of `conv2d` and `conv2d_1` cannot
    be told apart. A scope that ends in a slash is entered as it is. No public name
    reaches the scopes. TensorFlow backend, Keras 3.12 to 3.15.
    """
    from keras.src import backend

    scope, seen = backend.name_scope, {}
    enter = scope.__enter__

    def enter_exactly(self):
        stack = global_state.get_global_attribute("name_scope_stack") or []
        names = [*(entry.name for entry in stack), self.name]
        if stack and stack[-1].caller is self.caller and names[-1] == names[-2]:
            names.pop()  # entered twice for one call: Keras drops the second
        path = "/".join(re.sub(r"[^A-Za-z0-9_.\\\-]", "_", name) for name in names)
        path = path if path[0].isalnum() else f"layer{path}"
        if isinstance(self.caller, keras.layers.Layer):
            seen.setdefault(path, self.caller)
        self._tf_name_scope = type(self._tf_name_scope)(f"{path}/")
        return enter(self)

    scope.__enter__ = enter_exactly
    try:
        yield seen
    finally:
        scope.__enter__ = enter


def operation_calls(model):
    """`[(operation, [its parents])]` of a Functional or Sequential model, in order.

    One entry a call: parents are the operations that made its inputs. `None` for
    other models. Layers know their tensors publicly, but only if called once, and
    `keras.ops` in a graph do not. Keras 3.12 to 3.15.
    """
    graph = getattr(model, "_functional", None) or model
    if not hasattr(graph, "_nodes_by_depth"):
        return None
    calls = []
    for depth in sorted(graph._nodes_by_depth, reverse=True):
        for node in graph._nodes_by_depth[depth]:
            tensors = node.arguments.keras_tensors
            parents = [tensor._keras_history.operation for tensor in tensors]
            calls.append((node.operation, parents))
    return calls


def graph_nodes(model):
    """`[(operation, args, kwargs, outputs)]`: each call in a model's graph, in order.

    `args` and `kwargs` hold the KerasTensors of the calls, `outputs` is their flat
    list. `None` for a model without a graph. `clone_model` visits the same calls, but
    tells nothing of who uses an output. Keras 3.12 to 3.15.
    """
    graph = getattr(model, "_functional", None) or model
    if not hasattr(graph, "_nodes_by_depth"):
        return None
    return [
        (node.operation, node.arguments.args, node.arguments.kwargs, node.outputs)
        for depth in sorted(graph._nodes_by_depth, reverse=True)
        for node in graph._nodes_by_depth[depth]
        if not node.is_input
    ]
