"""Training in environments of gymnasium: the environment here, the network there."""

import json
import time
from typing import Any

import numpy as np

from keras_strategies.recipes._dqn._environments import GymnasiumEnvironments
from keras_strategies.recipes._dqn._history import History
from keras_strategies.recipes._dqn._learners import Learner
from keras_strategies.recipes._dqn._settings import Settings
from keras_strategies.recipes._dqn._targets import epsilon_at
from keras_strategies.recipes._dqn.replay_buffer import ReplayBuffer

_LOSSES_HELD = 1000


class HostRunner:
    """Steps the environments and calls one compiled step of the learner for each."""

    def __init__(
        self,
        env: GymnasiumEnvironments,
        learner: Learner,
        settings: Settings,
        history: History,
    ) -> None:
        self.env, self.learner = env, learner
        self.settings, self.history = settings, history
        self.buffer = ReplayBuffer(
            settings.buffer_size,
            env.observation_shape,
            env.num_envs,
            env.observation_dtype,
            **settings.buffer_options(),
        )
        self.rng = np.random.default_rng(settings.seed)
        self.step = 0
        self._began = False
        self._returns = np.zeros(env.num_envs)
        self._lengths = np.zeros(env.num_envs, "int64")

    def run(self, steps: int, deadline: float | None) -> None:
        """At least `steps` steps of environments, fewer behind the deadline."""
        if not self._began:
            self.env.reset(seed=int(self.rng.integers(2**31)))
            self._began = True
        end, losses = self.step + steps, []
        while self.step < end:
            if deadline is not None and time.monotonic() > deadline:
                break
            # Kept as they are and read in blocks: each reading would wait for the
            # device.
            losses += self._one_step()
            if len(losses) >= _LOSSES_HELD:
                self.history.add_losses(self.step, np.array([float(x) for x in losses]))
                losses = []
        self.history.add_losses(self.step, np.array([float(x) for x in losses]))

    def _one_step(self) -> list[Any]:
        losses, observation = [], self.env.observation
        if len(self.buffer) >= self.settings.learning_starts:
            for _ in range(self.settings.updates_per_step):
                loss, actions = self._learn_and_act(observation)
                losses.append(loss)
        else:
            actions = self.learner.act(observation)
        actions = self._explore(actions)
        transition = self.env.step(actions)
        self.buffer.add(observation, actions, **transition._asdict())
        self.step += self.env.num_envs
        self._count(transition)
        return losses

    def _learn_and_act(self, observation: Any) -> tuple[Any, Any]:
        batch = self.buffer.sample(self.settings.batch_size, self.rng)
        loss, errors, actions = self.learner.learn_and_act(batch, observation)
        if self.settings.priority_exponent is not None:
            self.buffer.update_priorities(batch.indices, np.asarray(errors))
        return loss, actions

    def _explore(self, actions: Any) -> Any:
        s = self.settings
        epsilon = epsilon_at(
            self.step, s.epsilon, s.final_epsilon, s.exploration_steps, np
        )
        explore = self.rng.random(self.env.num_envs) < epsilon
        drawn = self.rng.integers(0, self.env.num_actions, self.env.num_envs)
        return np.where(explore, drawn, actions)

    def _count(self, transition: Any) -> None:
        self._returns += transition.rewards * transition.valid
        self._lengths += transition.valid
        ended = np.logical_or(transition.terminated, transition.truncated)
        if ended.any():
            self.history.add_episodes(
                self.step, self._returns[ended], self._lengths[ended]
            )
            self._returns[ended] = 0.0
            self._lengths[ended] = 0

    def get_state(self) -> dict[str, Any]:
        """Arrays that a resumed run goes on from."""
        state = {f"buffer/{k}": v for k, v in self.buffer.get_state().items()}
        state["rng"] = json.dumps(self.rng.bit_generator.state)
        state["step"] = self.step
        return state

    def set_state(self, state: dict[str, Any]) -> None:
        """Goes on from `get_state`; the environments begin new episodes."""
        of_buffer = {
            name.removeprefix("buffer/"): value
            for name, value in state.items()
            if name.startswith("buffer/")
        }
        self.buffer.set_state(of_buffer)
        self.buffer.end_episodes()
        self.rng.bit_generator.state = json.loads(str(state["rng"]))
        self.step = int(state["step"])
