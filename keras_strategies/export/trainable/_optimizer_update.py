"""SGD and Adam for on-device training: read from Keras, written in TensorFlow."""

from collections.abc import Mapping
from typing import Any

import keras

from keras_strategies._internal import checks, keras_private

# Settings that change the update in a way that is not written below, and the values
# that switch them off.
_SWITCHED_OFF = {
    "weight_decay": (None, 0, 0.0),
    "clipnorm": (None,),
    "global_clipnorm": (None,),
    "clipvalue": (None,),
    "use_ema": (False,),
    "loss_scale_factor": (None, 1, 1.0),
    "gradient_accumulation_steps": (None, 1),
    "amsgrad": (False,),
}
_SETTINGS = {
    "SGD": ("momentum", "nesterov"),
    "Adam": ("beta_1", "beta_2", "epsilon"),
}


def optimizer_settings(optimizer: Any) -> dict[str, Any]:
    """Returns a Keras SGD or Adam as a JSON-ready dict; refuses all others."""
    optimizer = keras.optimizers.get(optimizer)
    kind = type(optimizer).__name__
    fix = "Pass optimizer=keras.optimizers.SGD(0.01) or keras.optimizers.Adam(1e-3)."
    # By name: the Torch backend makes classes of its own, AdamW derives from Adam.
    supported = (keras.optimizers.SGD, keras.optimizers.Adam)
    if kind not in _SETTINGS or not isinstance(optimizer, supported):
        checks.fail("`optimizer` must be SGD or Adam", fix=fix, optimizer=kind)
    raw_learning_rate = keras_private.raw_learning_rate(optimizer)
    if not isinstance(raw_learning_rate, keras.Variable):
        checks.fail(
            "`optimizer` must have a fixed learning rate",
            fix=fix,
            learning_rate=raw_learning_rate,
        )
    config = optimizer.get_config()
    for name, allowed in _SWITCHED_OFF.items():
        if name in config and config[name] not in allowed:
            checks.fail(
                f"`optimizer` must not use `{name}` for on-device training",
                fix=fix,
                **{name: config[name]},
            )
    learning_rate = float(keras.ops.convert_to_numpy(optimizer.learning_rate))
    settings = {name: config[name] for name in _SETTINGS[kind]}
    return {"kind": kind, "learning_rate": learning_rate, **settings}


def keras_optimizer(settings: Mapping[str, Any]) -> keras.optimizers.Optimizer:
    """Returns the Keras optimizer that `settings` came from."""
    arguments = {key: value for key, value in settings.items() if key != "kind"}
    return getattr(keras.optimizers, settings["kind"])(**arguments)


class Update:
    """The update rule with its state in `tf.Variable`s, as Keras computes it.

    With the gradient `g`, the learning rate `r` and the weight `w`:

    - SGD: `w <- w - r g`; with momentum `m`: `v <- m v - r g`, `w <- w + v`, or with
      Nesterov's momentum `w <- w + m v - r g`.
    - Adam in step `t`: `m <- m + (g - m)(1 - b1)`, `v <- v + (g^2 - v)(1 - b2)`,
      `w <- w - r sqrt(1 - b2^t) / (1 - b1^t) m / (sqrt(v) + epsilon)`.

    Reference: [Kingma and Ba, 2015](https://arxiv.org/abs/1412.6980), section 2, for
    this order of Adam's operations.

    Args:
        settings: From `optimizer_settings`.
        variables: `{name: tf.Variable}` to be trained.
    """

    def __init__(self, settings: Mapping[str, Any], variables: Mapping[str, Any]):
        self.settings, self.variables = settings, variables
        self.is_adam = settings["kind"] == "Adam"
        self.state: dict[str, Any] = {}
        self.slots: dict[str, dict[str, Any]] = {}
        if self.is_adam:
            self.slots = {"momentum": {}, "velocity": {}}
            self.step = self._add_state("optimizer_iterations", ())
        elif settings["momentum"]:
            self.slots = {"momentum": {}}
        for kind, slots in self.slots.items():
            for name, variable in variables.items():
                key = f"optimizer_{kind}_{name}"
                slots[name] = self._add_state(key, variable.shape)

    def _add_state(self, name, shape):
        import tensorflow as tf

        self.state[name] = tf.Variable(tf.zeros(shape), name=name)
        return self.state[name]

    def apply(self, gradients: Mapping[str, Any]) -> None:
        """Assigns to the variables; `gradients` by name."""
        if self.is_adam:
            self._apply_adam(gradients)
        else:
            self._apply_sgd(gradients)

    def _apply_sgd(self, gradients):
        learning_rate = self.settings["learning_rate"]
        momentum = self.settings["momentum"]
        for name, gradient in gradients.items():
            step = -learning_rate * gradient
            if momentum:
                slot = self.slots["momentum"][name]
                velocity = momentum * slot + step
                slot.assign(velocity)
                nesterov = self.settings["nesterov"]
                step = momentum * velocity + step if nesterov else velocity
            self.variables[name].assign(self.variables[name] + step)

    def _apply_adam(self, gradients):
        import tensorflow as tf

        beta_1, beta_2 = self.settings["beta_1"], self.settings["beta_2"]
        step = self.step + 1.0
        self.step.assign(step)
        scale = self.settings["learning_rate"] * tf.sqrt(1 - tf.pow(beta_2, step))
        scale /= 1 - tf.pow(beta_1, step)
        for name, gradient in gradients.items():
            momentum = self.slots["momentum"][name]
            velocity = self.slots["velocity"][name]
            mean = momentum + (gradient - momentum) * (1 - beta_1)
            square = velocity + (gradient * gradient - velocity) * (1 - beta_2)
            momentum.assign(mean)
            velocity.assign(square)
            change = mean * scale / (tf.sqrt(square) + self.settings["epsilon"])
            self.variables[name].assign(self.variables[name] - change)
