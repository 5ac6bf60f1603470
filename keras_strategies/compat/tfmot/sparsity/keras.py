"""`tfmot.sparsity.keras` for Keras 3."""

import abc
import contextlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import keras

from keras_strategies import compression
from keras_strategies._internal import bases, checks, traversal
from keras_strategies.compat.tfmot import _arguments
from keras_strategies.compat.tfmot.sparsity import (
    _deferred_pruning,
    _resume,
    _schedules,
)
from keras_strategies.compat.tfmot.sparsity._schedules import (
    ConstantSparsity,
    PolynomialDecay,
    PruningSchedule,
)
from keras_strategies.compression import SparsitySchedule
from keras_strategies.compression._common import compressible_weights
from keras_strategies.compression._common.update_constraint import (
    constrained_weights,
    is_replaceable,
)
from keras_strategies.compression.pruning._prune import is_pruned

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
    pruning_schedule: PruningSchedule | SparsitySchedule | None = None,
    block_size: Sequence[int] = (1, 1),
    block_pooling_type: str = "AVG",
    pruning_policy: PruningPolicy | None = None,
    sparsity_m_by_n: Sequence[int] | None = None,
    **kwargs: Any,
) -> Any:
    """Makes a model, a layer or a list of layers train towards sparse weights.

    Args:
        to_prune: A built `keras.Model`, changed in place; or a layer, an unbuilt
            Sequential, or a list of layers, whose pruning starts with the callback
            `UpdatePruningStep`. Layers of Keras without weights to prune, such as
            Dropout, are passed over.
        pruning_schedule: A `PruningSchedule`. Defaults to `None`,
            `ConstantSparsity(0.5, 0)`.
        block_size: Rows and columns of the blocks. Defaults to `(1, 1)`.
        block_pooling_type: `"AVG"` or `"MAX"`. Defaults to `"AVG"`.
        pruning_policy: A `PruningPolicy`. Defaults to `None`.
        sparsity_m_by_n: Such as `(2, 4)`. Defaults to `None`.
        **kwargs: `input_shape` of an unbuilt layer or Sequential, without the batch.

    Returns:
        `to_prune` itself.
    """
    checks.choice("block_pooling_type", block_pooling_type, ("AVG", "MAX"))
    checks.instance("pruning_policy", pruning_policy, PruningPolicy, optional=True)
    schedule = _schedules.native_schedule(pruning_schedule or ConstantSparsity(0.5, 0))
    # The policy for XNNPACK is known to `compression.prune`, others are called here.
    is_xnnpack = isinstance(pruning_policy, PruneForLatencyOnXNNPack)
    custom_policy = None if is_xnnpack else pruning_policy

    def prune(model: keras.Model, layer: Any = None) -> None:
        if custom_policy is not None:
            custom_policy.ensure_model_supports_pruning(model)
        inside = None if layer is None else [layer, *traversal.all_layers(layer)]

        def is_selected(candidate: Any) -> bool:
            if inside is not None and not any(candidate is part for part in inside):
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

    _prune_targets(to_prune, prune, kwargs)
    return _arguments.like_given(to_prune)


def _prune_targets(
    to_prune: Any, prune: Callable[..., None], extra: Mapping[str, Any]
) -> None:
    """Prunes what is built, and marks single layers; all checks come first."""
    targets = _arguments.as_list(to_prune)
    for target in targets:
        _arguments.check_target("to_prune", target)
    # A model that `input_shape` builds is a part of another one, as layers are.
    whole = [t for t in targets if isinstance(t, keras.Model) and t.built]
    parts = [
        layer
        for target in targets
        if not any(target is model for model in whole)
        for layer in _arguments.layers_of(target)
    ]
    _arguments.take_input_shape("prune_low_magnitude", to_prune, extra)
    single = []
    for layer in parts:
        if _arguments.check_supported(
            "to_prune",
            layer,
            compressible_weights.can_be_compressed,
            "tfmot.sparsity.keras.PrunableLayer",
        ):
            single.append(layer)
    for model in whole:
        with _arguments.uncompiled(model):
            prune(model)
    # A layer by itself has no optimizer yet: its pruning waits for `fit`.
    for layer in single:
        _deferred_pruning.mark(layer, prune)


def strip_pruning(model: keras.Model) -> keras.Model:
    """Ends the pruning of `model`, in place; returns it.

    A model that is not being pruned is returned as it is, as in the original.
    """
    _arguments.check_instance("model", model, keras.Model)
    _deferred_pruning.cancel(model)
    weights = constrained_weights(model)
    if any(is_pruned(weight) or is_replaceable(weight) for weight in weights):
        compression.strip(model)
    return model


@contextlib.contextmanager
def prune_scope() -> Iterator[None]:
    """Makes models that are loaded inside the block keep their zeros.

    The masks of a pruned model are the zeros in its file. Its schedule is not in it:
    call `prune_low_magnitude` on the loaded model to prune on.
    """
    with _resume.holding_what_is_loaded():
        yield


class UpdatePruningStep(bases.Callback):
    """Not needed for a model: the step is counted in the training step itself.

    Pruning of layers that were given to `prune_low_magnitude` by themselves starts
    with it. In a model that was loaded from a file it keeps the zeros, with a warning
    that the schedule does not go on.
    """

    def on_train_begin(self, logs: dict[str, Any] | None = None) -> None:
        """Prunes the layers that wait for it, or keeps the zeros of a loaded model."""
        if not _deferred_pruning.start(self.model) and _resume.hold_zeros(self.model):
            _resume.warn_of_schedule(self.model)

    def on_epoch_end(self, batch: int, logs: dict[str, Any] | None = None) -> None:
        """Nothing: TFMOT's name of the argument, for loops that give it by name."""


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
