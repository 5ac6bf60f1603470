"""`prune`: magnitude pruning of a live model."""

from collections.abc import Sequence
from typing import Any, Literal

import keras
from keras import ops

from keras_strategies._internal import checks
from keras_strategies._internal.model_graph import clone_model
from keras_strategies._internal.select import Selection, Selector
from keras_strategies._internal.traversal import base_optimizers
from keras_strategies.compression._common import compressible_weights
from keras_strategies.compression._common.skipped_layers import warn_of_hidden
from keras_strategies.compression._common.stateful_constraint import track_on_compile
from keras_strategies.compression._common.update_constraint import (
    UpdateConstraint,
    check_unconstrained,
    rebuild_train_function,
)
from keras_strategies.compression.pruning import _patterns, _xnnpack
from keras_strategies.compression.pruning._movement_constraint import (
    MovementConstraint,
)
from keras_strategies.compression.pruning._pruning_constraint import (
    GlobalThreshold,
    PruningConstraint,
)
from keras_strategies.compression.pruning._shortfall import PruningWatch
from keras_strategies.compression.pruning.sparsity_schedule import SparsitySchedule


def prune(
    model: keras.Model,
    sparsity_schedule: SparsitySchedule,
    *,
    include: Selector | None = None,
    exclude: Selector | None = None,
    block_size: Sequence[int] = (1, 1),
    block_pooling: Literal["avg", "max"] = "avg",
    m_by_n: Sequence[int] | None = None,
    scope: Literal["layer", "global"] = "layer",
    criterion: Literal["magnitude", "movement"] = "magnitude",
    policy: Literal["xnnpack"] | None = None,
    copy: bool = False,
) -> keras.Model:
    """Makes a model train towards sparse weights, in place.

    Use it to make a model smaller after compression (a sparse `.tflite` file, or
    any file once it is gzipped) at little cost in accuracy: train as usual, prune,
    fine-tune, `strip`, export. Nothing else changes: the model keeps its class and
    its layers, `fit` needs no callback, custom training loops with Keras optimizers
    work, and the pruned model is saved to a plain `.keras` file.

    Each pruned weight tensor gets a constraint, which the optimizer applies inside
    every training step. At the steps at which `sparsity_schedule` prunes, it keeps
    the `k = max(round(n * (1 - sparsity)), 1)` weights of largest magnitude out of
    `n`, ties included, and sets the others to zero; at all other steps the zeros
    stay where they are. Weights are therefore sparse after *every* step, with and
    without XLA, under `steps_per_execution`, gradient accumulation, loss scaling,
    moving averages and mixed precision. A constraint that a weight already has is
    applied too.

    Steps are those of the optimizer the model is compiled with, counted from 0
    (`optimizer.iterations`); without one, the updates since this call are counted,
    which a custom training step of JAX cannot do. Dense, EinsumDense (with it
    MultiHeadAttention), convolution, the pointwise part of separable convolution,
    Embedding and the kernels of recurrent layers are pruned; depthwise kernels,
    biases and normalization are not. A custom layer says what can be pruned in it
    by `prunable_weights` (or TFMOT's `get_prunable_weights`), an attribute or method
    with a list of its variables; an empty list keeps a layer dense. Layers with LoRA or
    quantized weights are skipped with a warning: what they compute with is no single
    weight.

    Frozen weights (of layers with `trainable=False`) have no updates; they are pruned
    once, to the sparsity at the end of the schedule, each for itself: when the first
    `fit` starts that is past `begin_step`, or else at the end of the one that passes
    it, or in `strip`.

    Structured patterns, for hardware that gains nothing from scattered zeros:
    `block_size` prunes whole blocks of a matrix by their pooled magnitude, where `n`
    is the number of blocks, and `m_by_n=(2, 4)` puts two zeros into every four
    weights along the input axis. The m-by-n pattern is chosen once, at the first step
    at which the schedule prunes, and its sparsity is `m / n` instead of that of the
    schedule. `scope="global"` ranks the weights of all layers together: layers that
    matter less become sparser, and no weight tensor loses its largest weight.
    `policy="xnnpack"` prunes only 1x1 convolutions, for which XNNPACK, the CPU
    backend of TFLite, has sparse kernels, and refuses a model in which it would not
    use them.

    `criterion="movement"` keeps the weights that move away from zero in this training
    instead of those that were large before it: the sum over updates `d` of `d * w`.
    Weights that are pruned keep their value aside and come back with it if they would
    move outwards. Use it for few weights (10 % and fewer) and where the model is
    trained for something new meanwhile; it wants `scope="global"` and a schedule with
    `frequency=1`, and two more tensors of memory for each weight. After loading, what
    is zero stays zero.

    To continue after `keras.models.load_model`, call `prune` again with the same
    arguments: the step is restored with the optimizer, and the masks, of any pattern,
    are the zeros of the weights. The options themselves are not saved: plain training
    of the loaded model fills the zeros, unless `preserve` keeps them. A weight that
    is already sparse never becomes denser than it was (with a global scope: all of
    them together). The first `fit`, or `strip`, that leaves weights denser than the
    schedule aims at says so, with the reason. `prune` may be called several times with
    different schedules for different layers.

    References: Zhu and Gupta, "To prune, or not to prune: exploring the efficacy of
    pruning for model compression" (2017), https://arxiv.org/abs/1710.01878; Sanh et
    al., "Movement pruning: adaptive sparsity by fine-tuning" (2020),
    https://arxiv.org/abs/2005.07683.

    Args:
        model: A built `keras.Model` of any kind, compiled or not. It is changed in
            place.
        sparsity_schedule: A `SparsitySchedule`, e.g. `PolynomialSparsity`.
        include: Which weights to prune: a regular expression that is searched in the
            path of each weight, such as `"backbone/conv_1/kernel"`, a layer or nested
            model, a function of a layer, or a list of these. Defaults to `None`, all
            that can be pruned.
        exclude: Which weights to leave out, given like `include`; it wins. Defaults to
            `None`.
        copy: Whether to work on a copy of the model, compiled alike, and leave the
            model as it is. Defaults to `False`: the model itself is changed.
        block_size: Rows and columns of the blocks that are pruned whole, over the
            two axes (inputs, outputs) of matrices and of kernels of 1x1
            convolutions. Blocks at the far edges may be cut. Defaults to `(1, 1)`,
            single weights.
        block_pooling: Magnitude of a block: `"avg"`, the mean of its `|w|`, or
            `"max"`, the largest. Defaults to `"avg"`.
        m_by_n: `(m, n)` for `m` zeros in every `n` weights along the input axis of
            matrices and convolutions, such as `(2, 4)`. Of equal ones the earlier
            stay; a group cut short at the end counts as filled up with zeros.
            Defaults to `None`.
        scope: `"layer"`, the sparsity holds for each weight tensor, or `"global"`,
            for all that this call prunes together. Defaults to `"layer"`.
        criterion: What is kept: `"magnitude"`, the largest weights, or `"movement"`,
            those that grow, for single weights only. Defaults to `"magnitude"`.
        policy: `"xnnpack"` or `None`. Defaults to `None`.

    Returns:
        `model` itself, or its copy.

    Raises:
        TypeError: If an argument is of the wrong type.
        ValueError: If the model is not built, if nothing in it can be pruned or
            matches `include`, if blocks or `m_by_n` do not fit a weight, if the model
            does not qualify for `policy`, if a weight is pruned already, or if the
            schedule is over at the optimizer's step. The model is unchanged then.

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

    schedule = compression.PolynomialSparsity(0.0, 0.8, 0, 20, frequency=5)
    compression.prune(model, schedule, include=lambda layer: layer.units > 4)
    x, y = np.random.rand(64, 16), np.random.rand(64, 4)
    model.fit(x, y, batch_size=8, epochs=4, verbose=0)

    compression.strip(model)
    print(compression.sparsity_report(model))
    ```
    """
    checks.instance("model", model, keras.Model)
    schedule = _schedule(sparsity_schedule)
    selection = Selection(include, exclude)
    checks.boolean("copy", copy)
    checks.choice("policy", policy, (None, "xnnpack"))
    block_size, m_by_n = _patterns.check_options(
        block_size, block_pooling, m_by_n, scope
    )
    by_movement = _is_movement(criterion, block_size, m_by_n)
    compressible_weights.check_built(model)
    restriction: dict[str, Any] = {}
    if policy == "xnnpack":
        _xnnpack.check(model)
        restriction = {"policy": _xnnpack.is_pointwise}
    if copy:
        model = clone_model(model)
    # All checks come before the first constraint is attached: an error leaves the
    # model unchanged.
    pairs = compressible_weights.select_weights(model, selection, **restriction)
    check_unconstrained(pairs)
    warn_of_hidden(model, selection, "pruned", compressible_weights.PRUNABLE)
    patterns = _patterns.patterns_for(pairs, block_size, block_pooling, m_by_n)
    weights = [weight for _, weight in pairs]
    kind = MovementConstraint if by_movement else PruningConstraint
    constraints = [
        kind(model, weight, schedule, pattern)
        for weight, pattern in zip(weights, patterns, strict=True)
    ]
    group = None
    if scope == "global":
        group = GlobalThreshold(weights, constraints, schedule, signed=by_movement)
    _check_not_over(model, schedule, constraints, group)
    for constraint, weight in zip(constraints, weights, strict=True):
        constraint.group = group
        constraint.attach(weight)
    watch = PruningWatch(model, pairs, schedule)
    for constraint in constraints:
        constraint.at_end = watch.end
    if by_movement:
        track_on_compile(model)
    rebuild_train_function(model)
    return model


def _is_movement(criterion, block_size, m_by_n):
    checks.choice("criterion", criterion, ("magnitude", "movement"))
    if criterion == "movement" and (block_size != (1, 1) or m_by_n is not None):
        checks.fail(
            '`criterion="movement"` must be for single weights',
            fix="Leave out `block_size` and `m_by_n`.",
            block_size=block_size,
            m_by_n=m_by_n,
        )
    return criterion == "movement"


def is_pruned(weight: keras.Variable) -> bool:
    """Whether `prune` keeps this weight sparse."""
    return isinstance(weight.constraint, PruningConstraint)


def keeps_zeros(weight: keras.Variable) -> bool:
    """Whether the zeros of a weight stay in training."""
    constraint = weight.constraint
    return isinstance(constraint, UpdateConstraint) and constraint.zeros


def _schedule(value):
    return checks.instance(
        "sparsity_schedule",
        value,
        SparsitySchedule,
        fix="Give e.g. `ConstantSparsity(0.8, begin_step=0)`.",
    )


def _check_not_over(model, schedule, constraints, group):
    """Refuses a schedule that would never prune some weights that are dense."""
    optimizer = getattr(model, "optimizer", None)
    if optimizer is None or schedule.end_step < 0:
        return
    # `copy` reads what variables of tf.distribute do not convert to a number.
    step = min(int(ops.copy(o.iterations)) for o in base_optimizers(optimizer))
    # Weights that are sparse already keep their zeros without any renewal.
    sparse = group is not None and group.floor > 0
    dense = [c.path for c in constraints if c.floor == 0 and not sparse]
    if step > schedule.end_step and dense:
        checks.fail(
            "`sparsity_schedule` must not be over at the optimizer's step",
            fix="Compile the model again for a step of 0, or move the schedule.",
            end_step=schedule.end_step,
            iterations=step,
            dense_weights=dense,
        )
