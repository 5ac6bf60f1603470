"""A proposal of how to divide the weights of a model over devices."""

import re
from collections.abc import Sequence
from typing import Any

import keras
import numpy as np

from keras_strategies._internal import checks


def layout(
    model: keras.Model,
    rule: str = "auto",
    model_devices: int | None = None,
    devices: Sequence[str] | None = None,
    min_size: int = 2**16,
) -> Any:
    """Proposes how to divide the weights of a model, for `scope(layout=...)` on JAX.

    The devices form a mesh of `"batch"` and `"model"`: batches are divided along the
    first axis, large weights along the second. A weight is divided along its longest
    axis whose length the devices divide, the last one of several that are equally long;
    the state of the optimizer goes with it. Smaller weights, and those of which no axis
    can be divided, are on every device. What has to be exchanged follows from the
    layouts and is XLA's task; the numbers that come out are those of one device, up to
    rounding.

    The map goes by the paths of the weights: make the model that is trained with the
    same names, most simply by `keras.models.clone_model(model)`.

    Args:
        model: A model that is built.
        rule: `"auto"`, the rule above.
        model_devices: Over how many devices a weight is divided. Defaults to `None`,
            all.
        devices: Names of the devices. Defaults to all, those of a group included.
        min_size: Numbers that a weight must have to be divided. Defaults to `65536`.

    Returns:
        A `keras.distribution.LayoutMap`, to which you may add.

    Raises:
        ValueError: If the model is not built, `model_devices` does not divide the
            number of devices, or the backend is not JAX.

    Example:

    ```python
    import keras
    from keras_strategies.training import distributed

    model = keras.Sequential([keras.Input((8,)), keras.layers.Dense(4)])
    if keras.backend.backend() == "jax":
        layout = distributed.layout(model, min_size=16)
        with distributed.scope(layout=layout):
            model = keras.models.clone_model(model)
    ```
    """
    checks.choice("rule", rule, ("auto",))
    checks.instance("model", model, keras.Model)
    if keras.backend.backend() != "jax":
        checks.fail(
            "`layout` needs the JAX backend",
            fix="Set KERAS_BACKEND=jax.",
            backend=keras.backend.backend(),
        )
    if not model.built:
        checks.fail("`model` must be built", model=model.name)
    names = list(devices or keras.distribution.list_devices())
    count = checks.integer("model_devices", model_devices, low=1, optional=True)
    count = len(names) if count is None else count
    if len(names) % count:
        checks.fail(
            "`model_devices` must divide the number of devices",
            model_devices=count,
            devices=names,
        )
    mesh = keras.distribution.DeviceMesh(
        (len(names) // count, count), ["batch", "model"], np.array(names)
    )
    layouts = keras.distribution.LayoutMap(mesh)
    seen = set()
    for variable in model.variables:
        axis = divided_axis(tuple(variable.shape), count, min_size)
        if axis is not None and variable.path not in seen:
            seen.add(variable.path)
            axes = [None] * len(variable.shape)
            axes[axis] = "model"
            layouts[re.escape(variable.path)] = tuple(axes)
    return layouts


def divided_axis(shape: tuple[int, ...], count: int, min_size: int) -> int | None:
    """Returns the axis along which `count` devices divide a weight, or `None`."""
    if count == 1 or int(np.prod(shape)) < min_size:
        return None
    possible = [axis for axis, length in enumerate(shape) if length % count == 0]
    if not possible:
        return None
    return max(possible, key=lambda axis: (shape[axis], axis))
