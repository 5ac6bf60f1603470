"""Weight clustering of a live model."""

import keras
import numpy as np
from keras import ops

from keras_strategies._internal import checks
from keras_strategies._internal.model_graph import clone_model
from keras_strategies._internal.select import Selection
from keras_strategies.compression import _centroids, _prunable
from keras_strategies.compression._cluster_constraint import (
    ClusterConstraint,
    follow_compile,
)
from keras_strategies.compression._update_constraint import (
    check_free,
    rebuild_train_function,
)

_LAYERS = keras.layers
_CONVOLUTIONS = (
    _LAYERS.Conv1D,
    _LAYERS.Conv2D,
    _LAYERS.Conv3D,
    _LAYERS.SeparableConv1D,
    _LAYERS.SeparableConv2D,
)
_TRANSPOSED = (
    _LAYERS.Conv1DTranspose,
    _LAYERS.Conv2DTranspose,
    _LAYERS.Conv3DTranspose,
)
CLUSTERABLE = (
    "clusterable_weights",
    "get_clusterable_weights",
    *_prunable.PRUNABLE,
)


def cluster(
    model,
    n,
    *,
    init="kmeans++",
    per_channel=False,
    preserve_sparsity=False,
    include=None,
    exclude=None,
    copy=False,
):
    """Makes the weights of each kernel share `n` values and trains them so, in place.

    Use it to make the compressed file smaller, after pruning and before
    quantization or alone: 16 values are 4 bits a weight once the file is gzipped.
    Cluster a trained model, fine-tune it for a few epochs at a small learning rate,
    `strip`, export. The model keeps its class and its layers, `fit` needs no
    callback, and the model saves to a plain `.keras` file at any time.

    Kernels are clustered at once and after *every* training step: the forward pass
    sees `c[i(w)]`, the centroid `c` that is nearest to the weight `w`. The update
    that the optimizer computes for this value goes to the weight behind it (a
    straight-through gradient), so that weights change clusters as they learn; each
    centroid follows its weights as their mean, which is the mean of their updates,
    TFMOT's gradient aggregation AVG, and a step of k-means when weights change
    sides. It works with every optimizer, with and without XLA, under
    `steps_per_execution`, gradient accumulation, loss scaling and mixed precision.
    What a weight has beyond its centroid is kept beside the model in memory, as
    large as the weight. A constraint that a weight already has acts on the weights
    behind.

    The same weights are clustered that `prune` prunes. A custom layer names its own
    in `clusterable_weights` (or TFMOT's `get_clusterable_weights`), else in
    `prunable_weights`. A weight with no more than `n` numbers is left as it is.

    On JAX the model must be trained by itself, not as a part of another one. To go on
    after `keras.models.load_model`, call `cluster` again with the same arguments:
    kernels with up to `n` values keep them as centroids; weights start from their
    centroids.

    Reference: Han, Mao and Dally, "Deep compression: compressing deep neural
    networks with pruning, trained quantization and Huffman coding" (2016),
    https://arxiv.org/abs/1510.00149.

    Args:
        model: A built `keras.Model` of any kind. It is changed in place.
        n: How many different values a kernel may have. At least 2, with
            `preserve_sparsity` at least 3.
        init: Where centroids start. `"kmeans++"`: k-means from seeds far apart;
            `"linear"`: evenly from the smallest to the largest weight, which keeps
            large weights; `"density"`: at even steps of the distribution;
            `"random"`: anywhere between the smallest and the largest. Always the
            same for the same weights. Defaults to `"kmeans++"`.
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
    checks.choice("init", init, _centroids.NAMES)
    selection = Selection(include, exclude)
    _prunable.check_built(model, CLUSTERABLE)
    if checks.boolean("copy", copy):
        model = clone_model(model)
    pairs = _prunable.choose(model, selection, protocol=CLUSTERABLE, what="clustered")
    check_free(pairs)
    _check_finite(pairs)
    axes = [channel_axis(*pair) if per_channel else None for pair in pairs]
    large = _large_enough(pairs, axes, n)
    constraints = [
        ClusterConstraint(model, weight, n, init, axis, preserve_sparsity)
        for weight, axis in large
    ]
    for constraint, (weight, _) in zip(constraints, large, strict=True):
        constraint.attach(weight)
    follow_compile(model)
    rebuild_train_function(model)
    return model


def channel_axis(layer, weight):
    """The axis of a convolution kernel's output channels, else `None`."""
    if isinstance(layer, _TRANSPOSED):
        return len(weight.shape) - 2
    return len(weight.shape) - 1 if isinstance(layer, _CONVOLUTIONS) else None


def is_clustered(weight):
    """Whether `cluster` keeps this weight at few values."""
    return isinstance(weight.constraint, ClusterConstraint)


def _check_finite(pairs):
    bad = [
        weight.path
        for _, weight in pairs
        if not np.isfinite(ops.convert_to_numpy(ops.copy(weight.value))).all()
    ]
    if bad:
        checks.fail("Weights to be clustered must be finite numbers", not_finite=bad)


def _large_enough(pairs, axes, n):
    """Leaves out weights with no more numbers than they may have values."""
    large, small = [], []
    for (_, weight), axis in zip(pairs, axes, strict=True):
        size = int(np.prod(weight.shape))
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
