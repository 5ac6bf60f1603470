"""Stored transitions, drawn uniformly or by priority."""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from keras_strategies._internal import checks
from keras_strategies.recipes._dqn import _sum_tree
from keras_strategies.recipes._dqn._targets import n_step_returns

SMALLEST_PRIORITY = 1e-6


class Batch(NamedTuple):
    """A sample of transitions: NumPy arrays whose first dimension is the batch."""

    observations: Any
    actions: Any
    returns: Any
    discounts: Any
    next_observations: Any
    weights: Any
    indices: Any


class ReplayBuffer:
    """Ring of the newest transitions of several environments, in NumPy.

    Learning from a sample of many old transitions breaks the correlation of
    successive ones and uses each several times (Lin 1992; Mnih et al. 2015,
    https://www.nature.com/articles/nature14236). Returns of several steps are summed
    when a sample is drawn; a sum stops where its episode ends, and a time limit is no
    end of the world: the value of the state behind it still counts.

    With a `priority_exponent` α, transition i is drawn with probability
    `p_i ** α / Σ p ** α`, where `p_i` is its last absolute TD error, and has the
    weight `(N P(i)) ** -β`, divided by the largest weight of the sample, with β the
    `importance_exponent` (Schaul et al. 2016, https://arxiv.org/abs/1511.05952).

    Args:
        capacity: Transitions that are stored, of all environments together.
        observation_shape: Shape of one observation.
        num_envs: Environments that are stepped together. Defaults to `1`.
        observation_dtype: Type in which observations are stored; `"uint8"` for
            images. Defaults to `"float32"`.
        n_steps: Rewards that are summed before the value of the next state is used.
            Defaults to `1`.
        discount: Factor of a reward one step later. Defaults to `0.99`.
        priority_exponent: α; `None` draws uniformly. Defaults to `None`.
        importance_exponent: β, 1 for unbiased updates. Defaults to `0.4`.

    Raises:
        ValueError: If `capacity` has no room for a step of all environments.

    Example:

    ```python
    import numpy as np
    from keras_strategies import recipes

    buffer = recipes.ReplayBuffer(100, (4,), num_envs=2, n_steps=3)
    for _ in range(10):
        buffer.add(
            observations=np.zeros((2, 4)),
            actions=np.array([0, 1]),
            rewards=np.ones(2),
            next_observations=np.zeros((2, 4)),
            terminated=np.array([False, False]),
            truncated=np.array([False, True]),
        )
    batch = buffer.sample(8, np.random.default_rng(0))
    print(len(buffer), batch.returns.shape)  # 20 (8,)
    ```
    """

    def __init__(
        self,
        capacity: int,
        observation_shape: Sequence[int],
        num_envs: int = 1,
        observation_dtype: str = "float32",
        n_steps: int = 1,
        discount: float = 0.99,
        priority_exponent: float | None = None,
        importance_exponent: float = 0.4,
    ) -> None:
        self.num_envs = checks.integer("num_envs", num_envs, low=1)
        self.capacity = checks.integer(
            "capacity",
            capacity,
            low=self.num_envs,
            fix="It must have room for one step of each environment.",
        )
        self.n_steps = checks.integer("n_steps", n_steps, low=1)
        self.discount = checks.real("discount", discount, low=0, high=1)
        self.priority_exponent = checks.real(
            "priority_exponent", priority_exponent, low=0, high=1, optional=True
        )
        self.importance_exponent = checks.real(
            "importance_exponent", importance_exponent, low=0, high=1
        )
        self._rows = self.capacity // self.num_envs
        shape = (self._rows, self.num_envs)
        dtype = np.dtype(observation_dtype)
        self._arrays = {
            "observations": np.zeros((*shape, *observation_shape), dtype),
            "next_observations": np.zeros((*shape, *observation_shape), dtype),
            "actions": np.zeros(shape, "int32"),
            "rewards": np.zeros(shape, "float32"),
            "terminated": np.zeros(shape, "float32"),
            "ended": np.zeros(shape, "float32"),
            "valid": np.zeros(shape, "float32"),
        }
        self._next_row = 0
        self._stored_rows = 0
        self._tree = None
        self._largest_priority = 1.0
        if self.priority_exponent is not None:
            leaves = _sum_tree.leaf_count(self._rows * self.num_envs)
            self._tree = np.zeros(2 * leaves, "float64")

    def __len__(self) -> int:
        return self._stored_rows * self.num_envs

    def add(
        self,
        observations: Any,
        actions: Any,
        rewards: Any,
        next_observations: Any,
        terminated: Any,
        truncated: Any,
        valid: Any = True,
    ) -> None:
        """Stores one step of all environments; the oldest step may make room.

        Args:
            observations: What each environment showed, `(num_envs, ...)`.
            actions: What was done, `(num_envs,)`.
            rewards: What came of it, `(num_envs,)`.
            next_observations: What it showed then: where the episode ended, its last
                observation, not the first one of the next episode.
            terminated: Where the episode ended in a terminal state.
            truncated: Where it was cut off, by a time limit for example.
            valid: Where the step counts. Defaults to `True`. The step in which an
                environment only begins a new episode does not: it is never learned.
        """
        row, arrays = self._next_row, self._arrays
        arrays["observations"][row] = observations
        arrays["next_observations"][row] = next_observations
        arrays["actions"][row] = actions
        arrays["rewards"][row] = rewards
        arrays["terminated"][row] = terminated
        arrays["ended"][row] = np.logical_or(terminated, truncated)
        arrays["valid"][row] = valid
        if self._tree is not None:
            indices = row * self.num_envs + np.arange(self.num_envs)
            priorities = self._largest_priority * arrays["valid"][row]
            _sum_tree.set_leaves(self._tree, indices, priorities)
        self._next_row = (row + 1) % self._rows
        self._stored_rows = min(self._stored_rows + 1, self._rows)

    def sample(self, batch_size: int, rng: np.random.Generator) -> Batch:
        """Draws transitions, with replacement.

        Args:
            batch_size: How many.
            rng: What draws them.

        Returns:
            A named tuple of arrays: `observations`, `actions`, `returns` (sums of up
            to `n_steps` rewards), `discounts` (factors of the value of the next
            state, 0 behind a terminal one), `next_observations`, `weights` (0 for
            steps that do not count) and `indices`, for `update_priorities`.

        Raises:
            ValueError: If nothing is stored yet.
        """
        if not self._stored_rows:
            raise ValueError("The buffer is empty: `add` transitions before `sample`.")
        if self._tree is None:
            indices = rng.integers(0, len(self), batch_size)
            weights = None
        else:
            indices, weights = self._draw_by_priority(self._tree, batch_size, rng)
        rows, envs = np.divmod(indices, self.num_envs)
        arrays = self._arrays
        valid = arrays["valid"][rows, envs]
        if self.n_steps == 1:
            returns, last = arrays["rewards"][rows, envs], rows
            alive = 1.0 - arrays["terminated"][rows, envs]
            discounts = (self.discount * alive).astype("float32")
        else:
            returns, discounts, last = self._n_step(rows, envs)
        return Batch(
            observations=arrays["observations"][rows, envs],
            actions=arrays["actions"][rows, envs],
            returns=returns,
            discounts=discounts,
            next_observations=arrays["next_observations"][last, envs],
            weights=valid if weights is None else weights * valid,
            indices=indices,
        )

    def update_priorities(self, indices: Any, td_errors: Any) -> None:
        """Sets the priorities of transitions to their absolute TD errors.

        Args:
            indices: `indices` of a batch of `sample`.
            td_errors: Target less value of each transition of the batch.

        Raises:
            ValueError: If the buffer draws uniformly.
        """
        if self._tree is None or self.priority_exponent is None:
            raise ValueError(
                "This buffer draws uniformly and has no priorities: give it a "
                "`priority_exponent`."
            )
        sizes = np.abs(np.asarray(td_errors, "float64")) + SMALLEST_PRIORITY
        priorities = sizes**self.priority_exponent
        self._largest_priority = max(self._largest_priority, float(priorities.max()))
        rows, envs = np.divmod(np.asarray(indices), self.num_envs)
        priorities = priorities * self._arrays["valid"][rows, envs]
        _sum_tree.set_leaves(self._tree, np.asarray(indices), priorities)

    def get_state(self) -> dict[str, Any]:
        """All that is stored, as a dict of copied arrays and numbers."""
        state: dict[str, Any] = {k: v.copy() for k, v in self._arrays.items()}
        state["next_row"] = self._next_row
        state["stored_rows"] = self._stored_rows
        state["largest_priority"] = self._largest_priority
        if self._tree is not None:
            state["tree"] = self._tree.copy()
        return state

    def set_state(self, state: Mapping[str, Any]) -> None:
        """Goes back to what `get_state` returned.

        Args:
            state: The result of `get_state` of a buffer with the same arguments.

        Raises:
            ValueError: If it comes from a buffer with other arguments.
        """
        expected = {**self._arrays}
        if self._tree is not None:
            expected["tree"] = self._tree
        for name, array in expected.items():
            if name not in state or np.shape(state[name]) != array.shape:
                shape = np.shape(state[name]) if name in state else None
                checks.fail(
                    f"The stored `{name}` must have shape {array.shape}",
                    fix="Use a buffer with the same arguments.",
                    shape=shape,
                )
        for name, array in expected.items():
            array[...] = state[name]
        self._next_row = int(state["next_row"])
        self._stored_rows = int(state["stored_rows"])
        self._largest_priority = float(state["largest_priority"])

    def end_episodes(self) -> None:
        """Marks the newest step as cut off: the next one does not follow from it."""
        if self._stored_rows:
            self._arrays["ended"][self._next_row - 1] = 1.0

    def _draw_by_priority(
        self, tree: np.ndarray, batch_size: int, rng: np.random.Generator
    ) -> tuple[Any, Any]:
        # One draw from each of `batch_size` equal parts of the sum of priorities.
        parts = (np.arange(batch_size) + rng.random(batch_size)) / batch_size
        indices = _sum_tree.find(tree, parts * tree[1])
        probabilities = tree[indices + len(tree) // 2] / max(tree[1], 1e-300)
        if not probabilities.all():  # nothing valid is stored yet: weights of 0 follow
            return indices, np.zeros(batch_size, "float32")
        weights = (len(self) * probabilities) ** -self.importance_exponent
        return indices, (weights / weights.max()).astype("float32")

    def _n_step(self, rows: Any, envs: Any) -> tuple[Any, Any, Any]:
        steps = np.arange(self.n_steps)
        oldest = self._next_row if self._stored_rows == self._rows else 0
        age = (rows - oldest) % self._rows
        window = (rows[:, None] + steps) % self._rows
        stored = (age[:, None] + steps < self._stored_rows).astype("float32")
        at = (window, envs[:, None])
        returns, discounts, last = n_step_returns(
            self._arrays["rewards"][at],
            self._arrays["terminated"][at],
            self._arrays["ended"][at],
            stored,
            self.discount,
            np,
        )
        return returns, discounts.astype("float32"), (rows + last) % self._rows
