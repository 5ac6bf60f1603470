"""`strip`: the end of pruning and of clustering."""

import keras

from keras_strategies._internal import checks
from keras_strategies.compression._common.update_constraint import (
    constrained_weights,
    rebuild_train_function,
)


def strip(model: keras.Model) -> keras.Model:
    """Ends pruning and clustering, in place: zeros and shared values stay.

    Call it after the last pruned or clustered training step, before export or
    further plain training. It also ends `preserve` and `quantize_aware(preserve=...)`.
    Weights are
    not changed, with one exception: clustered weights that have more than `n`
    different values, because an optimizer with `use_ema=True` has replaced them by
    averages, are set to the nearest of their centroids. The constraints that the
    weights had before are restored. Plain training afterwards fills the zeros again
    and separates the values, if `preserve` does not keep them.

    Args:
        model: A model given to `prune`, `cluster` or `preserve`, or one of
            `quantize_aware(preserve=...)`. It is changed in place.

    Returns:
        `model` itself.

    Raises:
        TypeError: If `model` is no Keras model.
        ValueError: If nothing in the model is being pruned or clustered.

    Example:

    ```python
    import keras
    from keras_strategies import compression

    model = keras.Sequential([keras.Input((8,)), keras.layers.Dense(4)])
    compression.prune(model, compression.ConstantSparsity(0.5, begin_step=0))
    compression.strip(model)
    print(model.layers[0].kernel.constraint)  # None
    ```
    """
    checks.instance("model", model, keras.Model)
    weights = constrained_weights(model)
    if not weights:
        checks.fail(
            "`model` must be under pruning or clustering",
            fix="Call `prune(model, sparsity_schedule)` or `cluster(model, n)`, or "
            "`preserve(model)` to keep what they made earlier.",
            model=model.name,
        )
    for weight in weights:
        weight.constraint.finish()
    for weight in weights:
        weight.constraint.detach(weight)
    rebuild_train_function(model)
    return model
