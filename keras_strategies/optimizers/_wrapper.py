"""Base of optimizers that wrap another one, modelled on `LossScaleOptimizer`."""

from collections.abc import Sequence
from typing import Any

import keras

from keras_strategies._internal import bases, checks, keras_private, traversal
from keras_strategies._internal.types import Tensor
from keras_strategies._internal.wrapping import SavedWithInner


def _inner_setting(name: str) -> Any:
    """A setting that is the inner optimizer's: read there, and set there."""

    def get(wrapper: Any) -> Any:
        return getattr(wrapper.inner_optimizer, name)

    def set_(wrapper: Any, value: Any) -> None:
        # Keras's constructor sets its defaults before there is an inner optimizer.
        if getattr(wrapper, "inner_optimizer", None) is not None:
            setattr(wrapper.inner_optimizer, name, value)

    return property(get, set_)


class OptimizerWrapper(SavedWithInner, bases.Optimizer):
    """Delegates to `inner_optimizer` all but the update, which subclasses override.

    The moving averages of an inner optimizer with `use_ema` are taken after the update
    of the outermost wrapper, of the weights that the model then has.

    Subclasses create their variables in `_build` with `add_variable`. Attributes must
    not contain variables of the model: Keras would track them as the optimizer's own.
    """

    _INNER = "inner_optimizer"

    weight_decay: Any = _inner_setting("weight_decay")
    clipnorm: Any = _inner_setting("clipnorm")
    clipvalue: Any = _inner_setting("clipvalue")
    global_clipnorm: Any = _inner_setting("global_clipnorm")
    ema_momentum: Any = _inner_setting("ema_momentum")
    ema_overwrite_frequency: Any = _inner_setting("ema_overwrite_frequency")

    def __init__(
        self, inner_optimizer: keras.optimizers.Optimizer | str, name: str | None = None
    ) -> None:
        # Keras's constructor requires a learning rate; the property below replaces it.
        super().__init__(learning_rate=0.0, name=name)
        self.inner_optimizer: keras.optimizers.Optimizer = _checked_inner(
            inner_optimizer
        )

    def build(self, variables: Sequence[keras.Variable]) -> None:
        if self.built:
            return
        if not self.inner_optimizer.built:
            self.inner_optimizer.build(variables)
        self._build(list(variables))
        super().build(variables)

    def _build(self, variables: Sequence[keras.Variable]) -> None:
        """Creates the variables of the wrapper."""

    def apply(
        self,
        grads: Sequence[Tensor | None],
        trainable_variables: Sequence[keras.Variable] | None = None,
    ) -> None:
        if len(grads) == 0:
            return
        if trainable_variables is None and self.built:
            trainable_variables = keras_private.updated_variables(self)
        if trainable_variables is None:
            checks.fail(
                "The optimizer must be built to update without variables",
                fix="Call optimizer.build(trainable_variables) first.",
                optimizer=self.name,
            )
        variables = list(trainable_variables)
        if not self.built:
            with keras.name_scope(self.name, caller=self):
                self.build(variables)
        # Gradients of embeddings are sparse on TensorFlow, with an entry for each use
        # of a row: Python's operators and norms need their sum.
        gradients = [keras_private.dense_gradient(gradient) for gradient in grads]
        averaging = traversal.base_optimizers(self)
        with (
            keras_private.averages_deferred(averaging),
            keras_private.summed_first(self, gradients) as summed,
        ):
            self._update(summed, variables)

    def _update(self, gradients: list[Any], variables: list[Any]) -> None:
        """Updates `variables` through the inner optimizer."""
        raise NotImplementedError

    @property
    def variables(self) -> list[keras.Variable]:
        return keras_private.own_variables(self) + self.inner_optimizer.variables

    @property
    def _model_variables_moving_average(self) -> Any:
        # Keras's SwapEMAWeights looks through one wrapper and expects them here.
        return keras_private.moving_average_variables(self.inner_optimizer)

    @property
    def learning_rate(self) -> Any:
        return self.inner_optimizer.learning_rate

    @learning_rate.setter
    def learning_rate(self, learning_rate: Any) -> Any:
        self.inner_optimizer.learning_rate = learning_rate

    @property
    def iterations(self) -> keras.Variable:
        return self.inner_optimizer.iterations

    @property
    def loss_scale_factor(self) -> float | None:
        inner = getattr(self, "inner_optimizer", None)
        return None if inner is None else inner.loss_scale_factor

    @loss_scale_factor.setter
    def loss_scale_factor(self, value: float | None) -> float | None:
        # Keras's constructor sets it before there is an inner optimizer.
        if getattr(self, "inner_optimizer", None) is not None:
            self.inner_optimizer.loss_scale_factor = value

    def scale_loss(self, loss: Tensor) -> Tensor:
        return self.inner_optimizer.scale_loss(loss)

    def finalize_variable_values(self, var_list: Sequence[keras.Variable]) -> None:
        averaging = [o for o in traversal.base_optimizers(self) if o.use_ema]
        # Before its first step, an average is zero and must not become the weights.
        if all(keras_private.has_averaged(optimizer) for optimizer in averaging):
            self.inner_optimizer.finalize_variable_values(var_list)

    def exclude_from_weight_decay(
        self,
        var_list: Sequence[keras.Variable] | None = None,
        var_names: Sequence[str] | None = None,
    ) -> None:
        self.inner_optimizer.exclude_from_weight_decay(var_list, var_names)

    def set_weights(self, weights: Sequence[Any]) -> None:
        if not self.built:
            checks.fail(
                "`set_weights` needs an optimizer that is built",
                fix="Call optimizer.build(trainable_variables) first.",
                optimizer=self.name,
            )
        for variable, weight in zip(self.variables, weights, strict=True):
            variable.assign(weight)


def _checked_inner(optimizer: Any) -> keras.optimizers.Optimizer:
    """Checks the inner optimizer; resolves a name such as `"adam"`."""
    if isinstance(optimizer, str):
        optimizer = keras.optimizers.get(optimizer)
    checks.instance(
        "inner_optimizer",
        optimizer,
        keras.optimizers.Optimizer,
        fix='Give an optimizer object or its name, for example "adam".',
    )
    if isinstance(optimizer, keras.optimizers.LossScaleOptimizer):
        checks.fail(
            "`inner_optimizer` must not be a LossScaleOptimizer",
            fix="Wrap this one in the LossScaleOptimizer; `compile` does so by itself "
            "in mixed_float16.",
            inner_optimizer=optimizer,
        )
    return optimizer
