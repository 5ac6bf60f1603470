"""Training: metrics of a model, values inside an epoch, messages."""

import sys
from typing import Any

import keras
from keras.src.trainers.epoch_iterator import EpochIterator
from keras.src.utils import io_utils
from keras.src.utils.module_utils import tensorflow as lazy_tensorflow


def own_direction(metric):
    """`"min"` or `"max"` where a Keras metric says so itself, else `None`.

    A metric knows its direction only as `_direction`. Keras 3.12 to 3.15.
    """
    direction = getattr(metric, "_direction", None)
    return {"up": "max", "down": "min"}.get(direction)


def wrapped_function(metric):
    """The function that a metric takes the mean of, or `None`.

    `compile(metrics=[function])` wraps it, and nothing public leads back to it.
    Keras 3.12 to 3.15.
    """
    return getattr(metric, "_fn", None)


def metric_values(metric, y_true, y_pred):
    """The values, one a sample, that a metric is the mean of; `None` for others.

    The function of a metric and its arguments have no public names. Keras 3.12 to
    3.15.
    """
    function = wrapped_function(metric)
    if function is None:
        return None
    return function(y_true, y_pred, **getattr(metric, "_fn_kwargs", {}))


def compile_arguments(model):
    """The arguments of `compile` that a model had, the objects themselves.

    `get_compile_config` is public and gives them serialized, which loses functions
    that are not registered. Keras 3.12 to 3.15.
    """
    return dict(model._compile_config.config)


def compiled_parts(model: keras.Model) -> tuple[Any, Any]:
    """Objects that `compile`, and `add` of a Sequential model, make anew.

    They tell a caller that keeps compiled functions, as Keras's own are dropped then.
    Nothing public changes with each `compile`. Keras 3.12 to 3.15.
    """
    return getattr(model, "_compile_config", None), getattr(model, "_functional", None)


def compiled_metrics(model):
    """The metrics of a compiled model, one by one.

    Those of `compile` are inside an object of a private class. Keras 3.12 to 3.15.
    """
    return [
        leaf
        for metric in getattr(model, "metrics", [])
        for leaf in getattr(metric, "metrics", [metric])
    ]


def current_values(model, variables):
    """Tensors with the values of weights, also in the middle of an epoch.

    On JAX the variables are empty then and `fit` holds their values in
    `_jax_state`. The public `callback.model` writes all of them back, for each
    call; this only looks. The tensors are those of the next step, which takes
    their memory: use them at once. Keras 3.12 to 3.15.
    """
    state = getattr(model, "_jax_state", None)
    if not state or model._jax_state_synced:
        return [variable.value for variable in variables]
    values = {}
    for kind in ("trainable_variables", "non_trainable_variables"):
        pairs = zip(getattr(model, kind), state.get(kind) or (), strict=True)
        values.update((id(variable), value) for variable, value in pairs)
    return [values[id(variable)] for variable in variables]


def compile_function(function):
    """`function` of lists of tensors, compiled the way the backend compiles.

    Keras compiles only whole training steps. TensorFlow comes from Keras's own
    lazy import, which costs nothing on other backends. Keras 3.12 to 3.15.
    """
    backend = keras.backend.backend()
    if backend == "tensorflow":
        return lazy_tensorflow.function(function, reduce_retracing=True)
    if backend == "jax":
        import jax

        return jax.jit(function)
    return function


def running_epochs():
    """What goes through the epochs of a `fit` or `evaluate` that is asking for data.

    A Keras `EpochIterator`, whose `steps_per_epoch` a data set is never told: it asks
    only how many batches there are, and ends an epoch early where these do not last.
    Found on the stack, `None` elsewhere. Keras 3.12 to 3.15.
    """
    frame = sys._getframe(2)
    # Here Keras asks only in order to warn that it cannot shuffle.
    if frame is not None and frame.f_code.co_name == "get_data_adapter":
        return None
    for _ in range(8):
        if frame is None:
            return None
        owner = frame.f_locals.get("self")
        if isinstance(owner, EpochIterator):
            return owner
        frame = frame.f_back
    return None


def print_message(text):
    """Prints like Keras's own callbacks, to the terminal or to the log.

    Which of the two `keras.config.disable_interactive_logging` decides; the
    function that follows it is private. Keras 3.12 to 3.15.
    """
    io_utils.print_msg(text)


def mean_metric_function(metric: keras.metrics.Metric) -> Any:
    """The function of a metric that is the mean of its values, or `None`.

    A wrapped function is an attribute with an underscore. Keras 3.12 to 3.15.
    """
    if type(metric).update_state is not keras.metrics.MeanMetricWrapper.update_state:
        return None
    if type(metric).result is not keras.metrics.Mean.result:
        return None  # such as RootMeanSquaredError
    options = metric._fn_kwargs
    return lambda *values: metric._fn(*values, **options)
