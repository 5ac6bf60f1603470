"""`tfmot.sparsity.keras` for Keras 3."""

import abc
import contextlib

import keras

from keras_strategies import compression
from keras_strategies._internal import checks
from keras_strategies.compat.tfmot import _deferred
from keras_strategies.compat.tfmot.sparsity import _pending
from keras_strategies.compression import (
    ConstantSparsity,
    SparsitySchedule,
)
from keras_strategies.compression import (
    PolynomialSparsity as PolynomialDecay,
)

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
    """Mix-in of a custom layer that says which of its weights can be pruned."""

    @abc.abstractmethod
    def get_prunable_weights(self):
        """Returns the list of weights to prune."""


class PruningPolicy(abc.ABC):
    """Says which layers are pruned, and refuses models it does not fit."""

    @abc.abstractmethod
    def allow_pruning(self, layer):
        """Whether `layer` is pruned."""

    def ensure_model_supports_pruning(self, model):  # noqa: B027  (fits every model)
        """Raises `ValueError` if the policy does not fit `model`."""


class PruneForLatencyOnXNNPack(PruningPolicy):
    """Only the 1x1 convolutions for which XNNPACK has sparse kernels."""

    def allow_pruning(self, layer):
        return isinstance(layer, keras.layers.Conv2D) and layer.kernel_size == (1, 1)


def prune_low_magnitude(
    to_prune,
    pruning_schedule=None,
    block_size=(1, 1),
    block_pooling_type="AVG",
    pruning_policy=None,
    sparsity_m_by_n=None,
    **kwargs,
):
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
    native = isinstance(pruning_policy, PruneForLatencyOnXNNPack)

    def work(model, layer=None):
        if pruning_policy is not None and not native:
            pruning_policy.ensure_model_supports_pruning(model)

        def wanted(candidate):
            allowed = native or pruning_policy is None
            allowed = allowed or pruning_policy.allow_pruning(candidate)
            return allowed and (layer is None or candidate is layer)

        compression.prune(
            model,
            schedule,
            include=(
                None if layer is None and (native or not pruning_policy) else wanted
            ),
            block_size=tuple(block_size),
            block_pooling=block_pooling_type.lower(),
            m_by_n=None if sparsity_m_by_n is None else tuple(sparsity_m_by_n),
            policy="xnnpack" if native else None,
        )

    several = isinstance(to_prune, list | tuple)
    for given in to_prune if several else [to_prune]:
        _deferred.check("to_prune", given)
        if isinstance(given, keras.Model):
            with _deferred.uncompiled(given):
                work(given)
        else:
            _pending.mark(given, work)
    return list(to_prune) if several else to_prune


def strip_pruning(model):
    """Ends the pruning of `model`, in place; returns it."""
    return compression.strip(model)


@contextlib.contextmanager
def prune_scope():
    """Does nothing: pruned models load without a scope."""
    yield


class UpdatePruningStep(keras.callbacks.Callback):
    """Not needed for a model: the step is counted in the training step itself.

    Layers that were given to `prune_low_magnitude` by themselves start with it.
    """

    def on_train_begin(self, logs=None):
        _pending.start(self.model)


class PruningSummaries(keras.callbacks.TensorBoard):
    """TensorBoard, with the sparsity of each pruned weight after each epoch.

    Args:
        log_dir: Folder of the logs.
        update_freq: As for `keras.callbacks.TensorBoard`. Defaults to `"epoch"`.
        **kwargs: As for `keras.callbacks.TensorBoard`.
    """

    def __init__(self, log_dir, update_freq="epoch", **kwargs):
        super().__init__(log_dir=log_dir, update_freq=update_freq, **kwargs)

    def on_epoch_end(self, epoch, logs=None):
        report = compression.sparsity_report(self.model)
        sparsity = {f"sparsity/{row['weight']}": row["sparsity"] for row in report.rows}
        super().on_epoch_end(epoch, {**(logs or {}), **sparsity})
