"""CartPole in tensors against gymnasium's, step by step."""

import gymnasium
import numpy as np
import pytest
from keras import ops

from keras_strategies import recipes


def as_numpy(values):
    return ops.convert_to_numpy(values)


def test_each_step_is_that_of_gymnasium():
    """From gymnasium's own state at every step, so that no error adds up."""
    theirs, ours = gymnasium.make("CartPole-v1"), recipes.CartPole()
    rng = np.random.default_rng(0)
    episodes = 0
    for seed in range(4):
        theirs.reset(seed=seed)
        for number in range(500):
            state = np.array(theirs.unwrapped.state, "float32")[None]
            action = int(rng.integers(2)) if seed else int(state[0, 2] > 0)
            shown, reward, terminated, truncated, _ = theirs.step(action)
            steps = np.full(1, number, "int32")
            after = ours.step({"physics": state, "steps": steps}, np.array([action]))
            observed = as_numpy(ours.observe(after.state))[0]
            np.testing.assert_allclose(observed, shown, rtol=2e-6, atol=2e-7)
            assert as_numpy(after.rewards)[0] == reward
            assert as_numpy(after.terminated)[0] == terminated
            assert as_numpy(after.truncated)[0] == truncated
            if terminated or truncated:
                episodes += 1
                break
    assert episodes == 4


def test_whole_episodes_stay_beside_gymnasiums():
    """The same actions from the same start: the same end, at the same step."""
    envs = gymnasium.make_vec("CartPole-v1", num_envs=16)
    start, _ = envs.reset(seed=3)
    ours = recipes.CartPole()
    state = {"physics": ops.array(start), "steps": ops.zeros(16, "int32")}
    running = np.ones(16, bool)
    rng = np.random.default_rng(1)
    for _ in range(200):
        actions = rng.integers(0, 2, 16)
        shown, _, terminated, _, _ = envs.step(actions)
        after = ours.step(state, actions)
        state = after.state
        np.testing.assert_allclose(
            as_numpy(ours.observe(state))[running], shown[running], atol=1e-4
        )
        assert (as_numpy(after.terminated)[running] == terminated[running]).all()
        running &= ~terminated
    assert not running.any()


def test_begins_within_gymnasiums_bounds_and_ends_in_time():
    env = recipes.CartPole(max_episode_steps=2)
    uniform = np.array([[0.0, 0.25, 0.5, 0.99999]], "float32")
    state = env.initial_state(uniform)
    np.testing.assert_allclose(
        as_numpy(env.observe(state))[0], [-0.05, -0.025, 0, 0.05], atol=1e-5
    )
    first = env.step(state, np.array([0]))
    second = env.step(first.state, np.array([1]))
    assert not as_numpy(first.truncated)[0] and as_numpy(second.truncated)[0]
    with pytest.raises(ValueError, match="max_episode_steps"):
        recipes.CartPole(max_episode_steps=0)
