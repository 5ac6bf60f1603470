"""Members trained side by side as one JAX program: `vmap` over their states."""

import functools
from collections.abc import Sequence
from typing import Any

import keras
import numpy as np

from keras_strategies._internal.keras_private.step_blocks import has_stock_step
from keras_strategies._internal.weights.values import assign_values, host_values
from keras_strategies.training._blocks.loop_jax import like, rows_of_batch, to_device
from keras_strategies.training._data.arrays import num_batches
from keras_strategies.training._many.member import Member
from keras_strategies.training._many.one_after_another import Group, Start
from keras_strategies.training._many.variants import Variant

_BATCH_HOOKS = [
    f"on_{kind}{part}_{end}"
    for kind, part in (("train", "_batch"), ("batch", ""), ("test", "_batch"))
    for end in ("begin", "end")
]


def obstacle(
    start: Start, callbacks: Sequence[Sequence[Any]], arrays: bool
) -> str | None:
    """Why members cannot be one program, `None` if they can."""
    model = start.model
    if keras.backend.backend() != "jax":
        return "only JAX can map a whole training step over states"
    if start.own_programs is not None:
        return start.own_programs
    if start.is_eager:
        return "its steps are not compiled"
    if not arrays:
        return "the data are no arrays"
    for name in ("train_step", "test_step"):
        if not has_stock_step(model, name):
            return f"the model has a `{name}` of its own"
    each_once = {id(c): c for own in callbacks for c in own}
    if len(each_once) < sum(map(len, callbacks)):
        return "members share a callback"
    for callback in each_once.values():
        for hook in _BATCH_HOOKS:
            own = getattr(type(callback), hook, None)
            if own is not getattr(keras.callbacks.Callback, hook):
                return f"{type(callback).__name__} acts at each batch"
    return None


class ChangedModelError(Exception):
    """Callbacks have changed what is a constant of the program of all members."""


class OneProgram:
    """The states of some members, stacked, and one compiled epoch for all.

    Args:
        start: The model at its beginning.
        group: Members that share what is compiled; their numbers are held.
        data: `(x, y, sample_weight)` as arrays; `None` for what there is not.
        batch_size: Rows of a batch.
        validation: The same to evaluate on after each epoch, or `None`.
        shuffle: Whether each member shuffles the rows of each epoch for itself.
    """

    def __init__(
        self,
        start: Start,
        group: Group,
        data: tuple[Any, ...],
        batch_size: int,
        validation: tuple[Any, ...] | None,
        shuffle: bool,
    ):
        import jax

        self._jax, self.start = jax, start
        self._numbers = group.numbers
        self.model = start.model
        self._size, self._shuffle = batch_size, shuffle
        self._data = to_device(data)
        self._validation = None if validation is None else to_device(validation)
        self._rows = len(jax.tree.leaves(data)[0])
        self.model.reset_metrics()
        self._reset_metrics = [v.value for v in self.model.metrics_variables]
        self.begin(group.variants)
        order = 0 if shuffle else None
        # The old states are still needed for members that have stopped.
        self._train = jax.jit(jax.vmap(self._training_epoch, (0, None, order, None)))
        self._test = jax.jit(jax.vmap(self._evaluation, (0, None, None)))
        self._member = jax.jit(_member_of)

    def begin(self, variants: Sequence[Variant]) -> None:
        """Puts so many members at their beginning; what is compiled stays."""
        self.variants = list(variants)
        states = []
        for variant in variants:
            self.start.assign(variant)
            with self.start.constants.of(variant):
                self._numbers.take()
            states.append(tuple(host_values(part) for part in self._variables))
        # Stacked on the host, where no shape has to be compiled.
        stacks = self._jax.tree.map(lambda *leaves: np.stack(leaves), *states)
        self.states: Any = self._jax.device_put(stacks)
        self._orders = [np.random.default_rng(v.seed) for v in self.variants]

    @property
    def _variables(self):
        model = self.model
        return (
            model.trainable_variables,
            model.non_trainable_variables,
            model.optimizer.variables,
            model.metrics_variables,
        )

    def _state(self):
        return tuple([v.value for v in variables] for variables in self._variables)

    def _training_epoch(self, state, data, order, most):
        *others, metrics = state
        state = (*others, self._reset_metrics)
        logs, state = self._pass(self.model.train_step, state, data, order, most)
        return logs, state

    def _evaluation(self, state, data, most):
        trainable, others, _, _ = state
        state = (trainable, others, self._reset_metrics)
        logs, state = self._pass(self.model.test_step, state, data, None, most)
        # Kept is what Keras keeps: recurrent layers draw for their dropout here too.
        return logs, state[1]

    def _pass(self, step, state, data, order, most):
        """One pass over the rows: the logs of its end, and the state.

        At most `most` full batches; a value of the program, no constant, so that what
        is compiled for a timing of few batches serves whole epochs too.
        """
        jax, size = self._jax, self._size
        full, rest = divmod(len(jax.tree.leaves(data)[0]), size)

        # Compiled by itself, so that it is traced once for the shapes and the loop.
        @functools.partial(jax.jit, static_argnames="rows")
        def batch_step(number, state, data, order, rows):
            batch = rows_of_batch(jax, data, order, number * size, rows)
            logs, new = step(state, batch)
            return logs, like(jax, state, new)

        logs = {}
        if full:
            first = jax.ShapeDtypeStruct((), np.int32)
            shape_of = functools.partial(batch_step, rows=size)
            shapes, _ = jax.eval_shape(shape_of, first, state, data, order)
            empty = jax.tree.map(lambda s: jax.numpy.zeros(s.shape, s.dtype), shapes)

            def body(number, both):
                logs, new = batch_step(number, both[1], data, order, rows=size)
                return like(jax, empty, logs), new

            steps = jax.numpy.minimum(full, most)
            logs, state = jax.lax.fori_loop(0, steps, body, (empty, state))
        if rest:
            logs, state = batch_step(np.int32(full), state, data, order, rows=rest)
        return logs, state

    def epoch(
        self, active: np.ndarray, batches: int | None = None
    ) -> list[dict[str, float]]:
        """Trains the active members for an epoch; returns the logs of each.

        With `batches` it is an epoch of about so many, to time it.
        """
        most = np.int32(2**31 - 1 if batches is None else batches)
        jax = self._jax
        orders = None
        if self._shuffle:
            orders = np.stack(
                [random.permutation(self._rows) for random in self._orders]
            )
            orders = jax.numpy.asarray(orders.astype("int32"))
        logs, states = self._train(self.states, self._data, orders, most)
        self.states = self._of_active(active, states, self.states)
        logs = {name: np.asarray(value) for name, value in logs.items()}
        if self._validation is not None and batches is None:
            tested, others = self._test(self.states, self._validation, most)
            trainable, before, *rest = self.states
            others = self._of_active(active, others, before)
            self.states = (trainable, others, *rest)
            logs |= {f"val_{name}": np.asarray(value) for name, value in tested.items()}
        return [
            {name: float(value[number]) for name, value in logs.items()}
            for number in range(len(self.variants))
        ]

    def _of_active(self, active, new, old):
        """The new states of the active members, the old ones of the others."""
        if active.all():
            return new
        keep = self._jax.numpy.asarray(active)
        return self._jax.tree.map(
            lambda new, old: self._jax.numpy.where(
                keep.reshape((-1,) + (1,) * (new.ndim - 1)), new, old
            ),
            new,
            old,
        )

    def train(self, epochs: int, callbacks: Sequence[list[Any]]) -> list[Member]:
        """Trains all members; each stops by its own callbacks."""
        batches = num_batches(self._rows, self._size)
        key = self.start.form_key() if any(callbacks) else None
        self._count = self._number_of_variables()
        lists = []
        for number, own in enumerate(callbacks):
            self.model.stop_training = False
            lists.append(
                keras.callbacks.CallbackList(
                    own,
                    add_history=True,
                    model=self.model,
                    epochs=epochs,
                    steps=batches,
                    verbose=0,
                )
            )
            self._hook(callbacks, number, lists[-1].on_train_begin)
            self._check(own, key)
        active = np.ones(len(self.variants), bool)
        for epoch in range(epochs):
            if not active.any():
                break
            for number in np.flatnonzero(active):
                self._hook(callbacks, number, lists[number].on_epoch_begin, epoch)
            logs = self.epoch(active)
            for number in np.flatnonzero(active):
                self.model.stop_training = False
                hook = lists[number].on_epoch_end
                self._hook(callbacks, number, hook, epoch, logs[number])
                if self.model.stop_training:
                    active[number] = False
        for number, own in enumerate(callbacks):
            self._check(own, key)
            self._hook(callbacks, number, lists[number].on_train_end)
        stacks = [leaf for part in self.states[:2] for leaf in map(np.asarray, part)]
        of_variable = {
            id(variable): stack
            for variable, stack in zip(
                [*self._variables[0], *self._variables[1]], stacks, strict=True
            )
        }
        values = [of_variable[id(variable)] for variable in self.start.variables]
        return [
            Member(variant, dict(_history(own)), [stack[number] for stack in values])
            for number, (variant, own) in enumerate(
                zip(self.variants, lists, strict=True)
            )
        ]

    def _check(self, callbacks, key):
        """Refuses what the program, which is compiled, would not see."""
        if callbacks and self.start.note_change(key):
            raise ChangedModelError(self.start.own_programs)

    def _hook(self, callbacks, number, hook, *arguments):
        """Calls a hook of a member with its state in the model."""
        if not callbacks[number]:
            hook(*arguments)  # Of the history alone, which does not look at it.
            return
        state = self._assign(number)
        with self.start.constants.of(self.variants[number]):
            hook(*arguments)
        has_step = self.model.train_function is not None
        if has_step or self._number_of_variables() != self._count:
            self.start.own_programs = "callbacks make a step of their own"
            raise ChangedModelError(self.start.own_programs)
        self._take(number, state)

    def _number_of_variables(self):
        return len(self.model.variables) + len(self.model.optimizer.variables)

    def _assign(self, number):
        """Puts the state of a member into the model; returns it."""
        state = self._member(self.states, number)
        for variables, values in zip(self._variables, state, strict=True):
            assign_values(variables, values)
        return self._state()

    def _take(self, number, before):
        """Takes what a callback changed in the model over into the states."""
        self.states = self._jax.tree.map(
            lambda stack, old, new: stack if new is old else stack.at[number].set(new),
            self.states,
            before,
            self._state(),
        )


def _member_of(states, number):
    import jax

    return jax.tree.map(lambda leaf: leaf[number], states)


def _history(callback_list):
    for callback in callback_list.callbacks:
        if isinstance(callback, keras.callbacks.History):
            return callback.history
    raise RuntimeError("the list of callbacks has no history")


def train(
    start: Start,
    group: Group,
    callbacks: Sequence[list[Any]],
    source: Any,
    fit: dict[str, Any],
    program: OneProgram | None = None,
) -> list[Member]:
    """Trains members of one program side by side.

    With `program`, what was compiled to time it is used: that of all these members, or
    that of the first one, which then trains them one after another.
    """
    with group.numbers.held(), start.constants.of(group.variants[0]):
        if program is None:
            program = of_source(start, group, source, fit["shuffle"])
        members, width = [], len(program.variants)
        for number in range(0, len(group.variants), width):
            program.begin(group.variants[number : number + width])
            own = callbacks[number : number + width]
            members += program.train(fit["epochs"], own)
        return members


def of_source(start: Start, group: Group, source: Any, shuffle: bool) -> OneProgram:
    """The program of these members on the data of `fit_many`."""
    return OneProgram(
        start,
        group,
        source.arrays,
        source.batch_size,
        source.validation_arrays,
        bool(shuffle),
    )
