"""Layer-sequential unit-variance initialization."""

import math
import warnings
from collections.abc import Callable
from typing import Any

import keras
from keras import ops

from keras_strategies._internal import checks
from keras_strategies._internal.keras_private import assign_in_a_call
from keras_strategies._internal.select import (
    Selection,
    Selector,
    Target,
    layer_targets,
    weight_target,
)
from keras_strategies._internal.types import Tensor, Tensors
from keras_strategies.initializers._layers import (
    KERNELS,
    call_in_training,
    check_model,
    float_tensors,
    outside_loops,
    own_activation,
    patched,
    to_float,
    weight_of,
)


def lsuv_init(
    model: keras.Model,
    data: Tensors,
    tolerance: float = 0.1,
    max_iterations: int = 10,
    orthonormal: bool = True,
    include: Selector | None = None,
    exclude: Selector | None = None,
    seed: int | None = None,
) -> dict[str, float]:
    """Scales the kernels of a built model, in place, to unit variance of the outputs.

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
    call of the model is enough for all layers: each layer is run again with its new
    kernel before the next one receives its output. The model is called as a training
    step does, with dropout and the statistics of the batch. Only the kernels change;
    moving statistics and random states are restored.

    Kernels of dense layers, EinsumDense, convolutions (for separable ones the
    pointwise kernel), attention and custom layers that name theirs `kernel` are set,
    also in nested and subclassed models. Frozen kernels and layers that run over time
    steps (recurrent ones, `TimeDistributed`) are not changed.

    Reference:

    - [Mishkin and Matas, 2016, All you need is a good
      init](https://arxiv.org/abs/1511.06422)

    Args:
        model: A built `keras.Model` of any kind.
        data: A batch of inputs as the model takes them: an array or tensor, or a list
            or dict of such. About a hundred samples are enough.
        tolerance: Allowed deviation of a variance from 1, greater than 0. Defaults to
            `0.1`.
        max_iterations: Maximum number of times one kernel is scaled, at least 1. More
            than one is needed only where a layer is not linear in its kernel or its
            bias is not zero. Defaults to `10`.
        orthonormal: Whether kernels start as orthonormal matrices, as in the paper, or
            with their current values. Defaults to `True`.
        include: The kernels to set: a regular expression that is searched in the path
            of a kernel (`"block_1/dense/kernel"`), a layer or model, a kernel, a
            function of a layer, or a list of these. Defaults to `None`, all.
        exclude: The kernels to leave unchanged, as in `include`, which it overrides.
            Defaults to `None`.
        seed: Integer seed of the orthonormal matrices, or `None` for a random one.
            Defaults to `None`.

    Returns:
        A dict from the path of each kernel to the variance of its layer's outputs
        afterwards, in the order of the calls.

    Raises:
        TypeError: If an argument is of the wrong type.
        ValueError: If an argument is out of its range, if the model is not built or
            has no such kernel, or if the outputs of a layer do not vary or are not
            finite. The model is unchanged then, also after any other error.

    Example:

    ```python
    import keras
    import numpy as np
    from keras_strategies import initializers

    model = keras.Sequential([
        keras.Input((8,)),
        keras.layers.Dense(32, activation="gelu"),
        keras.layers.Dense(1, name="head"),
    ])
    data = np.random.default_rng(0).normal(5.0, 9.0, size=(128, 8))
    variances = initializers.lsuv_init(model, data, exclude="head")
    print(variances)  # {"dense/kernel": 1.0}, nearly
    ```
    """
    scaling = _Scaling(tolerance, max_iterations, orthonormal, seed)
    selection = Selection(include, exclude)
    check_model(model)
    targets = _kernel_targets(model)
    if not targets:
        checks.fail("`model` must have a trainable kernel", model=model.name)
    targets = selection.choose(targets, "trainable kernel")
    before = [(v, ops.copy(ops.stop_gradient(v.value))) for v in model.variables]
    values = {id(variable): value for variable, value in before}
    hooks = [
        (target.subject, "call", scaling.call_of(target, values[id(target.item)]))
        for target in targets
    ]
    keep_new: set[int] = set()
    try:
        with patched(hooks):
            call_in_training(model, data)
        keep_new = {id(target.item) for target in targets}
    finally:
        for variable, value in before:
            if id(variable) not in keep_new:
                variable.assign(value)
    if scaling.not_scaled:
        warnings.warn(
            "The variance of these layers does not follow the scale of their kernels, "
            f"which were not scaled: {scaling.not_scaled}. Their variances are in the "
            "result.",
            stacklevel=2,
        )
    return scaling.variances


def _kernel_targets(model: keras.Model) -> list[Target]:
    """Returns the trainable kernels of layers outside of loops."""
    outside = {id(layer) for layer in outside_loops(model)}
    targets = []
    for target in layer_targets(model):
        kernel = weight_of(target.item, KERNELS)
        if id(target.item) in outside and kernel is not None and kernel.trainable:
            targets.append(weight_target(target, kernel))
    return targets


class _Scaling:
    """Sets the kernel of each layer when it is called first.

    Attributes:
        variances: Variance of the outputs by path of the kernel.
        not_scaled: Paths of kernels whose scale does not change the variance.
    """

    def __init__(
        self, tolerance: Any, max_iterations: Any, orthonormal: Any, seed: Any
    ) -> None:
        self.tolerance: float = checks.real(
            "tolerance", tolerance, low=0, low_open=True
        )
        self.max_iterations: int = checks.integer(
            "max_iterations", max_iterations, low=1
        )
        self.orthonormal: bool = checks.boolean("orthonormal", orthonormal)
        checks.integer("seed", seed, optional=True)
        # One generator: kernels of equal shapes get different matrices.
        generator = keras.random.SeedGenerator(seed)
        self.initializer: keras.initializers.Initializer = (
            keras.initializers.Orthogonal(seed=generator)
        )
        self.variances: dict[str, float] = {}
        self.not_scaled: list[str] = []
        self._finished: set[int] = set()

    def call_of(self, target: Target, value: Tensor) -> Callable[..., Tensors]:
        """Returns a `call` for the layer of a kernel that sets the kernel first.

        `value` is that of the kernel in its own precision; inside of a call it would
        be read in that of the computation.
        """
        layer, kernel = target.subject, target.item
        call, activation = layer.call, own_activation(layer)

        def measure(args: Any, kwargs: Any) -> tuple[Tensors, float]:
            recorded_z: list[Tensor] = []

            def record(z: Tensor) -> Tensor:
                recorded_z.append(z)
                return activation(z)

            hooks = [] if activation is None else [(layer, "activation", record)]
            with patched(hooks):
                outputs = call(*args, **kwargs)
            return outputs, _variance(target, recorded_z or float_tensors(outputs))

        def scaled(*args: Any, **kwargs: Any) -> Tensors:
            if id(kernel) in self._finished:  # a shared layer that is called again
                return call(*args, **kwargs)
            self._finished.add(id(kernel))
            start = value
            if self.orthonormal:
                dtype = keras.backend.standardize_dtype(value.dtype)
                start = self.initializer(kernel.shape, dtype=dtype)
            return self._scale(target, start, lambda: measure(args, kwargs))

        return scaled

    def _scale(
        self,
        target: Target,
        start: Tensor,
        measure: Callable[[], tuple[Tensors, float]],
    ) -> Tensors:
        """Scales a kernel until the variance is 1; returns the layer's outputs."""
        kernel, divisor = target.item, 1.0
        assign_in_a_call(kernel, start)
        outputs, variance = measure()
        for _ in range(self.max_iterations):
            if self._is_close(variance):
                break
            divisor *= math.sqrt(variance)
            assign_in_a_call(kernel, start / divisor)
            previous, (outputs, variance) = variance, measure()
            # A step should bring the variance from `previous` to 1. One that changes it
            # by less than a tenth of that, in logarithms, is of a layer that normalizes
            # its kernel.
            if abs(math.log(variance / previous)) < 0.1 * abs(math.log(previous)):
                break
        if not self._is_close(variance):
            self.not_scaled.append(target.path)
            assign_in_a_call(kernel, start)
            outputs, variance = measure()
        self.variances[target.path] = variance
        return outputs

    def _is_close(self, variance: float) -> bool:
        return abs(variance - 1) < self.tolerance


def _variance(target: Target, tensors: list[Tensor]) -> float:
    variance = to_float(ops.var(ops.cast(tensors[-1], "float32"))) if tensors else 0.0
    if not 0 < variance < math.inf:
        checks.fail(
            "The outputs of each layer must be finite and vary over the batch",
            fix="Give more and different samples, without NaN, or leave this layer "
            "out with `exclude`.",
            kernel=target.path,
            variance=variance,
        )
    return variance
