"""Environments: gymnasium's, one or many at once, and functions of tensors."""

from typing import Any, NamedTuple

import numpy as np

from keras_strategies._internal import checks, optional
from keras_strategies.recipes._dqn.cart_pole import CartPole

# A vectorized CartPole takes 0.2 ms a step whatever the number, one after the other
# 0.02 ms each and 0.05 ms together: below this number they are faster.
_FEWEST_OF_ITS_OWN = 8
_FUNCTIONAL = ("observation_shape", "num_actions", "num_random", "step", "observe")


class Transition(NamedTuple):
    """One step of all environments, as it is stored."""

    rewards: Any
    next_observations: Any
    terminated: Any
    truncated: Any
    valid: Any


def is_functional(env: Any) -> bool:
    """Whether `env` is a function of tensors such as `CartPole`."""
    return not isinstance(env, type) and all(hasattr(env, a) for a in _FUNCTIONAL)


def resolve(env: Any) -> Any:
    """`env` with the name "jax" replaced by `CartPole`."""
    return CartPole() if isinstance(env, str) and env == "jax" else env


class GymnasiumEnvironments:
    """Environments of gymnasium that are stepped together.

    Hides how a vector environment begins new episodes. With "next step" (gymnasium's
    default, and `CartPole-v1`'s own vector environment) the step after the last one
    of an episode ignores the action and returns a reward of 0: it is marked as not
    valid. With "same step" the last observation is in `info`.
    """

    def __init__(self, env: Any, num_envs: int) -> None:
        self.gymnasium = optional.require("gymnasium", "`recipes.dqn`")
        self.envs = self._make(env, num_envs)
        self._is_own = self.envs is not env
        modes = self.gymnasium.vector.AutoresetMode
        # An environment without the entry resets as gymnasium did by default.
        self._mode = self.envs.metadata.get("autoreset_mode", modes.NEXT_STEP)
        if self._mode == modes.DISABLED:
            checks.fail(
                "A vector environment must begin new episodes by itself",
                fix="Make it with autoreset_mode=AutoresetMode.SAME_STEP.",
                autoreset_mode=self._mode,
            )
        self._same_step = self._mode == modes.SAME_STEP
        self.num_envs = self.envs.num_envs
        self._check_spaces()
        self.observation = np.zeros(0)
        self._previous_end = np.zeros(self.num_envs, bool)

    def _make(self, env: Any, num_envs: int) -> Any:
        gymnasium = self.gymnasium
        if isinstance(env, gymnasium.vector.VectorEnv):
            return env
        same_step = {"autoreset_mode": gymnasium.vector.AutoresetMode.SAME_STEP}
        if isinstance(env, str):
            own = gymnasium.spec(env).vector_entry_point is not None
            own = own and num_envs >= _FEWEST_OF_ITS_OWN
            mode = "vector_entry_point" if own else "sync"
            return gymnasium.make_vec(
                env,
                num_envs=num_envs,
                vectorization_mode=mode,
                vector_kwargs={} if own else same_step,
            )
        if not callable(env) or isinstance(env, gymnasium.Env):
            checks.fail(
                "`env` must be the id of an environment of gymnasium, a function that "
                "makes one, a vector environment, or an object such as "
                "`recipes.CartPole`",
                fix="For example env='CartPole-v1' or env=lambda: MyEnv().",
                error=TypeError,
                env=env,
            )
        return gymnasium.vector.SyncVectorEnv([env] * num_envs, **same_step)

    def _check_spaces(self) -> None:
        spaces = self.gymnasium.spaces
        actions = self.envs.single_action_space
        observations = self.envs.single_observation_space
        if not isinstance(actions, spaces.Discrete):
            checks.fail(
                "Q-learning chooses among discrete actions: the action space must be "
                "a Discrete space",
                fix="Divide continuous actions into steps with a "
                "gymnasium.ActionWrapper, or use a method for continuous actions.",
                action_space=actions,
            )
        if not isinstance(observations, spaces.Box):
            checks.fail(
                "The observation space must be a Box space",
                fix="Wrap the environment, for example with "
                "gymnasium.wrappers.FlattenObservation.",
                observation_space=observations,
            )
        self.num_actions = int(actions.n)
        self._first_action = int(actions.start)
        self._action_dtype = self.envs.action_space.dtype
        self.observation_shape = tuple(observations.shape)
        integers = np.issubdtype(observations.dtype, np.integer)
        self.observation_dtype = observations.dtype.name if integers else "float32"

    def reset(self, seed: int | None = None) -> Any:
        """Begins new episodes everywhere and returns what they show."""
        observation, _ = self.envs.reset(seed=seed)
        self._previous_end = np.zeros(self.num_envs, bool)
        self.observation = np.array(observation, self.observation_dtype)
        return self.observation

    def step(self, actions: Any) -> Transition:
        """Steps all; `observation` is then what to act upon."""
        actions = (np.asarray(actions) + self._first_action).astype(self._action_dtype)
        shown, rewards, terminated, truncated, info = self.envs.step(actions)
        # A copy: a vector environment may write into its own array.
        self.observation = np.array(shown, self.observation_dtype)
        ended = np.logical_or(terminated, truncated)
        # The step behind an end only resets: its action was ignored, it is no
        # transition.
        last, valid = self.observation, ~self._previous_end
        if self._same_step:
            valid = np.ones(self.num_envs, bool)
            if ended.any():
                last = self.observation.copy()
                for index in np.flatnonzero(ended):
                    last[index] = info["final_obs"][index]
        else:
            self._previous_end = ended
        return Transition(np.asarray(rewards), last, terminated, truncated, valid)

    def close(self) -> None:
        """Frees what the environments hold, unless the caller made them."""
        if self._is_own:
            self.envs.close()
