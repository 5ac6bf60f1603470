"""Acting and learning as one compiled step, on each backend."""

from typing import Any

import keras
import numpy as np
from keras import ops

from keras_strategies._internal.keras_private import flatten_layers
from keras_strategies._internal.model_graph import (
    Rewriter,
    clone_model,
    rebuild_reason,
)
from keras_strategies.recipes._dqn._network import sample_loss
from keras_strategies.recipes._dqn._settings import Settings
from keras_strategies.recipes._dqn._targets import chosen, td_targets, valid_mean

# A step of CartPole's network on 2 cores, of processor time: 0.7 ms with XLA and 1.8 ms
# without at 1 sample, 2.1 ms both at 128.
_LARGEST_OF_XLA = 16


class Learner:
    """The online and the target network, and one gradient step.

    `learn_and_act(batch, observations)` first learns from the batch, then chooses the
    best actions: one call for each step of the environments, in which the backend
    runs one compiled program (eager on Torch).
    """

    def __init__(self, network: Any, settings: Settings) -> None:
        self.network, self.settings = network, settings
        rebuilds = rebuild_reason(network) is None  # not compiled: it never trains
        self.target = Rewriter(network).rebuild() if rebuilds else clone_model(network)
        self.target.set_weights(network.get_weights())
        self.target.trainable = False
        self.loss = sample_loss(network)
        network.optimizer.build(network.trainable_variables)
        self._compile()

    def loss_and_errors(self, online: Any, target: Any, batch: Any) -> tuple[Any, Any]:
        """Loss of a batch and its TD errors; `online(x, training)`, `target(x)`."""
        values = chosen(online(batch.observations, True), batch.actions)
        # Double Q-learning (van Hasselt et al., 2016): the online network chooses, the
        # target network values, so that noise is not maximized over.
        next_online = (
            online(batch.next_observations, False) if self.settings.double else None
        )
        targets = ops.stop_gradient(
            td_targets(
                batch.returns,
                batch.discounts,
                target(batch.next_observations),
                next_online,
            )
        )
        # A last axis of one: Keras's losses take the mean over it, so that a number a
        # sample is left.
        losses = self.loss(ops.expand_dims(targets, -1), ops.expand_dims(values, -1))
        loss = valid_mean(ops.reshape(losses, (-1,)), batch.weights)
        return loss, targets - values

    def target_step(self, iterations: Any) -> Any:
        """How far the target network moves to the online one after this update."""
        interval, tau = self.settings.target_update_interval, float(self.settings.tau)
        if interval == 1:
            return tau
        return ops.where(ops.equal(iterations % interval, 0), tau, 0.0)

    def sync(self) -> None:
        """Writes everything back into the variables of the models."""

    def refresh(self) -> None:
        """Reads the variables of the models again, after others changed them."""

    def _compile(self) -> None:
        raise NotImplementedError

    def learn_and_act(self, batch: Any, observations: Any) -> tuple[Any, Any, Any]:
        """`(loss, TD errors, actions)` after one update."""
        raise NotImplementedError

    def act(self, observations: Any) -> Any:
        """The best actions, as a NumPy array."""
        raise NotImplementedError


class _EagerLearner(Learner):
    """Learning by assignment to variables, for TensorFlow and Torch."""

    def _online(self, x: Any, training: bool) -> Any:
        q_values = self.network(x, training=training)
        if training:  # penalties of this call, not of the one for the targets
            self._penalties = list(self.network.losses)
        return q_values

    def _target(self, x: Any) -> Any:
        return self.target(x, training=False)

    def _total_loss(self, batch: Any) -> tuple[Any, Any, Any]:
        loss, errors = self.loss_and_errors(self._online, self._target, batch)
        total = loss
        for penalty in self._penalties:
            total = total + penalty
        return total, loss, errors

    def _move_target(self) -> None:
        step = self.target_step(self.network.optimizer.iterations)
        copies = isinstance(step, float) and step == 1.0
        for old, new in zip(self.target.weights, self.network.weights, strict=True):
            if keras.backend.is_float_dtype(new.dtype):
                old.assign(new if copies else old + step * (new - old))


class TensorFlowLearner(_EagerLearner):
    """One `tf.function`."""

    def _compile(self) -> None:
        import tensorflow as tf

        self._tensor = tf.constant
        self._greedy = tf.function(self._best)
        self._fused = tf.function(
            self._learn_and_best, jit_compile=self._uses_xla() or None
        )

    def _uses_xla(self) -> bool:
        chosen = self.settings.jit_compile
        if chosen != "auto":
            return chosen
        layers = flatten_layers(self.network)
        small = self.settings.batch_size <= _LARGEST_OF_XLA
        return small and all(layer.supports_jit for layer in layers)

    def _best(self, observations: Any) -> Any:
        return ops.argmax(self.network(observations, training=False), axis=-1)

    def _learn_and_best(self, batch: Any, observations: Any) -> tuple[Any, Any, Any]:
        import tensorflow as tf

        variables = self.network.trainable_variables
        with tf.GradientTape() as tape:
            total, loss, errors = self._total_loss(batch)
            scaled = self.network.optimizer.scale_loss(total)
        gradients = tape.gradient(scaled, [v.value for v in variables])
        self.network.optimizer.apply(gradients, variables)
        self._move_target()
        return loss, errors, self._best(observations)

    def learn_and_act(self, batch: Any, observations: Any) -> tuple[Any, Any, Any]:
        # Tensors: a call with arrays takes more than twice the time. Not the indices:
        # the program does not need them.
        batch = type(batch)(*map(self._tensor, batch[:-1]), indices=())
        loss, errors, actions = self._fused(batch, self._tensor(observations))
        return loss, errors, actions.numpy()

    def act(self, observations: Any) -> Any:
        return self._greedy(self._tensor(observations)).numpy()


class TorchLearner(_EagerLearner):
    """Eager steps."""

    def _compile(self) -> None:
        pass

    def _tensors(self, values: Any) -> Any:
        return keras.tree.map_structure(ops.convert_to_tensor, values)

    def act(self, observations: Any) -> Any:
        import torch

        with torch.no_grad():
            q_values = self.network(self._tensors(observations), training=False)
            return q_values.argmax(-1).cpu().numpy()

    def learn_and_act(self, batch: Any, observations: Any) -> tuple[Any, Any, Any]:
        import torch

        batch = self._tensors(batch)
        self.network.zero_grad()
        total, loss, errors = self._total_loss(batch)
        variables = self.network.trainable_variables
        self.network.optimizer.scale_loss(total).backward()
        with torch.no_grad():
            gradients = [v.value.grad for v in variables]
            self.network.optimizer.apply(gradients, variables)
            self._move_target()
        return loss.detach(), errors.detach(), self.act(observations)


class JaxLearner(Learner):
    """One jitted function of a state that is never copied."""

    def _compile(self) -> None:
        import jax

        self.refresh()
        # Compiled evaluations, by environment and number of episodes.
        self.programs = {}
        self._greedy = jax.jit(self.greedy)
        self._fused = jax.jit(self.step, donate_argnums=0)

    def _variables(self) -> dict[str, Any]:
        return {
            "trainable": self.network.trainable_variables,
            "other": self.network.non_trainable_variables,
            "target": self.target.non_trainable_variables,
            "optimizer": self.network.optimizer.variables,
        }

    def refresh(self) -> None:
        # Copies: a donated array of a variable would be deleted under it.
        self.state = keras.tree.map_structure(
            lambda variable: ops.copy(variable.value), self._variables()
        )

    def sync(self) -> None:
        for name, group in self._variables().items():
            for variable, value in zip(group, self.state[name], strict=True):
                variable.assign(ops.copy(value))

    def greedy(self, state: Any, observations: Any) -> Any:
        """The best actions: a pure function."""
        q_values, _ = self.network.stateless_call(
            state["trainable"], state["other"], observations, training=False
        )
        return ops.argmax(q_values, axis=-1)

    def update(self, state: Any, batch: Any) -> tuple[Any, Any, Any]:
        """`(state, loss, TD errors)` after one update: a pure function."""
        import jax

        def target(x):
            frozen = state["target"]
            return self.target.stateless_call([], frozen, x, training=False)[0]

        def total_loss(trainable):
            other, penalties = state["other"], []

            def online(x, training):
                nonlocal other
                result, after, losses = self.network.stateless_call(
                    trainable, other, x, training=training, return_losses=True
                )
                if training:
                    other = after
                    penalties.extend(losses)
                return result

            loss, errors = self.loss_and_errors(online, target, batch)
            total = loss + sum(penalties)
            return self._scaled(total, state), (loss, errors, other)

        gradient = jax.grad(total_loss, has_aux=True)
        gradients, (loss, errors, other) = gradient(state["trainable"])
        trainable, optimizer = self.network.optimizer.stateless_apply(
            state["optimizer"], gradients, state["trainable"]
        )
        after = {"trainable": trainable, "other": other, "optimizer": optimizer}
        after["target"] = self._moved_target(state["target"], after)
        return after, loss, errors

    def _scaled(self, total: Any, state: Any) -> Any:
        """The loss times the scale of a `LossScaleOptimizer`, read from the state."""
        variables = self.network.optimizer.variables
        mapping = list(zip(variables, state["optimizer"], strict=True))
        with keras.StatelessScope(state_mapping=mapping):
            return self.network.optimizer.scale_loss(total)

    def _moved_target(self, target: Any, after: Any) -> list[Any]:
        variables = [
            *self.network.trainable_variables,
            *self.network.non_trainable_variables,
        ]
        values = [*after["trainable"], *after["other"]]
        new = {id(v): value for v, value in zip(variables, values, strict=True)}
        pairs = zip(self.target.weights, self.network.weights, strict=True)
        online = {id(old): new[id(variable)] for old, variable in pairs}
        step = self.target_step(after["optimizer"][self._iterations_index()])
        moved = []
        for old, variable in zip(
            target, self.target.non_trainable_variables, strict=True
        ):
            # States of random numbers stay.
            moves = id(variable) in online
            moves = moves and keras.backend.is_float_dtype(variable.dtype)
            moved.append(old + step * (online[id(variable)] - old) if moves else old)
        return moved

    def _iterations_index(self) -> int:
        iterations = self.network.optimizer.iterations
        variables = self.network.optimizer.variables
        return next(i for i, v in enumerate(variables) if v is iterations)

    def step(
        self, state: Any, batch: Any, observations: Any
    ) -> tuple[Any, tuple[Any, Any, Any]]:
        """`(state, (loss, TD errors, actions))`: learns, then acts; a pure function."""
        state, loss, errors = self.update(state, batch)
        return state, (loss, errors, self.greedy(state, observations))

    def learn_and_act(self, batch: Any, observations: Any) -> tuple[Any, Any, Any]:
        batch = batch._replace(indices=())
        self.state, (loss, errors, actions) = self._fused(
            self.state, batch, observations
        )
        return loss, errors, np.asarray(actions)

    def act(self, observations: Any) -> Any:
        return np.asarray(self._greedy(self.state, observations))


def make_learner(network: Any, settings: Settings) -> Learner:
    """The learner of the backend in use."""
    backends = {
        "tensorflow": TensorFlowLearner,
        "jax": JaxLearner,
        "torch": TorchLearner,
    }
    backend = keras.backend.backend()
    if backend not in backends:
        raise NotImplementedError(
            "Deep Q-learning needs the TensorFlow, JAX or Torch backend. "
            f"Received: backend={backend!r}."
        )
    return backends[backend](network, settings)
