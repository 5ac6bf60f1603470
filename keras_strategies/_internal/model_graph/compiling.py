"""Compilation of one model as another one."""

from collections.abc import Mapping
from typing import Any

import keras

from keras_strategies._internal import checks
from keras_strategies._internal.keras_private import trusting_object_scope
from keras_strategies._internal.model_graph.clone import compile_objects, value_of


def compile_like(
    model: keras.Model,
    source: keras.Model,
    config: dict[str, Any] | None = None,
    **changes: Any,
) -> keras.Model:
    """Compiles `model` as `source` is, with new metrics and an optimizer at step 0.

    Args:
        model: The model to compile.
        source: A compiled model. Nothing happens if it is not compiled.
        config: A compile config made from that of `source`. Defaults to it.
        **changes: Arguments of `compile` that are others, such as `optimizer`.

    Returns:
        `model`.
    """
    if not source.compiled:
        return model
    config = source.get_compile_config() if config is None else config
    for name, value in changes.items():
        config[name] = keras.saving.serialize_keras_object(value)
    with trusting_object_scope(compile_objects(source)):
        model.compile_from_config(config)
    if not model.compiled or model.optimizer is None:
        checks.fail(
            "`model` must be compiled with what Keras can copy",
            fix="Decorate custom classes and functions by "
            "@keras.saving.register_keras_serializable().",
            model=source.name,
        )
    return model


def copy_optimizer_state(source: keras.Model, model: keras.Model) -> bool:
    """Lets the optimizer of `model` go on where that of `source` is.

    Only where both update variables of the same shapes in the same order; says
    whether they do.
    """
    if not (source.compiled and model.compiled and source.optimizer.built):
        return False
    optimizer = source.optimizer
    pairs = zip(source.trainable_variables, model.trainable_variables, strict=False)
    same = len(source.trainable_variables) == len(model.trainable_variables)
    if not same or any(a.shape != b.shape for a, b in pairs):
        return False
    # Slots do not exist before `build`: there would be nothing to assign to.
    if not model.optimizer.built:
        model.optimizer.build(model.trainable_variables)
    # Compared once more: another optimizer of the same weights has other slots.
    state, own = optimizer.variables, model.optimizer.variables
    if [v.shape for v in state] != [v.shape for v in own]:
        return False
    for variable, value in zip(own, state, strict=True):
        variable.assign(value_of(value))
    return True


def check_output_names(source: keras.Model, model: keras.Model) -> None:
    """Refuses a change of outputs by whose names losses or metrics are assigned."""
    if not source.compiled:
        return
    gone = {*getattr(source, "output_names", ())} - {
        *getattr(model, "output_names", ())
    }
    if not isinstance(source, keras.Sequential) and isinstance(source.output, dict):
        gone -= set(source.output)
    config = source.get_compile_config()
    for name in ("loss", "loss_weights", "metrics", "weighted_metrics"):
        assigned = config.get(name)
        if isinstance(assigned, Mapping) and gone & set(assigned):
            checks.fail(
                f"Outputs must keep the names by which `{name}` is assigned to them",
                outputs=sorted(gone),
                fix="Change layers before them, or compile the model without a dict.",
            )
