"""Returns of greedy episodes."""

from typing import Any

import numpy as np
from keras import ops

from keras_strategies.recipes._dqn._environments import GymnasiumEnvironments

_MOST_ENVS = 128


def in_gymnasium(learner: Any, env: Any, episodes: int, seed: int) -> np.ndarray:
    """Returns of the first episodes of many environments, stepped together.

    Only the first of each environment counts: taking the first that end would prefer
    short ones.
    """
    count = min(episodes, _MOST_ENVS)
    environments = GymnasiumEnvironments(env, count)
    try:
        results = []
        while len(results) < episodes:
            results += list(_first_episodes(learner, environments, seed + len(results)))
    finally:
        environments.close()
    return np.array(results[:episodes])


def _first_episodes(learner: Any, env: GymnasiumEnvironments, seed: int) -> Any:
    observation = env.reset(seed=seed)
    returns, running = np.zeros(env.num_envs), np.ones(env.num_envs, bool)
    while running.any():
        transition = env.step(learner.act(observation))
        returns += transition.rewards * running
        running &= ~np.logical_or(transition.terminated, transition.truncated)
        observation = env.observation
    return returns


def on_device(learner: Any, env: Any, episodes: int, seed: int) -> np.ndarray:
    """Returns of one episode in each of `episodes` environments, in one program."""
    import jax

    program = learner.programs.get((env, episodes))
    if program is None:

        def play(learner_state, key):
            return _play(learner, env, learner_state, episodes, key)

        program = learner.programs[env, episodes] = jax.jit(play)
    return np.asarray(program(learner.state, jax.random.PRNGKey(seed)))


def _play(learner: Any, env: Any, learner_state: Any, episodes: int, key: Any) -> Any:
    import jax

    def step(carry):
        state, returns, running = carry
        after = env.step(state, learner.greedy(learner_state, env.observe(state)))
        returns = returns + after.rewards * ops.cast(running, "float32")
        running = running & ~(after.terminated | after.truncated)
        return after.state, returns, running

    uniform = jax.random.uniform(key, (episodes, env.num_random))
    running = ops.ones((episodes,), "bool")
    start = (env.initial_state(uniform), ops.zeros((episodes,)), running)
    _, returns, _ = jax.lax.while_loop(lambda carry: carry[2].any(), step, start)
    return returns
