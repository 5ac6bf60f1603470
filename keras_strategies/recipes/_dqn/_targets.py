"""Mathematics of Q-learning, as pure functions of arrays."""

from typing import Any

from keras import ops

from keras_strategies._internal.types import Tensor


def td_targets(
    returns: Tensor,
    discounts: Tensor,
    next_target_q: Tensor,
    next_online_q: Tensor | None = None,
) -> Tensor:
    """Targets `returns + discounts * Q_target(next state, best action)`.

    With `next_online_q` the online network chooses the action and the target network
    values it (Double DQN, van Hasselt et al. 2016, https://arxiv.org/abs/1509.06461);
    without, the target network does both, which overestimates. `discounts` are zero
    behind a terminal state and `discount ** n` for returns of n steps.
    """
    if next_online_q is None:
        best = ops.max(next_target_q, axis=-1)
    else:
        best = chosen(next_target_q, ops.argmax(next_online_q, axis=-1))
    return returns + discounts * best


def chosen(q_values: Tensor, actions: Tensor) -> Tensor:
    """`q_values[i, actions[i]]` of every row i."""
    indices = ops.expand_dims(ops.cast(actions, "int32"), -1)
    return ops.squeeze(ops.take_along_axis(q_values, indices, axis=-1), -1)


def n_step_returns(
    rewards: Any, terminated: Any, ended: Any, stored: Any, discount: float, xp: Any
) -> tuple[Any, Any, Any]:
    """Discounted sums of the rewards of up to n steps, from the first of each row on.

    A sum stops behind the step that ends its episode, and at the newest stored step.
    Multi-step returns: Sutton 1988; with DQN: Hessel et al. 2018,
    https://arxiv.org/abs/1710.02298.

    Args:
        rewards: Rewards of n successive steps, float32 of shape `(batch, n)`.
        terminated: 1 where the episode ended in a terminal state, whose value is 0.
        ended: 1 where it ended at all, also by a time limit.
        stored: 1 where the step is stored; the first column is.
        discount: Factor of a reward one step later.
        xp: `numpy` or `keras.ops`.

    Returns:
        `(returns, discounts, last)`: the sums, the factors of the value of the state
        behind the last step of each sum, and the column of this step.
    """
    first = xp.ones_like(ended[:, :1])
    before = xp.concatenate([first, (1.0 - ended)[:, :-1]], axis=1)
    summed = xp.cumprod(before * stored, axis=1)
    columns = rewards.shape[1]
    factors = xp.array([[discount**k for k in range(columns)]], dtype="float32")
    returns = xp.sum(rewards * summed * factors, axis=1)
    # 1 in the column of the last step of each sum, where the mask falls to 0.
    behind = xp.concatenate([summed[:, 1:], 0.0 * first], axis=1)
    last = summed - behind
    discounts = xp.sum(last * factors * (1.0 - terminated), axis=1) * discount
    return returns, discounts, xp.argmax(last, axis=1)


def valid_mean(values: Tensor, weights: Tensor) -> Tensor:
    """Mean of `weights * values` over the samples whose weight is not 0."""
    valid = ops.sum(ops.cast(weights > 0, values.dtype))
    return ops.sum(weights * values) / ops.maximum(valid, 1.0)


def epsilon_at(
    step: Any, initial: float, final: float, exploration_steps: int, xp: Any
) -> Any:
    """Probability of a random action: from `initial` in a line to `final`."""
    progress = xp.minimum(step / max(exploration_steps, 1), 1.0)
    return initial + (final - initial) * progress
