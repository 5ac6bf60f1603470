"""Agents with a network of their own."""

from collections.abc import Sequence
from typing import Any

import keras

from keras_strategies._internal import checks
from keras_strategies.recipes._dqn._environments import GymnasiumEnvironments
from keras_strategies.recipes._dqn._network import q_network
from keras_strategies.recipes._dqn.dqn_agent import DQNAgent, make_environments


def dqn(
    env: Any = "CartPole-v1",
    *,
    units: Sequence[int] = (128, 128),
    dueling: bool = False,
    optimizer: Any = None,
    loss: Any = "huber",
    num_envs: int = 1,
    n_steps: int = 3,
    seed: int | None = None,
    **settings: Any,
) -> DQNAgent:
    """Returns a deep Q-learning agent, ready to be trained.

    The defaults solve CartPole-v1 within minutes on two cores: Double DQN with a
    slowly moving target, returns of three steps, a learning rate that falls, and
    clipped gradients. Options are a dueling network and prioritized replay
    (`priority_exponent`), the other parts of Rainbow (Hessel et al. 2018,
    https://arxiv.org/abs/1710.02298).

    Args:
        env: The id of an environment of gymnasium, a function that makes one, a
            vector environment, an object such as `CartPole`, or `"jax"`: CartPole
            with environment, replay and learning in one program, on the JAX backend.
            Defaults to `"CartPole-v1"`.
        units: Widths of the hidden layers. Defaults to `(128, 128)`.
        dueling: Whether the network adds the value of a state and the advantages of
            actions. Defaults to `False`.
        optimizer: Keras optimizer. Defaults to `None`: Adam whose rate falls from
            1e-3 to 2e-5 over 60,000 updates, gradients clipped to a norm of 10.
        loss: Loss of the values of chosen actions. Defaults to `"huber"`.
        num_envs: Environments that are stepped together. Defaults to `1`.
        n_steps: Rewards summed before the value of a state is used. Defaults to `3`.
        seed: Seed of initial weights, exploration, sampling and environments; `None`
            draws one. Defaults to `None`.
        **settings: Further arguments of `DQNAgent`.

    Returns:
        A `DQNAgent`. `agent.network` is an ordinary compiled Keras model from
        observations to action values, which `export.to_tflite` takes.

    Raises:
        ImportError: If gymnasium is needed and not installed.
        ValueError: If actions are continuous, or the backend has no such program.

    Example:

    ```python
    from keras_strategies import recipes

    agent = recipes.dqn(
        "CartPole-v1", units=(16,), dueling=True, n_steps=3, batch_size=16,
        learning_starts=20, seed=0,
    )
    agent.train(40)  # more, and with target_return=475.0, for a pole that stands
    print(agent.act([[0.0, 0.0, 0.1, 0.0]]).shape)  # (1,)
    ```
    """
    environments = make_environments(env, num_envs)
    checks.boolean("dueling", dueling)
    if seed is not None:
        keras.utils.set_random_seed(seed)
    network = q_network(
        environments.observation_shape, environments.num_actions, units, dueling
    )
    if optimizer is None:
        rate = keras.optimizers.schedules.PolynomialDecay(1e-3, 60_000, 2e-5)
        optimizer = keras.optimizers.Adam(rate, global_clipnorm=10.0)
    network.compile(optimizer, loss=loss)
    if isinstance(environments, GymnasiumEnvironments):
        environments.close()
    return DQNAgent(
        env, network, num_envs=num_envs, n_steps=n_steps, seed=seed, **settings
    )
