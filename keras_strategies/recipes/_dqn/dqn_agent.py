"""An agent that learns the values of its actions."""

import dataclasses
import os
import time
from typing import Any, Literal

import keras
import numpy as np

from keras_strategies._internal import checks
from keras_strategies.recipes._dqn import _checkpoint, _evaluation
from keras_strategies.recipes._dqn._device_runner import DeviceRunner
from keras_strategies.recipes._dqn._environments import (
    GymnasiumEnvironments,
    is_functional,
    resolve,
)
from keras_strategies.recipes._dqn._history import History
from keras_strategies.recipes._dqn._host_runner import HostRunner
from keras_strategies.recipes._dqn._learners import make_learner
from keras_strategies.recipes._dqn._network import check_network
from keras_strategies.recipes._dqn._settings import Settings

_EVALUATE_EVERY = 5000


class DQNAgent:
    """Deep Q-network with replay buffer and target network, compiled as one step.

    The network learns the discounted sum of rewards that follows each action, from
    random samples of its experience, with targets of a slowly following copy of
    itself (Mnih et al. 2015, https://www.nature.com/articles/nature14236). One call
    of a compiled program learns from a sample and chooses the next actions of all
    environments. With an environment such as `CartPole` on the JAX backend,
    environment and replay are part of the program too.

    `recipes.dqn` makes agents with a network of its own; use this class for a network
    of yours.

    Args:
        env: The id of an environment of gymnasium, a function that makes one, a
            vector environment, an object such as `CartPole`, or `"jax"`, which is
            `CartPole()`. The last two need the JAX backend.
        network: Compiled Keras model from observations to one value for each action.
            Its loss compares targets with the values of the chosen actions; its
            optimizer may have a schedule, clipping and so on.
        num_envs: Environments that are stepped together. Defaults to `1`.
        buffer_size: Transitions that are stored. Defaults to `100_000`.
        batch_size: Transitions of one update. Defaults to `128`.
        discount: Factor γ of a reward one step later. Defaults to `0.99`.
        n_steps: Rewards summed before the value of a state is used. Defaults to `1`.
        double: Whether the online network chooses the action that the target network
            values. Defaults to `True`.
        priority_exponent: How strongly transitions with a large error are preferred
            in [0, 1]; 0.6 is usual, `None` draws uniformly. Defaults to `None`.
        importance_exponent: Correction of this preference. Defaults to `0.4`.
        tau: How far the target network moves to the online one, in (0, 1]. Defaults
            to `0.005`.
        target_update_interval: Updates between two such moves; with `tau=1.0` the
            target is a copy that old. Defaults to `1`.
        epsilon: Probability of a random action in the beginning. Defaults to `1.0`.
        final_epsilon: The same after `exploration_steps`. Defaults to `0.04`.
        exploration_steps: Steps of environments in which it falls. Defaults to
            `10_000`.
        learning_starts: Transitions that are stored before learning begins. Defaults
            to `1000`.
        updates_per_step: Updates for each step of all environments. Defaults to `1`.
        jit_compile: Whether TensorFlow compiles the step with XLA; `"auto"` does for
            batches of at most 16, where it takes half the time, if all layers can.
            JAX always does. Defaults to `"auto"`.
        seed: Seed of exploration, sampling and environments; `None` draws one.
            Defaults to `None`.

    Raises:
        ImportError: If gymnasium is needed and not installed.
        TypeError: If `env` is no environment.
        ValueError: If actions are continuous, if network and environment do not fit,
            or if the backend has no such program.

    Example:

    ```python
    import keras
    from keras_strategies import recipes

    network = keras.Sequential(
        [keras.Input((4,)), keras.layers.Dense(8, "relu"), keras.layers.Dense(2)]
    )
    network.compile(keras.optimizers.Adam(1e-3), loss="huber")
    agent = recipes.DQNAgent(
        "CartPole-v1", network, batch_size=16, learning_starts=20, seed=0
    )
    agent.train(40)
    print(agent.evaluate(episodes=2).shape)  # (2,)
    agent.save("agent.npz")
    agent = recipes.DQNAgent.load("agent.npz")
    agent.train(10)
    print(agent.step)  # 50
    ```
    """

    def __init__(
        self,
        env: Any,
        network: Any,
        *,
        num_envs: int = 1,
        buffer_size: int = 100_000,
        batch_size: int = 128,
        discount: float = 0.99,
        n_steps: int = 1,
        double: bool = True,
        priority_exponent: float | None = None,
        importance_exponent: float = 0.4,
        tau: float = 0.005,
        target_update_interval: int = 1,
        epsilon: float = 1.0,
        final_epsilon: float = 0.04,
        exploration_steps: int = 10_000,
        learning_starts: int = 1000,
        updates_per_step: int = 1,
        jit_compile: Literal["auto"] | bool = "auto",
        seed: int | None = None,
    ) -> None:
        if seed is None:
            seed = int(np.random.SeedSequence().generate_state(1)[0]) // 2
        environments = make_environments(env, num_envs)
        self.settings = Settings(
            num_envs=getattr(environments, "num_envs", num_envs),
            buffer_size=buffer_size,
            batch_size=batch_size,
            discount=discount,
            n_steps=n_steps,
            double=double,
            priority_exponent=priority_exponent,
            importance_exponent=importance_exponent,
            tau=tau,
            target_update_interval=target_update_interval,
            epsilon=epsilon,
            final_epsilon=final_epsilon,
            exploration_steps=exploration_steps,
            learning_starts=learning_starts,
            updates_per_step=updates_per_step,
            jit_compile=jit_compile,
            seed=seed,
        )
        self._env = env
        self._assemble(environments, network)

    def _assemble(self, environments: Any, network: Any) -> None:
        settings = self.settings
        self.network: Any = check_network(
            network, environments.observation_shape, environments.num_actions
        )
        self._learner = make_learner(network, settings)
        self._history = History()
        kind = HostRunner
        if not isinstance(environments, GymnasiumEnvironments):
            kind = DeviceRunner
        self._runner: Any = kind(environments, self._learner, settings, self._history)
        self._seconds = 0.0
        self._evaluations = 0

    @property
    def step(self) -> int:
        """Steps of environments, all together, that the agent was trained for."""
        return self._runner.step

    @property
    def history(self) -> dict[str, list[float]]:
        """What happened: lists of numbers that belong together by their names.

        `"episode_step"`, `"episode_return"`, `"episode_length"` of the episodes that
        ended in training, with exploration; `"loss_step"`, `"loss"`, means;
        `"evaluation_step"`, `"evaluation_return"`, `"evaluation_seconds"`.
        """
        return self._history.lists

    def train(
        self,
        steps: int,
        *,
        target_return: float | None = None,
        evaluate_every: int | None = None,
        evaluation_episodes: int = 100,
        time_limit: float | None = None,
    ) -> dict[str, list[float]]:
        """Trains on, until one of the limits is reached.

        Args:
            steps: Steps of environments, all together; rounded up to whole steps of
                all environments.
            target_return: Mean return of greedy episodes at which training ends; the
                network is then the one that reached it. Defaults to `None`.
            evaluate_every: Steps between evaluations. Defaults to `None`: 5000 with a
                `target_return`, else never.
            evaluation_episodes: Episodes of an evaluation, in environments of their
                own. Defaults to `100`.
            time_limit: Seconds after which training ends. Defaults to `None`.

        Returns:
            `history`.

        Raises:
            FloatingPointError: If the loss is not finite.
        """
        steps = checks.integer("steps", steps, low=1)
        checks.real("target_return", target_return, optional=True)
        checks.real("time_limit", time_limit, low=0, optional=True)
        checks.integer("evaluation_episodes", evaluation_episodes, low=1)
        every = checks.integer("evaluate_every", evaluate_every, low=1, optional=True)
        if every is None:
            every = steps if target_return is None else _EVALUATE_EVERY
        evaluates = target_return is not None or evaluate_every is not None
        start = time.monotonic()
        deadline = None if time_limit is None else start + time_limit
        end, before = self.step + steps, self._seconds
        self._learner.refresh()  # the caller may have changed weights
        try:
            while self.step < end and (deadline is None or time.monotonic() < deadline):
                self._runner.run(min(every, end - self.step), deadline)
                self._seconds = before + time.monotonic() - start
                if not evaluates:
                    continue
                mean = float(np.mean(self._evaluate(None, evaluation_episodes, None)))
                self._history.add_evaluation(self.step, mean, self._seconds)
                if target_return is not None and mean >= target_return:
                    break
        finally:
            # JAX's state is outside of the models while training: also after an error
            # they get it.
            self._learner.sync()
        return self.history

    def evaluate(
        self, episodes: int = 100, *, env: Any = None, seed: int | None = None
    ) -> np.ndarray:
        """Returns of greedy episodes, without learning.

        Args:
            episodes: Number of episodes. Defaults to `100`.
            env: Where to play, as in the constructor. Defaults to `None`: new
                environments like those of the training. A vector environment that
                was given to the constructor cannot be made anew, so that `env` is
                needed then.
            seed: Seed of the environments; `None` takes another one each time.
                Defaults to `None`.

        Returns:
            The sum of rewards of each episode, shape `(episodes,)`.
        """
        checks.integer("episodes", episodes, low=1)
        self._learner.refresh()
        return self._evaluate(env, episodes, seed)

    def _evaluate(self, env: Any, episodes: int, seed: int | None) -> np.ndarray:
        env = resolve(self._env if env is None else env)
        if seed is None:
            # Of its own: an evaluation must not change what training draws.
            entropy = [self.settings.seed, 1, self._evaluations]
            seed = int(np.random.SeedSequence(entropy).generate_state(1)[0]) // 2
            self._evaluations += 1
        if is_functional(env):
            require_jax(env)
            return _evaluation.on_device(self._learner, env, episodes, seed)
        if env is self._env and not (isinstance(env, str) or callable(env)):
            checks.fail(
                "`env` must be given where the agent trains in a vector environment "
                "that was made by you",
                fix="Its episodes cannot be interrupted: pass another one, an id or a "
                "function.",
                env=None,
            )
        return _evaluation.in_gymnasium(self._learner, env, episodes, seed)

    def act(self, observations: Any) -> np.ndarray:
        """The best actions.

        Args:
            observations: A batch of observations.

        Returns:
            Action indices, one for each observation.
        """
        observations = np.asarray(observations)
        shape = tuple(self.network.input_shape[1:])
        if observations.shape[1:] != shape or not observations.ndim > len(shape):
            checks.fail(
                f"`observations` must have shape (batch, {', '.join(map(str, shape))})",
                fix="Put a single observation into a list.",
                shape=observations.shape,
            )
        self._learner.refresh()
        return self._learner.act(observations.astype(self.network.inputs[0].dtype))

    def save(self, path: str | os.PathLike[str]) -> None:
        """Saves everything that is needed to train on, in one file.

        Network, optimizer, target network, stored transitions, random states and
        history. With an environment on the device, training goes on as if it had not
        stopped; gymnasium's environments cannot be saved and begin new episodes.
        The network alone is `agent.network.save("network.keras")`.

        Args:
            path: A file, usually `"agent.npz"`.
        """
        about = {
            "settings": dataclasses.asdict(self.settings),
            "environment": self._env if isinstance(self._env, str) else None,
            "history": self.history,
            "seconds": self._seconds,
            "evaluations": self._evaluations,
        }
        state = self._runner.get_state()
        _checkpoint.write(path, about, self.network, self._learner.target, state)

    @classmethod
    def load(cls, path: str | os.PathLike[str], env: Any = None) -> "DQNAgent":
        """An agent from a file of `save`.

        Args:
            path: The file.
            env: The environment to train on in. Defaults to `None`: the one whose
                name the agent was made with.

        Returns:
            The agent, which can act and be trained on.

        Raises:
            ValueError: If this is another file, or if the agent was made with an
                environment that has no name and `env` is not given.
        """
        about, arrays = _checkpoint.read(path)
        env = about["environment"] if env is None else env
        if env is None:
            checks.fail(
                "`env` must be given: the agent was made with an environment that "
                "cannot be saved",
                env=None,
            )
        network = _checkpoint.network_of(arrays)
        agent = cls(env, network, **about["settings"])
        agent._learner.target.set_weights(_checkpoint.target_weights(arrays))
        agent._learner.refresh()
        agent._runner.set_state(_checkpoint.runner_state(arrays))
        agent._history.lists.update(about["history"])
        agent._seconds, agent._evaluations = about["seconds"], about["evaluations"]
        return agent


def make_environments(env: Any, num_envs: int) -> Any:
    """Environments to train in, checked."""
    checks.integer("num_envs", num_envs, low=1)
    env = resolve(env)
    if not is_functional(env):
        return GymnasiumEnvironments(env, num_envs)
    require_jax(env)
    return env


def require_jax(env: Any) -> None:
    """Raises unless the program of a functional environment can be compiled."""
    backend = keras.backend.backend()
    if backend != "jax":
        checks.fail(
            f"{getattr(env, 'name', env)} on the device needs the JAX backend",
            fix="Set KERAS_BACKEND=jax before Keras is imported, or use an "
            "environment of gymnasium, such as env='CartPole-v1'.",
            backend=backend,
        )
