"""`tfmot.sparsity.keras` for Keras 3."""

import abc
import contextlib
from collections.abc import Iterator, Sequence
from typing import Any

import keras

from keras_strategies import compression
from keras_strategies._internal import bases, checks
from keras_strategies.compat.tfmot import _arguments
from keras_strategies.compat.tfmot.sparsity import _deferred_pruning
from keras_strategies.compression import ConstantSparsity, SparsitySchedule
from keras_strategies.compression import PolynomialSparsity as PolynomialDecay

__all__ = [
    "ConstantSparsity",
    "PolynomialDecay",
    "PrunableLayer",
    "PruneForLatencyOnXNNPack",
    "PruningPolicy",
    "PruningSchedule",
    "PruningSummaries",
    "UpdatePruningStep",
    "prune_low_magnitude",
    "prune_scope",
    "strip_pruning",
]

PruningSchedule = SparsitySchedule


class PrunableLayer(abc.ABC):
    """Mix-in of a custom layer that names its weights that can be pruned."""

    @abc.abstractmethod
    def get_prunable_weights(self) -> list[Any]:
        """Returns the list of weights to prune."""


class PruningPolicy(abc.ABC):
    """Policy of which layers are pruned; refuses models it does not fit."""

    @abc.abstractmethod
    def allow_pruning(self, layer: Any) -> bool:
        """Whether `layer` is pruned."""

    def ensure_model_supports_pruning(  # noqa: B027  (fits every model)
        self, model: keras.Model
    ) -> None:
        """Raises `ValueError` if the policy does not fit `model`."""


class PruneForLatencyOnXNNPack(PruningPolicy):
    """Only the 1x1 convolutions for which XNNPACK has sparse kernels."""

    def allow_pruning(self, layer: Any) -> bool:
        """Whether `layer` is a 1x1 convolution."""
        return isinstance(layer, keras.layers.Conv2D) and layer.kernel_size == (1, 1)


def prune_low_magnitude(
    to_prune: Any,
    pruning_schedule: SparsitySchedule | None = None,
    block_size: Sequence[int] = (1, 1),
    block_pooling_type: str = "AVG",
    pruning_policy: PruningPolicy | None = None,
    sparsity_m_by_n: Sequence[int] | None = None,
    **kwargs: Any,
) -> Any:
    """Makes a model, a layer or a list of layers train towards sparse weights.

    Args:
        to_prune: A built `keras.Model`, changed in place; or a layer, or a list of
            layers, whose pruning starts with the callback `UpdatePruningStep`.
        pruning_schedule: Defaults to `None`, `ConstantSparsity(0.5, 0)`.
        block_size: Rows and columns of the blocks. Defaults to `(1, 1)`.
        block_pooling_type: `"AVG"` or `"MAX"`. Defaults to `"AVG"`.
        pruning_policy: A `PruningPolicy`. Defaults to `None`.
        sparsity_m_by_n: Such as `(2, 4)`. Defaults to `None`.

    Returns:
        `to_prune` itself.
    """
    if kwargs:
        fix = "Give settings of the layer to the layer itself."
        checks.fail(
            "`prune_low_magnitude` takes no further arguments",
            fix=fix,
            error=TypeError,
            arguments=sorted(kwargs),
        )
    checks.choice("block_pooling_type", block_pooling_type, ("AVG", "MAX"))
    checks.instance("pruning_policy", pruning_policy, PruningPolicy, optional=True)
    schedule = pruning_schedule or ConstantSparsity(0.5, 0)
    # The policy for XNNPACK is known to `compression.prune`, others are called here.
    is_xnnpack = isinstance(pruning_policy, PruneForLatencyOnXNNPack)
    custom_policy = None if is_xnnpack else pruning_policy

    def prune(model: keras.Model, layer: Any = None) -> None:
        if custom_policy is not None:
            custom_policy.ensure_model_supports_pruning(model)

        def is_selected(candidate: Any) -> bool:
            if layer is not None and candidate is not layer:
                return False
            return custom_policy is None or custom_policy.allow_pruning(candidate)

        selects_all = layer is None and custom_policy is None
        pooling: Any = block_pooling_type.lower()
        compression.prune(
            model,
            schedule,
            include=None if selects_all else is_selected,
            block_size=tuple(block_size),
            block_pooling=pooling,
            m_by_n=None if sparsity_m_by_n is None else tuple(sparsity_m_by_n),
            policy="xnnpack" if is_xnnpack else None,
        )

    # A layer by itself has no optimizer yet: its pruning waits for `fit`.
    for target in _arguments.as_list(to_prune):
        _arguments.check_target("to_prune", target)
        if isinstance(target, keras.Model):
            with _arguments.uncompiled(target):
                prune(target)
        else:
            _deferred_pruning.mark(target, prune)
    return _arguments.like_given(to_prune)


def strip_pruning(model: keras.Model) -> keras.Model:
    """Ends the pruning of `model`, in place; returns it."""
    return compression.strip(model)


@contextlib.contextmanager
def prune_scope() -> Iterator[None]:
    """Does nothing: pruned models load without a scope."""
    yield


class UpdatePruningStep(bases.Callback):
    """Not needed for a model: the step is counted in the training step itself.

    Pruning of layers that were given to `prune_low_magnitude` by themselves starts
    with it.
    """

    def on_train_begin(self, logs: dict[str, Any] | None = None) -> None:
        """Prunes the layers that wait for it."""
        _deferred_pruning.start(self.model)


class PruningSummaries(bases.TensorBoard):
    """TensorBoard, with the sparsity of each pruned weight after each epoch.

    Args:
        log_dir: Folder of the logs.
        update_freq: As for `keras.callbacks.TensorBoard`. Defaults to `"epoch"`.
        **kwargs: As for `keras.callbacks.TensorBoard`.
    """

    def __init__(
        self, log_dir: str, update_freq: int | str = "epoch", **kwargs: Any
    ) -> None:
        super().__init__(log_dir=log_dir, update_freq=update_freq, **kwargs)

    def on_epoch_end(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        """Writes the logs and the sparsities."""
        report = compression.sparsity_report(self.model)
        sparsity = {f"sparsity/{row['weight']}": row["sparsity"] for row in report.rows}
        super().on_epoch_end(epoch, {**(logs or {}), **sparsity})
