"""Plain gradients."""

from typing import Any

import keras
import numpy as np

from keras_strategies._internal import checks
from keras_strategies.explain._engine.explained import Explained


def packed(explained: Explained, found: list[np.ndarray]) -> Any:
    """Attributions in the structure of the inputs; `None` for inputs of integers."""
    flat: list[Any] = [None] * len(explained.inputs.flat)
    for position, array in zip(explained.inputs.differentiable, found, strict=True):
        flat[position] = array
    return explained.inputs.pack(flat)


def saliency(
    model: keras.Model,
    inputs: Any,
    target: Any = None,
    *,
    absolute: bool = True,
    logits: bool = True,
    batch_size: int = 32,
) -> Any:
    """Maps of which input values the output reacts to: the gradient.

    The quickest explanation, for any model and any input. It says what would change
    the output, not what made it: for that take `integrated_gradients` or, for images,
    `grad_cam`. On its own it is noisy; `smooth_grad` steadies it.

        s = |dy / dx|

    Source: Simonyan, Vedaldi and Zisserman (2013), "Deep Inside Convolutional
    Networks", https://arxiv.org/abs/1312.6034, who then take the largest over the
    colors: `saliency(...).max(axis=-1)`.

    Args:
        model: Any built Keras model; it is run at inference.
        inputs: Its inputs, samples first; for several inputs in their structure.
        target: What is explained: an index of the output, an array with an index for
            each sample, `Region`, `Similarity`, a function of the output that returns
            `(samples,)`, or `{name: target}` for one of several outputs. Defaults to
            `None`, the highest output of each sample.
        absolute: Whether the absolute values are returned. Defaults to `True`.
        logits: Whether the values before a last softmax or sigmoid are explained, not
            the probabilities. Defaults to `True`: a probability near 1 hardly has a
            gradient, and falls if another class rises.
        batch_size: Samples that the model is run on at once. Defaults to `32`.

    Returns:
        float32 array of the shape of the inputs; for several inputs in their
        structure, with `None` for those of integers.

    Raises:
        TypeError: If an argument is of the wrong type.
        ValueError: If the inputs do not fit the model or are all integers, if `target`
            is out of range, or if the output has no gradient.

    Example:

    ```python
    import keras
    import numpy as np
    from keras_strategies import explain

    model = keras.Sequential([keras.Input((6,)), keras.layers.Dense(3)])
    x = np.random.default_rng(0).random((5, 6))
    explain.saliency(model, x, target=2).shape  # (5, 6)
    ```
    """
    checks.boolean("absolute", absolute)
    explained = Explained(model, inputs, target, logits=logits, batch_size=batch_size)
    _, gradients = explained.gradients()
    return packed(explained, [np.abs(g) for g in gradients] if absolute else gradients)


def grad_times_input(
    model: keras.Model,
    inputs: Any,
    target: Any = None,
    *,
    logits: bool = True,
    batch_size: int = 32,
) -> Any:
    """Maps of how much each input value adds to the output: gradient times input.

    For a linear model these are exactly the shares of the output, without its bias;
    for a network the first guess at them, in one run. A value of 0, as a black pixel,
    gets nothing. `integrated_gradients` costs more and adds up.

        a = x dy / dx

    Source: Shrikumar et al. (2016), "Not Just a Black Box",
    https://arxiv.org/abs/1605.01713.

    Args:
        model: Any built Keras model; it is run at inference.
        inputs: Its inputs, samples first; for several inputs in their structure.
        target: What is explained, as for `saliency`. Defaults to `None`, the highest
            output of each sample.
        logits: Whether the values before a last softmax or sigmoid are explained.
            Defaults to `True`.
        batch_size: Samples that the model is run on at once. Defaults to `32`.

    Returns:
        float32 array of the shape of the inputs, with signs; for several inputs in
        their structure, with `None` for those of integers.

    Raises:
        TypeError: If an argument is of the wrong type.
        ValueError: As for `saliency`.

    Example:

    ```python
    import keras
    import numpy as np
    from keras_strategies import explain

    model = keras.Sequential([keras.Input((6,)), keras.layers.Dense(3)])
    x = np.random.default_rng(0).random((5, 6))
    shares = explain.grad_times_input(model, x, target=2)
    np.testing.assert_allclose(shares.sum(axis=1), model.predict(x, verbose=0)[:, 2],
                               rtol=1e-4)
    ```
    """
    explained = Explained(model, inputs, target, logits=logits, batch_size=batch_size)
    _, gradients = explained.gradients()
    values = [explained.inputs.flat[i] for i in explained.inputs.differentiable]
    return packed(explained, [g * x for g, x in zip(gradients, values, strict=True)])
