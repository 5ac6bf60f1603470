"""`factorize`: kernels as products of two smaller ones."""

from typing import Any

import keras

from keras_strategies._internal import checks
from keras_strategies._internal.model_graph import (
    Rewriter,
    Step,
    call_targets,
    check_rebuildable,
    clone_layer,
    compile_like,
    read,
)
from keras_strategies._internal.select import Selection, Selector, Target
from keras_strategies.compression._common import compressible_weights
from keras_strategies.compression.factorization._low_rank import (
    KINDS,
    Factors,
    decompose,
    ranks_by_energy,
    ranks_by_size,
)

_LAYERS = keras.layers
_SUFFIX = "_low_rank"


def factorize(
    model: keras.Model,
    *,
    energy: float | None = None,
    size: float | None = None,
    rank: int | None = None,
    include: Selector | None = None,
    exclude: Selector | None = None,
) -> keras.Model:
    """Returns a copy of a model with Dense and Conv layers of low rank.

    Use it where a model must compute less and cannot be trained any more, on wide
    Dense layers and convolutions with many channels, whose kernels are often nearly of
    low rank: it saves operations on any runtime, needs no sparse kernels, and combines
    with int8. Where training follows, `prune_filters` keeps more accuracy at the same
    size, and `prune` more still (see the benchmarks). Leave out the last layer with
    `exclude`: its rank is the number of classes. A kernel `W`, as a matrix from inputs
    to outputs, becomes the two factors of its singular value decomposition that are
    closest to it,

        W = U S V'  is about  (U_r sqrt(S_r)) (sqrt(S_r) V_r')

    Dense becomes Dense of `r` units without bias and activation, and Dense; Conv1D and
    Conv2D a convolution of the same kernel size with `r` filters, and one of size 1.
    The second keeps the name, bias and activation, the first is called
    `<name>_low_rank`. A layer changes only if that has fewer weights:
    `r (m + n) < m n`.

    Exactly one of `energy`, `size` and `rank` says how far to go.

    References: Eckart and Young, "The approximation of one matrix by another of lower
    rank" (1936); Zhang et al., "Accelerating very deep convolutional networks for
    classification and detection" (2016), https://arxiv.org/abs/1505.06798.

    Args:
        model: A built Functional or Sequential `keras.Model`. It is not changed.
        energy: Share of the squared norm of each kernel to keep, in (0, 1]: each
            layer gets the smallest rank that does. Defaults to `None`.
        size: Share of the weights of all selected layers together to keep, in (0, 1):
            one energy for all is found. Defaults to `None`.
        rank: The rank of all selected layers, at least 1. Defaults to `None`.
        include: Which layers to factorize: a regular expression that is searched in
            the layer's path, a layer or nested model, a function of the layer, or a
            list of these. Defaults to `None`, all Dense, Conv1D and Conv2D.
        exclude: Which layers to leave, in the same form; it wins. Defaults to `None`.

    Returns:
        A new model. If `model` is compiled, it is compiled alike, with a new
        optimizer.

    Raises:
        TypeError: If an argument is of the wrong type.
        ValueError: If the model cannot be rebuilt, an argument is out of its range,
            `include` or `exclude` match nothing, or no layer would get smaller. The
            message has the rank each layer would need.

    Example:

    ```python
    import keras
    from keras_strategies import compression

    model = keras.Sequential([
        keras.Input((64,)),
        keras.layers.Dense(64, activation="relu", name="wide"),
        keras.layers.Dense(4),
    ])
    small = compression.factorize(model, rank=8, include="wide")
    print(model.count_params(), small.count_params())  # 4420 1348
    ```
    """
    checks.instance("model", model, keras.Model)
    _check_budget(energy, size, rank)
    check_rebuildable(model)
    compressible_weights.check_built(model)
    targets = _targets(model)
    chosen = Selection(include, exclude).choose(targets, "layer that can be factorized")
    factors = [decompose(target.item, target.path) for target in chosen]
    if rank is not None:
        ranks = {p.path: rank for p in factors if rank <= p.largest_rank}
    elif energy is not None:
        ranks = ranks_by_energy(factors, energy)
    else:
        ranks = ranks_by_size(factors, size or 0.0)
    if not ranks:
        checks.fail(
            "At least one layer must get smaller",
            fix="Keep less: the ranks are the largest that have fewer weights.",
            energy=energy,
            size=size,
            rank=rank,
            largest_ranks={part.path: part.largest_rank for part in factors},
        )
    parts = {id(part.layer): part for part in factors if part.path in ranks}
    copy = _FactorizedCopy(model, parts, ranks).rebuild()
    return compile_like(copy, model)


def _check_budget(energy, size, rank):
    given = {"energy": energy, "size": size, "rank": rank}
    if sum(value is not None for value in given.values()) != 1:
        checks.fail("Exactly one of `energy`, `size` and `rank` must be given", **given)
    checks.real("energy", energy, low=0, high=1, low_open=True, optional=True)
    checks.real(
        "size", size, low=0, high=1, low_open=True, high_open=True, optional=True
    )
    checks.integer("rank", rank, low=1, optional=True)


def _targets(model: keras.Model) -> list[Target]:
    """The layers that can be factorized, each once."""
    targets = {}
    for target in call_targets(read(model)).values():
        layer = target.item
        if type(layer) not in KINDS or getattr(layer, "groups", 1) != 1:
            continue
        is_plain = layer.dtype_policy.quantization_mode is None
        if is_plain and not getattr(layer, "lora_enabled", False):
            targets[id(layer)] = target
    if not targets:
        checks.fail(
            "`model` must have a Dense, Conv1D or Conv2D layer",
            layers=[f"{x.name} ({type(x).__name__})" for x in model.layers],
        )
    return list(targets.values())


class _FactorizedCopy(Rewriter):
    """Copies a model with two layers for each of some layers."""

    def __init__(
        self, model: keras.Model, parts: dict[int, Factors], ranks: dict[str, int]
    ) -> None:
        super().__init__(model)
        self.parts, self.ranks = parts, ranks
        self.firsts: dict[int, Any] = {}

    def step(self, layer: Any, path: str) -> Step:
        part = self.parts.get(id(layer))
        if part is None:
            return super().step(layer, path)
        rank = self.ranks[part.path]
        changes = {
            "name": f"{layer.name}{_SUFFIX}",
            "use_bias": False,
            "activation": "linear",
            "activity_regularizer": None,
        }
        key = "units" if isinstance(layer, _LAYERS.Dense) else "filters"
        first = clone_layer(layer, **changes, **{key: rank})
        self.firsts[id(layer)] = first
        return Step(self.copied(layer, path), before=(first,))

    def clone(self, layer: Any, path: str) -> Any:
        if id(layer) not in self.parts or isinstance(layer, _LAYERS.Dense):
            return super().clone(layer, path)
        # The second sees what the first has made of the positions.
        ones = (1,) * len(layer.kernel_size)
        return clone_layer(
            layer, kernel_size=ones, strides=ones, dilation_rate=ones, padding="valid"
        )

    def fill(self, old: Any, new: Any) -> None:
        part = self.parts.get(id(old))
        if part is None:
            super().fill(old, new)
            return
        first, last = part.kernels(self.ranks[part.path])
        self.firsts[id(old)].kernel.assign(first.astype("float32"))
        new.kernel.assign(last.astype("float32"))
        if old.use_bias:
            new.bias.assign(keras.ops.convert_to_numpy(old.bias))
        for layer in (self.firsts[id(old)], new):
            layer.trainable = old.trainable
