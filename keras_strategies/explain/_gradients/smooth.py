"""Explanations averaged over noisy copies of the inputs."""

from collections.abc import Callable
from typing import Any

import keras
import numpy as np

from keras_strategies._internal import checks
from keras_strategies.explain._engine.explained import Explained
from keras_strategies.explain._gradients.plain import saliency


def smooth_grad(
    model: keras.Model,
    inputs: Any,
    target: Any = None,
    *,
    method: Callable[..., Any] = saliency,
    samples: int = 25,
    noise: float = 0.1,
    reduction: str = "mean",
    seed: int = 0,
    logits: bool = True,
    batch_size: int = 32,
    **options: Any,
) -> Any:
    """An explanation averaged over noisy copies of the inputs: SmoothGrad.

    Gradients of networks jump from pixel to pixel; their mean around a sample shows
    what holds in its neighborhood. Goes around any function of this package that takes
    a model, inputs and a target.

        M = mean over n of method(x + e_n),  e_n ~ N(0, (noise (max x - min x))^2)

    The target is chosen by the inputs without noise.

    Source: Smilkov et al. (2017), "SmoothGrad: removing noise by adding noise",
    https://arxiv.org/abs/1706.03825. `"square"` is that of Hooker et al. (2019),
    https://arxiv.org/abs/1806.10758; `"variance"` is VarGrad, Adebayo et al. (2018),
    https://arxiv.org/abs/1810.03307.

    Args:
        model: Any built Keras model; it is run at inference.
        inputs: Its inputs, samples first; for several inputs in their structure.
            Inputs of integers get no noise.
        target: What is explained, as for `saliency`. Defaults to `None`, the highest
            output of each sample.
        method: What is averaged, such as `explain.integrated_gradients`. Defaults to
            `explain.saliency`.
        samples: Noisy copies of each sample, at least 1. Defaults to `25`.
        noise: Standard deviation of the noise as a fraction of the range of each
            sample's values, at least 0. Defaults to `0.1`.
        reduction: `"mean"`, `"square"` (the mean of the squares) or `"variance"`.
            Defaults to `"mean"`.
        seed: Seed of the noise. Defaults to `0`.
        logits: Whether the values before a last softmax or sigmoid are explained.
            Defaults to `True`.
        batch_size: Samples that the model is run on at once. Defaults to `32`.
        **options: Further arguments of `method`.

    Returns:
        What `method` returns, averaged.

    Raises:
        TypeError: If an argument is of the wrong type.
        ValueError: If an argument is out of range, or as for `method`.

    Example:

    ```python
    import keras
    import numpy as np
    from keras_strategies import explain

    model = keras.Sequential([
        keras.Input((6,)),
        keras.layers.Dense(8, activation="relu"),
        keras.layers.Dense(3, activation="softmax"),
    ])
    x = np.random.default_rng(0).random((5, 6))
    explain.smooth_grad(model, x, method=explain.grad_times_input, samples=8)
    ```
    """
    if not callable(method):
        checks.fail("`method` must be a function", error=TypeError, method=method)
    checks.integer("samples", samples, low=1)
    checks.real("noise", noise, low=0)
    checks.choice("reduction", reduction, ("mean", "square", "variance"))
    random = np.random.default_rng(checks.integer("seed", seed, low=0))
    explained = Explained(model, inputs, target, logits=logits, batch_size=batch_size)
    if target is None:
        # The class of the samples themselves: noise may change which one is the
        # highest.
        target = explained.indices
    elif isinstance(target, dict) and next(iter(target.values())) is None:
        target = dict.fromkeys(target, explained.indices)
    arguments = {"logits": logits, "batch_size": batch_size, **options}
    sums = squares = None
    for _ in range(samples):
        noisy = _noisy(explained, noise, random)
        found = method(model, noisy, target, **arguments)
        part = _map(lambda x: np.asarray(x, "float64"), found)
        square = _map(np.square, part)
        sums = part if sums is None else _map(np.add, sums, part)
        squares = square if squares is None else _map(np.add, squares, square)
    mean, mean_square = (_map(lambda x: x / samples, x) for x in (sums, squares))
    result = {
        "mean": mean,
        "square": mean_square,
        "variance": _map(lambda s, m: np.maximum(s - m**2, 0), mean_square, mean),
    }[reduction]
    return _map(lambda x: x.astype("float32"), result)


def _map(function, *structures):
    """`function` of the arrays of structures; `None` stays."""
    return keras.tree.map_structure(
        lambda *leaves: None if leaves[0] is None else function(*leaves), *structures
    )


def _noisy(explained, noise, random):
    flat = list(explained.inputs.flat)
    for position in explained.inputs.differentiable:
        array = flat[position]
        axes = tuple(range(1, array.ndim))
        spread = np.ptp(array, axis=axes, keepdims=True)
        added = random.standard_normal(array.shape, dtype="float32")
        flat[position] = array + noise * spread * added
    return explained.inputs.pack(flat)
