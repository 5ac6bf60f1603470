"""A target of models that give embeddings."""

from typing import Any

from keras_strategies._internal import checks

_KINDS = ("cosine", "dot", "distance")


class Similarity:
    """The similarity to another sample: the target for models that give embeddings.

    No single number of an embedding has a meaning. What is explained is how near it is
    to that of a reference: which parts of a picture make it look like the other one.

    - `"cosine"`: the cosine of the angle between both embeddings.
    - `"dot"`: their inner product.
    - `"distance"`: the negative Euclidean distance, for models trained with triplets.

    Args:
        reference: Inputs of the model: one sample for all, `(1, ...)`, or one for each.
        kind: `"cosine"`, `"dot"` or `"distance"`. Defaults to `"cosine"`.

    Raises:
        ValueError: If `kind` is another word.

    Example:

    ```python
    import keras
    import numpy as np
    from keras_strategies import explain

    model = keras.Sequential([keras.Input((6,)), keras.layers.Dense(4)])
    x = np.random.default_rng(0).random((3, 6))
    target = explain.Similarity(x[:1])
    explain.grad_times_input(model, x[1:], target).shape  # (2, 6)
    ```
    """

    def __init__(self, reference: Any, kind: str = "cosine") -> None:
        self.reference: Any = reference
        self.kind: str = checks.choice("kind", kind, _KINDS)
