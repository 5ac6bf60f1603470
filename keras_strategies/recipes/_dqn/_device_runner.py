"""Environment, replay and learning in one program on the device, with JAX."""

import time
from typing import Any

import keras
import numpy as np
from keras import ops

from keras_strategies.recipes._dqn import _sum_tree_jax
from keras_strategies.recipes._dqn._history import History
from keras_strategies.recipes._dqn._learners import JaxLearner
from keras_strategies.recipes._dqn._settings import Settings
from keras_strategies.recipes._dqn._sum_tree import leaf_count
from keras_strategies.recipes._dqn._targets import epsilon_at, n_step_returns
from keras_strategies.recipes._dqn.replay_buffer import SMALLEST_PRIORITY, Batch

# Steps of one program: long enough that calls cost nothing, short enough for a
# deadline and an interruption.
_PROGRAM_STEPS = 250


class DeviceRunner:
    """A loop of `jax.lax.scan` over steps of all environments."""

    def __init__(
        self, env: Any, learner: JaxLearner, settings: Settings, history: History
    ) -> None:
        import jax

        self.env, self.learner = env, learner
        self.settings, self.history = settings, history
        self._rows = settings.buffer_size // settings.num_envs
        self.state = self._initial_state(jax.random.PRNGKey(settings.seed))
        self._program = jax.jit(self._scan, static_argnums=(1, 2), donate_argnums=0)

    @property
    def step(self) -> int:
        """Steps of environments until now."""
        return int(self.state["step"]) * self.settings.num_envs

    def run(self, steps: int, deadline: float | None) -> None:
        """At least `steps` steps of environments, fewer behind the deadline."""
        rest = -(-steps // self.settings.num_envs)
        self.state["learner"] = self.learner.state
        # Two programs, not a condition in one: it would copy the buffer at each step.
        starts = -(-self.settings.learning_starts // self.settings.num_envs)
        while rest > 0 and (deadline is None or time.monotonic() < deadline):
            count, first = min(rest, _PROGRAM_STEPS), int(self.state["step"])
            learns = first >= starts - 1
            if not learns:
                count = min(count, starts - 1 - first)
            self.state, results = self._program(self.state, count, learns)
            # The old arrays were donated.
            self.learner.state = self.state["learner"]
            self._note(first, learns, *(np.asarray(result) for result in results))
            rest -= count

    def _note(
        self, first: int, learns: bool, returns: Any, lengths: Any, losses: Any
    ) -> None:
        envs = self.settings.num_envs
        for row in np.flatnonzero((lengths > 0).any(axis=1)):
            ended = lengths[row] > 0
            step = (first + int(row) + 1) * envs
            self.history.add_episodes(step, returns[row][ended], lengths[row][ended])
        if learns:
            self.history.add_losses(self.step, losses)

    def _initial_state(self, key: Any) -> dict[str, Any]:
        import jax

        envs = self.settings.num_envs
        key, draw = jax.random.split(key)
        uniform = jax.random.uniform(draw, (envs, self.env.num_random))
        shape, observation = (self._rows, envs), self.env.observation_shape
        buffer = {
            "observations": ops.zeros((*shape, *observation)),
            "next_observations": ops.zeros((*shape, *observation)),
            "actions": ops.zeros(shape, "int32"),
            "rewards": ops.zeros(shape),
            "terminated": ops.zeros(shape),
            "ended": ops.zeros(shape),
        }
        if self.settings.priority_exponent is not None:
            buffer["tree"] = ops.zeros((2 * leaf_count(self._rows * envs),))
            buffer["largest"] = ops.ones(())
        return {
            "env": self.env.initial_state(uniform),
            "buffer": buffer,
            "key": key,
            "step": ops.zeros((), "int32"),
            "returns": ops.zeros((envs,)),
            "lengths": ops.zeros((envs,), "int32"),
        }

    def _scan(self, state: Any, count: int, learns: bool) -> tuple[Any, Any]:
        import jax

        def step(carry, _):
            return self._one_step(carry, learns)

        return jax.lax.scan(step, state, length=count)

    def _one_step(self, state: Any, learns: bool) -> tuple[Any, Any]:
        import jax

        keys = jax.random.split(state["key"], 4)
        observations = self.env.observe(state["env"])
        actions = self._actions(state, observations, keys[1])
        after = self.env.step(state["env"], actions)
        ended = after.terminated | after.truncated
        row = state["step"] % self._rows
        buffer = self._add(state["buffer"], row, observations, actions, after, ended)
        returns, lengths = state["returns"] + after.rewards, state["lengths"] + 1
        uniform = jax.random.uniform(keys[2], (len(ended), self.env.num_random))
        stepped = {
            "env": _where(ended, self.env.initial_state(uniform), after.state),
            "key": keys[0],
            "step": state["step"] + 1,
            "returns": ops.where(ended, 0.0, returns),
            "lengths": ops.where(ended, 0, lengths),
        }
        learner, loss = state["learner"], ops.zeros(())
        if learns:
            learner, buffer, loss = self._learn(
                learner, buffer, stepped["step"], keys[3]
            )
        stepped |= {"learner": learner, "buffer": buffer}
        noted = (ops.where(ended, returns, 0.0), ops.where(ended, lengths, 0), loss)
        return stepped, noted

    def _actions(self, state: Any, observations: Any, key: Any) -> Any:
        import jax

        s = self.settings
        greedy = self.learner.greedy(state["learner"], observations)
        step = ops.cast(state["step"] * s.num_envs, "float32")
        epsilon = epsilon_at(step, s.epsilon, s.final_epsilon, s.exploration_steps, ops)
        keys = jax.random.split(key)
        explore = jax.random.uniform(keys[0], (s.num_envs,)) < epsilon
        drawn = jax.random.randint(keys[1], (s.num_envs,), 0, self.env.num_actions)
        return ops.where(explore, drawn, ops.cast(greedy, "int32"))

    def _add(
        self,
        buffer: Any,
        row: Any,
        observations: Any,
        actions: Any,
        after: Any,
        ended: Any,
    ) -> Any:
        values = {
            "observations": observations,
            "next_observations": self.env.observe(after.state),
            "actions": actions,
            "rewards": after.rewards,
            "terminated": ops.cast(after.terminated, "float32"),
            "ended": ops.cast(ended, "float32"),
        }
        stored = {name: buffer[name].at[row].set(v) for name, v in values.items()}
        if "tree" in buffer:
            indices = row * self.settings.num_envs + ops.arange(len(ended))
            stored["largest"] = buffer["largest"]
            stored["tree"] = _sum_tree_jax.set_leaves(
                buffer["tree"],
                indices,
                ops.broadcast_to(buffer["largest"], ended.shape),
            )
        return stored

    def _learn(self, learner: Any, buffer: Any, step: Any, key: Any) -> tuple[Any, ...]:
        import jax

        loss = 0.0
        for k in jax.random.split(key, self.settings.updates_per_step):
            batch = self._sample(buffer, step, ops.minimum(step, self._rows), k)
            learner, loss, errors = self.learner.update(learner, batch)
            buffer = self._set_priorities(buffer, batch.indices, errors)
        return learner, buffer, loss

    def _sample(self, buffer: Any, step: Any, stored: Any, key: Any) -> Batch:
        import jax

        s = self.settings
        weights = ops.ones((s.batch_size,))
        if "tree" in buffer:
            tree = buffer["tree"]
            uniform = jax.random.uniform(key, (s.batch_size,))
            # Stratified: one draw from each of as many equal parts of the sum (Schaul
            # et al., 2016, appendix B.2.1).
            parts = (ops.arange(s.batch_size, dtype="float32") + uniform) / s.batch_size
            indices = _sum_tree_jax.find(tree, parts * tree[1])
            chances = tree[indices + len(tree) // 2] / tree[1]
            count = ops.cast(stored * s.num_envs, "float32")
            weights = (count * chances) ** -s.importance_exponent
            # Only ever scaled down, so that a rare transition makes no giant step.
            weights = weights / ops.max(weights)
        else:
            count = stored * s.num_envs
            indices = jax.random.randint(key, (s.batch_size,), 0, count)
        rows, envs = indices // s.num_envs, indices % s.num_envs
        # A window of n steps must not run over the newest row into the oldest one.
        oldest = ops.where(step > self._rows, step % self._rows, 0)
        ages = ((rows - oldest) % self._rows)[:, None] + ops.arange(s.n_steps)
        window = ((rows[:, None] + ops.arange(s.n_steps)) % self._rows, envs[:, None])
        returns, discounts, last = n_step_returns(
            buffer["rewards"][window],
            buffer["terminated"][window],
            buffer["ended"][window],
            ops.cast(ages < stored, "float32"),
            s.discount,
            ops,
        )
        return Batch(
            buffer["observations"][rows, envs],
            buffer["actions"][rows, envs],
            returns,
            discounts,
            buffer["next_observations"][(rows + last) % self._rows, envs],
            weights,
            indices,
        )

    def _set_priorities(self, buffer: Any, indices: Any, errors: Any) -> Any:
        if "tree" not in buffer:
            return buffer
        sizes = ops.abs(errors) + SMALLEST_PRIORITY
        priorities = sizes**self.settings.priority_exponent
        tree = _sum_tree_jax.set_leaves(buffer["tree"], indices, priorities)
        largest = ops.maximum(buffer["largest"], ops.max(priorities))
        return {**buffer, "tree": tree, "largest": largest}

    def get_state(self) -> dict[str, Any]:
        """Arrays from which a resumed run goes on as if it had not stopped."""
        own = {k: v for k, v in self.state.items() if k != "learner"}
        leaves = keras.tree.flatten(own)
        return {f"device/{i}": np.asarray(leaf) for i, leaf in enumerate(leaves)}

    def set_state(self, state: dict[str, Any]) -> None:
        """Goes on from `get_state`."""
        own = {k: v for k, v in self.state.items() if k != "learner"}
        count = len(keras.tree.flatten(own))
        leaves = [ops.array(state[f"device/{i}"]) for i in range(count)]
        self.state = keras.tree.pack_sequence_as(own, leaves)


def _where(condition: Any, first: Any, second: Any) -> Any:
    def choose(a, b):
        shape = (-1, *[1] * (len(a.shape) - 1))
        return ops.where(ops.reshape(condition, shape), a, b)

    return keras.tree.map_structure(choose, first, second)
