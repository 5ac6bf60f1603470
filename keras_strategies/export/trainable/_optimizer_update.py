"""SGD and Adam for on-device training: read from Keras, written in TensorFlow."""

import keras

from keras_strategies._internal import checks, keras_private

# Settings that change the update in a way that is not written below.
_OFF = {
    "weight_decay": (None, 0, 0.0),
    "clipnorm": (None,),
    "global_clipnorm": (None,),
    "clipvalue": (None,),
    "use_ema": (False,),
    "loss_scale_factor": (None, 1, 1.0),
    "gradient_accumulation_steps": (None, 1),
    "amsgrad": (False,),
}
_KEPT = {
    "SGD": ("momentum", "nesterov"),
    "Adam": ("beta_1", "beta_2", "epsilon"),
}


def settings(optimizer):
    """Returns a Keras SGD or Adam as a JSON-ready dict; refuses all others."""
    optimizer = keras.optimizers.get(optimizer)
    kind = type(optimizer).__name__
    fix = "Pass optimizer=keras.optimizers.SGD(0.01) or keras.optimizers.Adam(1e-3)."
    # By name: the Torch backend makes classes of its own, AdamW derives from Adam.
    known = (keras.optimizers.SGD, keras.optimizers.Adam)
    if kind not in _KEPT or not isinstance(optimizer, known):
        checks.fail("`optimizer` must be SGD or Adam", fix=fix, optimizer=kind)
    held = keras_private.held_learning_rate(optimizer)
    if not isinstance(held, keras.Variable):
        checks.fail(
            "`optimizer` must have a fixed learning rate", fix=fix, learning_rate=held
        )
    config = optimizer.get_config()
    for name, allowed in _OFF.items():
        if name in config and config[name] not in allowed:
            checks.fail(
                f"`optimizer` must not use `{name}` for on-device training",
                fix=fix,
                **{name: config[name]},
            )
    rate = float(keras.ops.convert_to_numpy(optimizer.learning_rate))
    kept = {name: config[name] for name in _KEPT[kind]}
    return {"kind": kind, "learning_rate": rate, **kept}


def keras_optimizer(settings):
    """Returns the Keras optimizer that `settings` came from."""
    arguments = {key: value for key, value in settings.items() if key != "kind"}
    return getattr(keras.optimizers, settings["kind"])(**arguments)


class Update:
    """The update rule with its state in `tf.Variable`s, as Keras computes it.

    Args:
        settings: What `settings` returned.
        named: `{name: tf.Variable}` to be trained.
    """

    def __init__(self, settings, named):
        self.settings, self.named = settings, named
        self.adam = settings["kind"] == "Adam"
        self.state, self.slots = {}, {}
        if self.adam:
            self.slots = {"momentum": {}, "velocity": {}}
            self.step = self._new("optimizer_iterations", ())
        elif settings["momentum"]:
            self.slots = {"momentum": {}}
        for kind, slots in self.slots.items():
            for name, variable in named.items():
                slots[name] = self._new(f"optimizer_{kind}_{name}", variable.shape)

    def _new(self, name, shape):
        import tensorflow as tf

        self.state[name] = tf.Variable(tf.zeros(shape), name=name)
        return self.state[name]

    def apply(self, gradients):
        """Assigns to the variables; `gradients` by name."""
        if self.adam:
            self._adam(gradients)
        else:
            self._sgd(gradients)

    def _sgd(self, gradients):
        rate, momentum = self.settings["learning_rate"], self.settings["momentum"]
        for name, gradient in gradients.items():
            step = -rate * gradient
            if momentum:
                slot = self.slots["momentum"][name]
                moving = momentum * slot + step
                slot.assign(moving)
                nesterov = self.settings["nesterov"]
                step = momentum * moving + step if nesterov else moving
            self.named[name].assign(self.named[name] + step)

    def _adam(self, gradients):
        import tensorflow as tf

        first, second = self.settings["beta_1"], self.settings["beta_2"]
        step = self.step + 1.0
        self.step.assign(step)
        rate = self.settings["learning_rate"] * tf.sqrt(1 - tf.pow(second, step))
        rate /= 1 - tf.pow(first, step)
        for name, gradient in gradients.items():
            momentum = self.slots["momentum"][name]
            velocity = self.slots["velocity"][name]
            moved = momentum + (gradient - momentum) * (1 - first)
            spread = velocity + (gradient * gradient - velocity) * (1 - second)
            momentum.assign(moved)
            velocity.assign(spread)
            change = moved * rate / (tf.sqrt(spread) + self.settings["epsilon"])
            self.named[name].assign(self.named[name] - change)
