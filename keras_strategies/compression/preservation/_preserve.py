"""`preserve`: zeros and shared values of a finished model stay in plain training."""

import warnings
from typing import Literal

import keras
import numpy as np
from keras import ops

from keras_strategies._internal import checks
from keras_strategies._internal.select import Selection, Selector
from keras_strategies.compression._common import compressible_weights
from keras_strategies.compression._common.update_constraint import (
    UpdateConstraint,
    check_unconstrained,
    rebuild_train_function,
)
from keras_strategies.compression.clustering._cluster import CLUSTERABLE
from keras_strategies.compression.preservation import _plan
from keras_strategies.compression.preservation._preserve_constraint import (
    PreserveConstraint,
)

# A model with a smaller share of zeros was hardly pruned.
_LEAST_SPARSITY = 0.1


def preserve(
    model: keras.Model,
    what: Literal["sparsity", "clusters", "both"] = "both",
    *,
    include: Selector | None = None,
    exclude: Selector | None = None,
) -> keras.Model:
    """Makes zeros and shared values stay through plain training, in place.

    Use it to train a pruned or clustered model on that comes from a file, or that
    `strip` has ended: the file of such a model holds its weights and plain Keras
    layers, no schedule, so that plain `fit` after `keras.models.load_model` fills its
    zeros and separates its values without a word. After `preserve`,

    - `"sparsity"`: weights that are zero now stay zero after every step;
    - `"clusters"`: weights that share a value, in a kernel or in an output channel of
      a convolution, move together, by the mean of the optimizer's updates;
    - `"both"`: each where there is one.

    Nothing is pruned further: to go on with a schedule call `prune`, or `cluster`,
    instead, also on a model under `preserve`, which it replaces. As with these, `fit`
    needs no callback, and files stay plain: call `preserve` again after the next
    `load_model`. `strip` ends it. `quantize_aware` makes another model; give it its
    own `preserve`.

    Args:
        model: A built `keras.Model` with zeros or shared values in its weights. It is
            changed in place.
        what: `"sparsity"`, `"clusters"` or `"both"`. Defaults to `"both"`.
        include: Which weights: a regular expression that is searched in the path of
            each weight, a layer or nested model, a function of a layer, or a list of
            these. Defaults to `None`, all that can be pruned or clustered.
        exclude: Which weights to leave out, given like `include`; it wins. Defaults to
            `None`.

    Returns:
        `model` itself.

    Raises:
        TypeError: If `model` is no Keras model.
        ValueError: If the model is not built, if no weight has anything to preserve,
            or if one is under `prune` or `cluster`. The model is unchanged then.

    Example:

    ```python
    import keras
    import numpy as np
    from keras_strategies import compression

    model = keras.Sequential([keras.Input((8,)), keras.layers.Dense(4)])
    model.compile("sgd", "mse")
    x, y = np.random.rand(32, 8), np.random.rand(32, 4)
    compression.prune(model, compression.ConstantSparsity(0.5, begin_step=0))
    model.fit(x, y, verbose=0)
    model.save("pruned.keras")

    loaded = keras.models.load_model("pruned.keras")
    compression.preserve(loaded)
    loaded.fit(x, y, verbose=0)
    print(compression.sparsity_report(loaded).sparsity)  # 0.5
    ```
    """
    checks.instance("model", model, keras.Model)
    checks.choice("what", what, _plan.NAMES)
    selection = Selection(include, exclude)
    compressible_weights.check_built(model, CLUSTERABLE)
    pairs = compressible_weights.select_weights(
        model, selection, protocol=CLUSTERABLE, purpose="preserved"
    )
    check_unconstrained(pairs)
    plans = [_plan.preservation_plan(*pair, what) for pair in pairs]
    if not any(plans):
        checks.fail(
            "At least one weight must have something to preserve",
            fix="A pruned weight has zeros, a clustered one few values.",
            what=what,
            weights=[_description(weight) for _, weight in pairs],
        )
    for (_, weight), plan in zip(pairs, plans, strict=True):
        if plan is not None:
            constraint = PreserveConstraint(model, weight, plan)
            constraint.is_replaceable = True
            constraint.attach(weight)
    rebuild_train_function(model)
    return model


def warn_of_loss(model: keras.Model, fix: str) -> None:
    """Warns where training that comes next fills the zeros of a pruned model."""
    zeros = size = 0
    for _, weight in compressible_weights.compressible_weights(model, CLUSTERABLE):
        values = ops.convert_to_numpy(ops.copy(weight.value))
        size += values.size
        if weight.trainable and not isinstance(weight.constraint, UpdateConstraint):
            zeros += round(_plan.pruned_sparsity(values) * values.size)
    if zeros >= _LEAST_SPARSITY * max(size, 1):
        warnings.warn(
            f"{zeros / size:.0%} of the weights of {model.name!r} are zero, and "
            f"training fills them. {fix}",
            stacklevel=3,
        )


def _description(weight):
    values = ops.convert_to_numpy(ops.copy(weight.value))
    zeros, distinct = np.mean(values == 0), np.unique(values).size
    return f"{weight.path}: {zeros:.1%} zeros, {distinct} values in {values.size}"
