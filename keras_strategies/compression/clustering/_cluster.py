"""`cluster`: weight clustering of a live model."""

from collections.abc import Sequence
from typing import Literal

import keras
import numpy as np
from keras import ops

from keras_strategies._internal import checks
from keras_strategies._internal.model_graph import clone_model
from keras_strategies._internal.select import Selection, Selector
from keras_strategies.compression._common import compressible_weights
from keras_strategies.compression._common.skipped_layers import warn_of_hidden
from keras_strategies.compression._common.stateful_constraint import track_on_compile
from keras_strategies.compression._common.update_constraint import (
    check_unconstrained,
    rebuild_train_function,
)
from keras_strategies.compression.clustering import _centroid_init
from keras_strategies.compression.clustering._channel_rows import channel_axis
from keras_strategies.compression.clustering._cluster_constraint import (
    ClusterConstraint,
)

# Names by which custom layers declare weights; the second is TFMOT's.
CLUSTERABLE = (
    "clusterable_weights",
    "get_clusterable_weights",
    *compressible_weights.PRUNABLE,
)


def cluster(
    model: keras.Model,
    n: int,
    *,
    init: Literal["kmeans++", "linear", "density", "random"] = "kmeans++",
    per_channel: bool = False,
    preserve_sparsity: bool = False,
    include: Selector | None = None,
    exclude: Selector | None = None,
    copy: bool = False,
) -> keras.Model:
    """Makes the weights of each kernel share `n` values during training, in place.

    Use it to make the compressed file smaller, after pruning and before
    quantization or alone: 16 values are 4 bits a weight once the file is gzipped.
    Cluster a trained model, fine-tune it for a few epochs at a small learning rate,
    `strip`, export. The model keeps its class and its layers, `fit` needs no
    callback, and the model saves to a plain `.keras` file at any time.

    Kernels are clustered at once and after *every* training step: the forward pass
    uses `c[i(w)]`, the centroid `c` nearest to the latent weight `w`. The optimizer's
    update of this value is applied to the latent weight (a straight-through
    gradient), so that weights change clusters as they learn; each centroid is the
    mean of its latent weights. It thereby moves by the mean of their updates, TFMOT's
    gradient aggregation AVG, and by a step of k-means when weights change clusters.
    It works with every optimizer, with and without XLA, under `steps_per_execution`,
    gradient accumulation, loss scaling and mixed precision. The difference of each
    latent weight and its centroid takes as much memory as the weight. A constraint
    that a weight already has is applied to the latent weights.

    The same weights are clustered that `prune` prunes. A custom layer names its own
    in `clusterable_weights` (or TFMOT's `get_clusterable_weights`), else in
    `prunable_weights`. A weight with no more than `n` numbers is left as it is.

    On JAX the model must be trained by itself, not as a part of another one. To
    continue after `keras.models.load_model`, call `cluster` again with the same
    arguments: kernels with up to `n` values keep them as centroids; latent weights
    start from their centroids. Plain training of the loaded model separates the
    values, unless `preserve` keeps them together.

    Reference: Han, Mao and Dally, "Deep compression: compressing deep neural
    networks with pruning, trained quantization and Huffman coding" (2016),
    https://arxiv.org/abs/1510.00149.

    Args:
        model: A built `keras.Model` of any kind. It is changed in place.
        n: How many different values a kernel may have. At least 2, with
            `preserve_sparsity` at least 3.
        init: Initial centroids. `"kmeans++"`: k-means from seeds far apart;
            `"linear"`: evenly spaced from the smallest to the largest weight, which
            preserves large weights; `"density"`: evenly spaced quantiles;
            `"random"`: uniform between the smallest and the largest weight. Always
            the same for the same weights. Defaults to `"kmeans++"`.
        per_channel: Whether each output channel of a convolution has `n` values of
            its own. Defaults to `False`.
        preserve_sparsity: Whether weights that are zero stay exactly zero, as one of
            the `n` values, and others never become zero. Defaults to `False`.
        include: Which weights to cluster: a regular expression that is searched in the
            path of each weight, such as `"backbone/conv_1/kernel"`, a layer or nested
            model, a function of a layer, or a list of these. Defaults to `None`, all
            that can be clustered.
        exclude: Which weights to leave out, given like `include`; it wins. Defaults to
            `None`.
        copy: Whether to work on a copy of the model, compiled alike, and leave the
            model as it is. Defaults to `False`: the model itself is changed.

    Returns:
        `model` itself, or its copy.

    Raises:
        TypeError: If an argument is of the wrong type.
        ValueError: If an argument is out of its range, if the model is not built, if
            nothing in it can be clustered or matches `include`, if a weight is under
            pruning or clustering already, or is not finite. The model is unchanged
            then.

    Example:

    ```python
    import keras
    import numpy as np
    from keras_strategies import compression

    model = keras.Sequential([
        keras.Input((16,)),
        keras.layers.Dense(32, activation="relu"),
        keras.layers.Dense(4),
    ])
    model.compile("adam", "mse")

    compression.cluster(model, 8)
    x, y = np.random.rand(64, 16), np.random.rand(64, 4)
    model.fit(x, y, batch_size=8, verbose=0)
    compression.strip(model)
    print(compression.cluster_report(model))  # 8 values in each kernel
    ```
    """
    checks.instance("model", model, keras.Model)
    checks.boolean("preserve_sparsity", preserve_sparsity)
    checks.boolean("per_channel", per_channel)
    n = checks.integer(
        "n",
        n,
        low=3 if preserve_sparsity else 2,
        fix="With `preserve_sparsity` zero is one of them."
        if preserve_sparsity
        else "",
    )
    checks.choice("init", init, _centroid_init.NAMES)
    selection = Selection(include, exclude)
    compressible_weights.check_built(model, CLUSTERABLE)
    if checks.boolean("copy", copy):
        model = clone_model(model)
    pairs = compressible_weights.select_weights(
        model, selection, protocol=CLUSTERABLE, purpose="clustered"
    )
    check_unconstrained(pairs)
    warn_of_hidden(model, selection, "clustered", CLUSTERABLE)
    _check_finite(pairs)
    axes = [channel_axis(*pair) if per_channel else None for pair in pairs]
    clustered = _large_enough(pairs, axes, n)
    # Centroids of all weights are computed before the first weight is changed.
    constraints = [
        ClusterConstraint(model, weight, n, init, axis, preserve_sparsity)
        for weight, axis in clustered
    ]
    for constraint, (weight, _) in zip(constraints, clustered, strict=True):
        constraint.attach(weight)
    # Compiled again, the model has another optimizer that must carry the state.
    track_on_compile(model)
    rebuild_train_function(model)
    return model


def is_clustered(weight: keras.Variable) -> bool:
    """Whether `cluster` keeps this weight at few values."""
    return isinstance(weight.constraint, ClusterConstraint)


def _check_finite(pairs: Sequence[compressible_weights.LayerWeight]) -> None:
    not_finite = [
        weight.path
        for _, weight in pairs
        if not np.isfinite(ops.convert_to_numpy(ops.copy(weight.value))).all()
    ]
    if not_finite:
        checks.fail(
            "Weights to be clustered must be finite numbers", not_finite=not_finite
        )


def _large_enough(pairs, axes, n):
    """Leaves out weights with no more numbers than they may have values."""
    large, small = [], []
    for (_, weight), axis in zip(pairs, axes, strict=True):
        size = int(np.prod(weight.shape))
        # Numbers that share centroids: all of the weight, or those of a channel.
        if size // (1 if axis is None else weight.shape[axis]) > n:
            large.append((weight, axis))
        else:
            small.append(f"{weight.path} {tuple(weight.shape)}")
    if not large:
        checks.fail(
            "At least one weight must have more numbers than the `n` values it may "
            "have",
            n=n,
            too_small=small,
        )
    return large
