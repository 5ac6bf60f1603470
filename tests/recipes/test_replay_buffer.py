"""The ring, returns of several steps, and drawing by priority."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from keras_strategies import recipes
from keras_strategies.recipes._dqn import _sum_tree


def filled(steps, num_envs=1, capacity=8, seed=0, **options):
    """A buffer after `steps` steps, and the steps as plain lists by environment.

    The observation of step t is t, the next one t + 0.5.
    """
    buffer = recipes.ReplayBuffer(capacity, (1,), num_envs, **options)
    rng = np.random.default_rng(seed)
    logs = [[] for _ in range(num_envs)]
    for t in range(steps):
        rewards = rng.normal(size=num_envs).astype("float32")
        terminated, truncated = rng.random((2, num_envs)) < 0.15
        buffer.add(
            np.full((num_envs, 1), t),
            rng.integers(0, 3, num_envs),
            rewards,
            np.full((num_envs, 1), t + 0.5),
            terminated,
            truncated,
        )
        for e in range(num_envs):
            logs[e].append((rewards[e], terminated[e], truncated[e]))
    return buffer, logs


def naive_return(log, t, n, discount):
    """`(return, discount, last step)` by a loop."""
    total = 0.0
    for k in range(n):
        reward, terminated, truncated = log[t + k]
        total += discount**k * reward
        last = t + k == len(log) - 1
        if terminated or truncated or last or k == n - 1:
            return total, 0.0 if terminated else discount ** (k + 1), t + k
    raise AssertionError


@given(
    steps=st.integers(1, 30),
    num_envs=st.integers(1, 3),
    n=st.integers(1, 5),
    seed=st.integers(0, 100),
)
@settings(max_examples=60, deadline=None)
def test_returns_are_those_of_a_loop(steps, num_envs, n, seed):
    buffer, logs = filled(
        steps, num_envs, capacity=8 * num_envs, n_steps=n, discount=0.9, seed=seed
    )
    batch = buffer.sample(50, np.random.default_rng(seed))
    oldest = max(0, steps - 8)
    for i in range(50):
        t, e = int(batch.observations[i, 0]), int(batch.indices[i]) % num_envs
        assert oldest <= t < steps
        total, discount, last = naive_return(logs[e], t, n, 0.9)
        assert batch.returns[i] == pytest.approx(total, abs=1e-5)
        assert batch.discounts[i] == pytest.approx(discount, abs=1e-6)
        assert batch.next_observations[i, 0] == last + 0.5


def test_uniform_draws_reach_all_that_is_stored():
    buffer, _ = filled(20, num_envs=2, capacity=11)
    assert len(buffer) == 10  # whole steps of both environments
    batch = buffer.sample(2000, np.random.default_rng(0))
    counts = np.bincount(batch.observations[:, 0].astype(int))
    assert set(np.flatnonzero(counts)) == {15, 16, 17, 18, 19}
    assert counts[15:].min() > 320
    assert (batch.weights == 1).all()


def test_steps_that_only_begin_an_episode_weigh_nothing():
    for exponent in (None, 0.6):
        buffer = recipes.ReplayBuffer(8, (1,), priority_exponent=exponent)
        for t in range(4):
            zero = np.zeros(1)
            buffer.add(np.full((1, 1), t), zero, zero, zero, zero, zero, valid=t != 2)
        batch = buffer.sample(200, np.random.default_rng(0))
        begins = batch.observations[:, 0] == 2
        assert begins.any() == (exponent is None)
        assert (batch.weights[begins] == 0).all()
        assert (batch.weights[~begins] == 1).all()


def test_priorities_and_weights_are_those_of_the_paper():
    buffer, _ = filled(4, capacity=4, priority_exponent=0.5, importance_exponent=1.0)
    buffer.update_priorities(np.arange(4), [1.0, -4.0, 9.0, 16.0])
    batch = buffer.sample(20_000, np.random.default_rng(0))
    share = np.bincount(batch.indices) / 20_000
    np.testing.assert_allclose(share, [0.1, 0.2, 0.3, 0.4], atol=1e-3)
    # (N P)^-1 over the largest, that of the rarest.
    first = {i: batch.weights[batch.indices == i][0] for i in range(4)}
    weights = [first[i] for i in range(4)]
    np.testing.assert_allclose(weights, [1, 1 / 2, 1 / 3, 1 / 4], rtol=1e-5)
    # What is new is as likely as the most surprising so far.
    buffer.add(np.zeros((1, 1)), 0, 0, np.zeros((1, 1)), False, False)
    batch = buffer.sample(20_000, np.random.default_rng(1))
    share = np.bincount(batch.indices) / 20_000
    np.testing.assert_allclose(share, np.array([4, 2, 3, 4]) / 13, atol=1e-3)


@given(
    values=st.lists(st.floats(0, 100), min_size=1, max_size=40).filter(any),
    seed=st.integers(0, 100),
)
@settings(max_examples=50, deadline=None)
def test_the_tree_draws_as_a_cumulated_sum(values, seed):
    values = np.array(values)
    tree = np.zeros(2 * _sum_tree.leaf_count(len(values)))
    order = np.random.default_rng(seed).permutation(len(values))
    for index in order:
        _sum_tree.set_leaves(tree, np.array([index]), values[index])
    assert tree[1] == pytest.approx(values.sum())
    at = np.random.default_rng(seed).random(30) * tree[1]
    drawn = _sum_tree.find(tree, at)
    assert (values[drawn] > 0).all()
    edges = np.concatenate([[0], np.cumsum(values)])
    assert (at >= edges[drawn] - 1e-9 * tree[1]).all()
    assert (at <= edges[drawn + 1] + 1e-9 * tree[1]).all()


def test_state_goes_into_an_equal_buffer_only():
    buffer, _ = filled(5, n_steps=2, priority_exponent=0.6)
    copy = recipes.ReplayBuffer(8, (1,), n_steps=2, priority_exponent=0.6)
    copy.set_state(buffer.get_state())
    ours = buffer.sample(20, np.random.default_rng(0))
    theirs = copy.sample(20, np.random.default_rng(0))
    for a, b in zip(ours, theirs, strict=True):
        np.testing.assert_array_equal(a, b)
    other = recipes.ReplayBuffer(9, (1,), priority_exponent=0.6)
    with pytest.raises(ValueError, match="observations"):
        other.set_state(buffer.get_state())
    assert len(other) == 0
    uniform = recipes.ReplayBuffer(8, (1,), n_steps=2)
    with pytest.raises(ValueError, match="tree"):
        copy.set_state(uniform.get_state())
    with pytest.raises(ValueError, match="draws uniformly"):
        uniform.update_priorities([0], [1.0])
    with pytest.raises(ValueError, match="empty"):
        uniform.sample(1, np.random.default_rng(0))


def test_a_buffer_without_room_for_one_step_is_refused():
    with pytest.raises(ValueError, match="`capacity` must be an integer at least 4"):
        recipes.ReplayBuffer(3, (1,), num_envs=4)
