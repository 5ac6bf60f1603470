"""Weights fitted to the model and to data before training."""

import math
import warnings

import keras
from keras import ops

from keras_strategies._internal import checks
from keras_strategies._internal.keras_private import assign_in_a_call
from keras_strategies.initializers._layers import (
    KERNELS,
    call_in_training,
    check_model,
    float_tensors,
    number,
    outside_loops,
    own_activation,
    shadowed,
    weight_of,
)


def lsuv_init(
    model,
    batch,
    tolerance=0.1,
    max_iterations=10,
    orthonormal=True,
    only=None,
    seed=None,
):
    """Scales the kernels of a built model so that each layer has unit variance.

    Formulas such as Glorot's and He's assume an activation, an architecture and
    inputs; this "layer-sequential unit-variance" initialization measures instead. It
    is for very deep networks, unusual activations, and inputs that are not
    normalized. Call it once, before training, on a batch of the training data. In the
    order in which the layers are called, each kernel `W` becomes

    ```
    W <- orthonormal matrix
    while |Var(z) - 1| >= tolerance:  W <- W / sqrt(Var(z))
    ```

    with `z` the output of the layer before its activation, over the whole batch. One
    call of the model is enough for all layers; each layer is run again with its new
    kernel before the next one sees its output. The call is one of a training step,
    with dropout and the statistics of the batch. Everything but the kernels is as
    before afterwards, moving statistics and random states too.

    Kernels of dense layers, EinsumDense, convolutions (for separable ones the
    pointwise kernel), attention and custom layers that name theirs `kernel` are set,
    also in nested models and for subclassed ones. Frozen kernels and layers that run
    over time steps (recurrent ones, `TimeDistributed`) are left as they are.

    Reference:

    - [Mishkin and Matas, 2016, All you need is a good
      init](https://arxiv.org/abs/1511.06422)

    Args:
        model: A built `keras.Model` of any kind.
        batch: Inputs as the model takes them: an array or tensor, or a list or dict
            of such. Some hundred samples are enough.
        tolerance: How far a variance may be from 1, greater than 0. Defaults to
            `0.1`.
        max_iterations: How often one kernel may be scaled, at least 1. More than one
            is needed only where a layer is not linear in its kernel or its bias is
            not zero. Defaults to `10`.
        orthonormal: Whether kernels begin as orthonormal matrices, as in the paper,
            or as they are. Defaults to `True`.
        only: A regular expression that is searched in the paths of kernels (such as
            `"block_1/dense/kernel"`). Defaults to `None`, all of them.
        seed: Integer seed of the orthonormal matrices. Defaults to `None`, random.

    Returns:
        A dict from the path of each kernel to the variance of its layer's outputs
        now, in the order of the calls.

    Raises:
        TypeError: If an argument is of the wrong type.
        ValueError: If an argument is out of its range, if the model is not built or
            has no such kernel, or if the outputs of a layer do not vary or are not
            finite. The model is as before then, also after any other error.

    Example:

    ```python
    import keras
    import numpy as np
    from keras_strategies import initializers

    model = keras.Sequential([
        keras.Input((8,)),
        keras.layers.Dense(32, activation="gelu"),
        keras.layers.Dense(1),
    ])
    batch = np.random.default_rng(0).normal(5.0, 9.0, size=(128, 8))
    variances = initializers.lsuv_init(model, batch)
    print(variances)  # {"dense/kernel": 1.0, "dense_1/kernel": 1.0}, nearly
    ```
    """
    settings = _Settings(tolerance, max_iterations, orthonormal, seed)
    wanted = checks.pattern("only", only, optional=True)
    check_model(model)
    places = [
        (layer, weight_of(layer, KERNELS))
        for layer in outside_loops(model)
        if weight_of(layer, KERNELS) is not None
        and weight_of(layer, KERNELS).trainable
        and wanted.search(weight_of(layer, KERNELS).path)
    ]
    if not places:
        checks.fail(
            "`model` must have a trainable kernel that `only` matches",
            model=model.name,
            only=only,
        )
    before = [(v, ops.copy(ops.stop_gradient(v.value))) for v in model.variables]
    values = {id(variable): value for variable, value in before}
    replacements = [
        (layer, "call", _scaling(layer, weight, values[id(weight)], settings))
        for layer, weight in places
    ]
    kept = set()
    try:
        with shadowed(replacements):
            call_in_training(model, batch)
        kept = {id(weight) for _, weight in places}
    finally:
        for variable, value in before:
            if id(variable) not in kept:
                variable.assign(value)
    if settings.missed:
        warnings.warn(
            "The variance of these layers does not follow the scale of their kernels, "
            f"which were not scaled: {settings.missed}. Their variances are in the "
            "result.",
            stacklevel=2,
        )
    return settings.variances


class _Settings:
    """Checked arguments, and what was found so far."""

    def __init__(self, tolerance, max_iterations, orthonormal, seed):
        self.tolerance = checks.real("tolerance", tolerance, low=0, low_open=True)
        self.max_iterations = checks.integer("max_iterations", max_iterations, low=1)
        self.orthonormal = checks.boolean("orthonormal", orthonormal)
        checks.integer("seed", seed, optional=True)
        # One generator: layers of equal shapes get different matrices.
        generator = keras.random.SeedGenerator(seed)
        self.matrix = keras.initializers.Orthogonal(seed=generator)
        self.variances = {}
        self.missed = []
        self.done = set()

    def fits(self, variance):
        return abs(variance - 1) < self.tolerance


def _scaling(layer, weight, value, settings):
    """The `call` of a layer that sets its kernel when it is first called.

    `value` is that of the kernel in its own precision; inside a call it is seen in
    that of the computation.
    """
    call, activation = layer.call, own_activation(layer)
    seen = []

    def record(z):
        seen.append(z)
        return activation(z)

    def measured(args, kwargs):
        seen.clear()
        hooks = [] if activation is None else [(layer, "activation", record)]
        with shadowed(hooks):
            outputs = call(*args, **kwargs)
        return outputs, _variance(layer, seen or float_tensors(outputs))

    def scaled(*args, **kwargs):
        if id(weight) in settings.done:  # a layer that is called again
            return call(*args, **kwargs)
        settings.done.add(id(weight))
        start, factor = value, 1.0
        if settings.orthonormal:
            dtype = keras.backend.standardize_dtype(value.dtype)
            start = settings.matrix(weight.shape, dtype=dtype)
        assign_in_a_call(weight, start)
        outputs, variance = measured(args, kwargs)
        for _ in range(settings.max_iterations):
            if settings.fits(variance):
                break
            factor *= math.sqrt(variance)
            assign_in_a_call(weight, start / factor)
            last, (outputs, variance) = variance, measured(args, kwargs)
            if abs(math.log(variance / last)) < 0.1 * abs(math.log(last)):
                break  # a layer that normalizes its kernel: scaling is in vain
        if not settings.fits(variance):
            settings.missed.append(weight.path)
            assign_in_a_call(weight, start)
            outputs, variance = measured(args, kwargs)
        settings.variances[weight.path] = variance
        return outputs

    return scaled


def _variance(layer, tensors):
    variance = number(ops.var(ops.cast(tensors[-1], "float32"))) if tensors else 0.0
    if not 0 < variance < math.inf:
        checks.fail(
            "The outputs of each layer must be finite and vary over the batch",
            fix="Give more and different samples, without NaN, or leave this layer "
            "out with `only`.",
            layer=layer.path,
            variance=variance,
        )
    return variance
