"""The cart and the pole, as equations in `keras.ops`."""

import math
from typing import Any, NamedTuple

from keras import ops

from keras_strategies._internal import checks
from keras_strategies._internal.types import Tensor

_GRAVITY, _CART_MASS, _POLE_MASS, _HALF_LENGTH = 9.8, 1.0, 0.1, 0.5
_FORCE, _SECONDS = 10.0, 0.02
_MASS = _CART_MASS + _POLE_MASS
_POLE_MOMENT = _POLE_MASS * _HALF_LENGTH
_MAX_POSITION, _MAX_ANGLE = 2.4, 12 * 2 * math.pi / 360


def cart_pole_step(state: Tensor, actions: Tensor) -> Tensor:
    """States 0.02 seconds later, by Euler's method.

    `state` has position, velocity, angle and angular velocity in its last dimension;
    actions are 0 (push left) and 1 (push right). Barto, Sutton and Anderson 1983,
    with the equations of Florian 2007 without friction, as gymnasium has them.
    """
    x, speed, angle, angular_speed = (state[..., i] for i in range(4))
    force = _FORCE * (2.0 * ops.cast(actions, state.dtype) - 1.0)
    sine, cosine = ops.sin(angle), ops.cos(angle)
    push = (force + _POLE_MOMENT * ops.square(angular_speed) * sine) / _MASS
    angular_acceleration = (_GRAVITY * sine - cosine * push) / (
        _HALF_LENGTH * (4.0 / 3.0 - _POLE_MASS * ops.square(cosine) / _MASS)
    )
    acceleration = push - _POLE_MOMENT * angular_acceleration * cosine / _MASS
    return ops.stack(
        [
            x + _SECONDS * speed,
            speed + _SECONDS * acceleration,
            angle + _SECONDS * angular_speed,
            angular_speed + _SECONDS * angular_acceleration,
        ],
        axis=-1,
    )


class Step(NamedTuple):
    """What follows from an action in each environment."""

    state: Any
    rewards: Any
    terminated: Any
    truncated: Any


class CartPole:
    """CartPole as a function of tensors, for programs that run on the device.

    The equations, limits, rewards and the time limit of gymnasium's `CartPole-v1`,
    for many environments at once, in float32. Environment, replay and learning then
    run in one compiled program: `recipes.dqn(env="jax")` on the JAX backend. Every
    object with the four attributes and three methods of this class can stand in its
    place. All methods are pure functions and draw nothing by themselves.

    Args:
        max_episode_steps: Steps after which an episode is truncated. Defaults to
            `500`.

    Attributes:
        observation_shape: Shape of the observation of one environment, `(4,)`.
        num_actions: Number of discrete actions, 2.
        num_random: How many random numbers a new episode takes, 4.
        name: What error messages call it.

    Example:

    ```python
    import numpy as np
    from keras_strategies import recipes

    env = recipes.CartPole()
    state = env.initial_state(np.full((3, env.num_random), 0.5, "float32"))
    step = env.step(state, np.array([0, 1, 1]))
    print(env.observe(step.state).shape)  # (3, 4)
    ```
    """

    observation_shape: tuple[int, ...] = (4,)
    num_actions: int = 2
    num_random: int = 4
    name: str = "CartPole"

    def __init__(self, max_episode_steps: int = 500) -> None:
        self.max_episode_steps = checks.integer(
            "max_episode_steps", max_episode_steps, low=1
        )

    def initial_state(self, uniform: Tensor) -> dict[str, Any]:
        """States at the beginning of episodes.

        Args:
            uniform: Random numbers, uniform in [0, 1), of shape
                `(num_envs, num_random)`.

        Returns:
            A dict of tensors whose first dimension is `num_envs`.
        """
        physics = 0.1 * ops.convert_to_tensor(uniform, "float32") - 0.05
        return {"physics": physics, "steps": ops.zeros(physics.shape[:1], "int32")}

    def observe(self, state: dict[str, Any]) -> Tensor:
        """Observations of states: position, velocity, angle, angular velocity.

        Args:
            state: States of all environments.

        Returns:
            A tensor of shape `(num_envs, 4)`.
        """
        return state["physics"]

    def step(self, state: dict[str, Any], actions: Tensor) -> Step:
        """What follows from one action in each environment; does not begin anew.

        Args:
            state: States of all environments.
            actions: Actions of shape `(num_envs,)`: 0 pushes left, 1 right.

        Returns:
            A named tuple `(state, rewards, terminated, truncated)`.
        """
        physics = ops.convert_to_tensor(state["physics"])
        physics = cart_pole_step(physics, ops.convert_to_tensor(actions))
        steps = ops.convert_to_tensor(state["steps"]) + 1
        position, angle = physics[..., 0], physics[..., 2]
        terminated = (ops.abs(position) > _MAX_POSITION) | (ops.abs(angle) > _MAX_ANGLE)
        truncated = steps >= self.max_episode_steps
        rewards = ops.ones_like(position)
        return Step(
            {"physics": physics, "steps": steps}, rewards, terminated, truncated
        )
