"""Networks that give the value of each action."""

from collections.abc import Sequence
from typing import Any

import keras
from keras import ops

from keras_strategies._internal import checks


def q_network(
    observation_shape: Sequence[int],
    num_actions: int,
    units: Sequence[int],
    dueling: bool,
) -> Any:
    """A perceptron of ReLUs from observations to action values, not compiled.

    The dueling one adds the value V(s) of the state and the advantages A(s, a) of the
    actions, less their mean, so that both are determined (Wang et al. 2016, equation
    9, https://arxiv.org/abs/1511.06581).
    """
    if isinstance(units, int) or not len(units):
        checks.fail(
            "`units` must be a list of the widths of the hidden layers",
            fix="For example units=(128, 128).",
            units=units,
        )
    widths = [checks.integer("units", width, low=1) for width in units]
    observation = keras.Input(tuple(observation_shape), name="observation")
    x = observation
    if len(observation_shape) != 1:
        x = keras.layers.Flatten()(x)
    last = widths[-1]
    for number, width in enumerate(widths[:-1] if dueling else widths):
        x = keras.layers.Dense(width, activation="relu", name=f"hidden_{number}")(x)
    if not dueling:
        outputs = keras.layers.Dense(num_actions, name="action_values")(x)
        return keras.Model(observation, outputs, name="q_network")

    def stream(outputs, name):
        hidden = keras.layers.Dense(last, activation="relu", name=f"{name}_hidden")(x)
        return keras.layers.Dense(outputs, name=name)(hidden)

    value, advantages = stream(1, "value"), stream(num_actions, "advantages")
    mean = ops.mean(advantages, axis=-1, keepdims=True)
    outputs = ops.add(value, ops.subtract(advantages, mean))
    return keras.Model(observation, outputs, name="dueling_q_network")


def check_network(network: Any, observation_shape: Sequence[int], actions: int) -> Any:
    """A compiled model from one observation to one value for each action."""
    checks.instance("network", network, keras.Model)
    if not getattr(network, "compiled", False):
        checks.fail(
            "`network` must be compiled",
            fix="Call `network.compile(optimizer, loss)`: the loss compares the "
            "targets with the values of the chosen actions.",
            compiled=False,
        )
    inputs, outputs = network.input_shape, network.output_shape
    if tuple(inputs[1:]) != tuple(observation_shape):
        checks.fail(
            f"`network` must take observations of shape {tuple(observation_shape)}",
            input_shape=inputs,
        )
    if tuple(outputs[1:]) != (actions,):
        checks.fail(
            f"`network` must return {actions} values, one for each action",
            output_shape=outputs,
        )
    return network


def sample_loss(network: Any) -> Any:
    """The loss with which the network is compiled, as `f(targets, values) -> (batch,)`.

    Both arguments have shape `(batch, 1)`; the loss is not reduced over the batch.
    """
    loss = network.loss
    if loss is None or isinstance(loss, (list, dict)):
        checks.fail(
            "`network` must be compiled with one loss", fix="E.g. 'huber'.", loss=loss
        )
    function = keras.losses.get(loss)
    return function.call if isinstance(function, keras.losses.Loss) else function
