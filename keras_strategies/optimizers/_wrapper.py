"""An optimizer around an optimizer, on the pattern of Keras's LossScaleOptimizer."""

import keras

from keras_strategies._internal import checks, keras_private
from keras_strategies._internal.wrapping import SavedWithInner


class OptimizerWrapper(SavedWithInner, keras.optimizers.Optimizer):
    """Leaves everything to `inner_optimizer` but what subclasses do in `_update`.

    Subclasses make their variables in `_build` with `add_variable`. Attributes must
    not hold variables of the model: Keras would take them for the optimizer's own.
    """

    _INNER = "inner_optimizer"

    def __init__(self, inner_optimizer, name=None):
        # The learning rate of Keras's constructor is not used: see the property.
        super().__init__(learning_rate=0.0, name=name)
        self.inner_optimizer = _checked_inner(inner_optimizer)

    def build(self, variables):
        if self.built:
            return
        if not self.inner_optimizer.built:
            self.inner_optimizer.build(variables)
        self._build(list(variables))
        super().build(variables)

    def _build(self, variables):
        """Makes the variables of the wrapper."""

    def apply(self, grads, trainable_variables=None):
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
        self._update(list(grads), variables)

    def _update(self, gradients, variables):
        """Updates `variables` through the inner optimizer."""
        raise NotImplementedError

    @property
    def variables(self):
        return keras_private.own_variables(self) + self.inner_optimizer.variables

    @property
    def learning_rate(self):
        return self.inner_optimizer.learning_rate

    @learning_rate.setter
    def learning_rate(self, learning_rate):
        self.inner_optimizer.learning_rate = learning_rate

    @property
    def iterations(self):
        return self.inner_optimizer.iterations

    @property
    def loss_scale_factor(self):
        inner = getattr(self, "inner_optimizer", None)
        return None if inner is None else inner.loss_scale_factor

    @loss_scale_factor.setter
    def loss_scale_factor(self, value):
        # Keras's constructor sets it before there is an inner optimizer.
        if getattr(self, "inner_optimizer", None) is not None:
            self.inner_optimizer.loss_scale_factor = value

    def scale_loss(self, loss):
        return self.inner_optimizer.scale_loss(loss)

    def finalize_variable_values(self, var_list):
        self.inner_optimizer.finalize_variable_values(var_list)

    def exclude_from_weight_decay(self, var_list=None, var_names=None):
        self.inner_optimizer.exclude_from_weight_decay(var_list, var_names)

    def set_weights(self, weights):
        if not self.built:
            checks.fail(
                "`set_weights` needs an optimizer that is built",
                fix="Call optimizer.build(trainable_variables) first.",
                optimizer=self.name,
            )
        for variable, weight in zip(self.variables, weights, strict=True):
            variable.assign(weight)


def _checked_inner(optimizer):
    """Returns an optimizer object; makes it from a name such as `"adam"`."""
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
            fix="Put the LossScaleOptimizer around this one; `compile` does so by "
            "itself in mixed_float16.",
            inner_optimizer=optimizer,
        )
    return optimizer
