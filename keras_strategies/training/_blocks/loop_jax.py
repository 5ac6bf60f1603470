"""Loops of steps as one JAX program."""

import contextlib
import functools
import itertools
from collections.abc import Callable, Iterator
from types import ModuleType
from typing import Any

import keras

from keras_strategies._internal.keras_private.averages import moved_averages
from keras_strategies._internal.keras_private.fit_loop import put_back_state
from keras_strategies._internal.keras_private.optimizers import optimizer_slots
from keras_strategies.training._launches.step_block import StepBlock
from keras_strategies.training._launches.step_program import Launched, StepProgram


class JaxLoop:
    """Runs the steps of one block from a state to the next, with the last logs.

    A `fori_loop`: unlike that of `scan` its length is an argument, so that one program
    serves blocks of any length; only a partial batch needs another program. The old
    state is donated, as by Keras. `kind` is `"train"` or `"test"`.
    """

    def __init__(
        self, model: keras.Model, kind: str, batch_size: int, xla: bool = True
    ):
        import jax

        self._jax, self._batch_size, self._model = jax, batch_size, model
        self._programs = {}
        step = getattr(model, f"{kind}_step")
        # A new function object: JAX caches compiled programs by the function.
        self._step = lambda state, batch: step(state, batch)
        self._loop = jax.jit(self._run_loop, donate_argnums=0)
        self._single = jax.jit(self._run_single, donate_argnums=0, static_argnums=4)

    def __call__(self, state: Any, block: StepBlock) -> tuple[Any, Any]:
        logs, data, order = None, block.data, block.order
        state = without_repetitions(self._jax, state)
        last = block.first_batch + block.full_batches
        if block.full_batches:
            arguments = state, data, order, block.first_batch, last
            with kept_state(self._model, self._loop, arguments) as results:
                logs, state = results
        if rows := block.partial_batch_rows:
            arguments = state, data, order, last * self._batch_size, rows
            with kept_state(self._model, self._single, arguments) as results:
                logs, state = results
        return logs, state

    def launch(
        self, state: Any, block: StepBlock, program: StepProgram, inputs: Any
    ) -> Launched:
        """Runs the full batches of a block with what a program adds to the steps.

        Args:
            state: State of the model.
            block: A block without a partial batch.
            program: What is added.
            inputs: `(tables, weights)`: values of its variables and weights of its
                averages for each step.
        """
        if program.key not in self._programs:
            run = functools.partial(self._run_program, program)
            self._programs[program.key] = self._jax.jit(run, donate_argnums=0)
        state = without_repetitions(self._jax, state)
        averages = () if program.averages is None else tuple(program.averages.tensors)
        last = block.first_batch + block.full_batches
        arrays = block.data, block.order
        given = state, averages, arrays, block.first_batch, last, inputs
        with kept_state(self._model, self._programs[program.key], given) as results:
            count, records, averages, logs, state = results
            if program.averages is not None:
                program.averages.tensors = averages
            count = int(count)  # waits for the program
        return Launched(logs, records, count, state)

    def _run_program(self, program, state, averages, arrays, first, last, inputs):
        jax, size, numpy = self._jax, self._batch_size, self._jax.numpy
        data, order = arrays
        tables, weights = inputs
        slots = optimizer_slots(program.variables, self._model.optimizer)
        places = positions(self._model, program.averaged)

        def step(index, state):
            optimizer = list(state[2])
            for slot, table in zip(slots, tables, strict=True):
                optimizer[slot] = table[index].astype(optimizer[slot].dtype)
            state = (*state[:2], optimizer, *state[3:])
            batch = rows_of_batch(jax, data, order, (first + index) * size, size)
            logs, new = self._step(state, batch)
            return logs, like(jax, state, new)

        shapes, _ = jax.eval_shape(step, 0, state)
        zeros = lambda leaf: numpy.zeros(leaf.shape, leaf.dtype)  # noqa: E731
        empty = jax.tree.map(zeros, shapes)
        slots_of = lambda leaf: numpy.zeros(  # noqa: E731
            (program.capacity, *leaf.shape), leaf.dtype
        )
        records = jax.tree.map(slots_of, shapes) if program.records else ()

        def goes_on(carried):
            index, finite = carried[:2]
            return (index < last - first) & finite

        def body(carried):
            index, finite, _, state, averages, records = carried
            logs, state = step(index, state)
            logs = like(jax, empty, logs)
            if averages:
                values = [state[kind][number] for kind, number in places]
                averages = tuple(moved_averages(averages, values, weights[index]))
            if program.records:
                records = jax.tree.map(
                    lambda rows, leaf: rows.at[index].set(leaf), records, logs
                )
            if program.stops_at_nan and "loss" in logs:
                finite = numpy.isfinite(logs["loss"]).all()
            return index + 1, finite, logs, state, averages, records

        start = (0, numpy.asarray(True), empty, like(jax, state, state), averages)
        count, _, logs, state, averages, records = jax.lax.while_loop(
            goes_on, body, (*start, records)
        )
        return count, records, averages, logs, state

    def _run_single(self, state, data, order, begin, rows):
        return self._step(state, rows_of_batch(self._jax, data, order, begin, rows))

    def _run_loop(self, state, data, order, first, last):
        jax, size = self._jax, self._batch_size

        def step(number, state):
            batch = rows_of_batch(jax, data, order, number * size, size)
            logs, new = self._step(state, batch)
            # The carry of a `fori_loop` must keep its types.
            return logs, like(jax, state, new)

        # A loop carries arrays of fixed types: the logs begin as zeros of theirs.
        shapes, _ = jax.eval_shape(step, first, state)
        empty = jax.tree.map(
            lambda leaf: jax.numpy.zeros(leaf.shape, leaf.dtype), shapes
        )

        def body(number, carried):
            logs, state = step(number, carried[1])
            return like(jax, empty, logs), state

        return jax.lax.fori_loop(first, last, body, (empty, state))


class JaxPrediction:
    """Predicts the batches of one block and returns the rows of all of them."""

    def __init__(self, model: keras.Model, batch_size: int, xla: bool = True):
        import jax

        self._jax, self._batch_size = jax, batch_size
        self._step = lambda state, batch: model.predict_step(state, batch)
        self._loop = jax.jit(self._run_loop, static_argnums=4)
        self._single = jax.jit(self._run_single, static_argnums=4)

    def __call__(self, state: Any, block: StepBlock) -> tuple[Any, Any]:
        jax, parts = self._jax, []
        data, order, first = block.data, block.order, block.first_batch
        if block.full_batches:
            rows, state = self._loop(state, data, order, first, block.full_batches)
            parts.append(rows)
        if block.partial_batch_rows:
            begin = (first + block.full_batches) * self._batch_size
            rows, state = self._single(
                state, data, order, begin, block.partial_batch_rows
            )
            parts.append(rows)
        joined = jax.tree.map(lambda *rows: jax.numpy.concatenate(rows), *parts)
        return joined, state

    def _run_single(self, state, data, order, begin, rows):
        batch = rows_of_batch(self._jax, data, order, begin, rows)
        outputs, others = self._step(state, batch)
        return outputs, like(self._jax, state, (state[0], others))

    def _run_loop(self, state, data, order, first, count):
        jax, size = self._jax, self._batch_size

        def body(state, number):
            outputs, state = self._run_single(state, data, order, number * size, size)
            return state, outputs

        numbers = first + jax.numpy.arange(count)
        state, outputs = jax.lax.scan(body, state, numbers)
        join = lambda rows: rows.reshape((-1, *rows.shape[2:]))  # noqa: E731
        return jax.tree.map(join, outputs), state


@contextlib.contextmanager
def kept_state(
    model: keras.Model, program: Callable[..., Any], arguments: tuple[Any, ...]
) -> Iterator[Any]:
    """Yields the results of a program, whose new state no interrupt may lose.

    The program takes the old state away, and Keras's loop knows the new one, the last
    of the results, only when all of it has returned. Ctrl-C is most often pressed while
    a program runs or is waited for, and Python raises as soon as the call in C is over,
    before anything is assigned. So that call itself puts the results into a list, and
    at an error the variables of the model get them.
    """
    results: list[Any] = []
    try:
        results.extend(itertools.starmap(program, [arguments]))
        yield results[0]
    except BaseException:
        if results:
            put_back_state(model, results[0][-1])
        raise


def like(jax: ModuleType, old: Any, new: Any) -> Any:
    """Returns `new` with the structure and the types of `old`."""
    leaves, structure = jax.tree.flatten(old)
    cast = jax.lax.convert_element_type
    pairs = zip(leaves, jax.tree.leaves(new), strict=True)
    return jax.tree.unflatten(structure, [cast(b, a.dtype) for a, b in pairs])


def positions(model: keras.Model, variables: Any) -> list[tuple[int, int]]:
    """Returns where weights are in JAX's state: `(0, n)` the trainable ones."""
    places = {
        id(variable): (kind, number)
        for kind, weights in enumerate(
            (model.trainable_variables, model.non_trainable_variables)
        )
        for number, variable in enumerate(weights)
    }
    return [places[id(variable)] for variable in variables]


def without_repetitions(jax: ModuleType, state: Any) -> Any:
    """Returns a state in which each array occurs once, as it is to be donated.

    A metric that a model lists twice has its variables twice in the state.
    """
    leaves, structure = jax.tree.flatten(state)
    seen: set[int] = set()
    for number, leaf in enumerate(leaves):
        if id(leaf) in seen:
            leaves[number] = jax.numpy.copy(leaf)
        seen.add(id(leaf))
    return jax.tree.unflatten(structure, leaves)


def rows_of_batch(jax: ModuleType, data: Any, order: Any, begin: Any, rows: int) -> Any:
    """Returns the rows from `begin` on, in the given order if there is one."""
    cut = functools.partial(jax.lax.dynamic_slice_in_dim, slice_size=rows)
    if order is None:
        return jax.tree.map(lambda leaf: cut(leaf, begin), data)
    order = cut(order, begin)
    # Row numbers are in bounds; the check would cost a tenth of a small model's step.
    gather = lambda leaf: leaf.at[order].get(mode="promise_in_bounds")  # noqa: E731
    return jax.tree.map(gather, data)


def to_device(arrays: Any) -> Any:
    """Converts NumPy arrays to JAX arrays on the device."""
    import jax

    return keras.tree.map_structure(
        lambda leaf: None if leaf is None else jax.device_put(leaf), arrays
    )


def wait(results: Any) -> None:
    """Waits until arrays are computed."""
    import jax

    jax.block_until_ready(results)


def permutation(rows: int, seed: int, epoch: int) -> Any:
    """Returns a random order of the rows for an epoch, made on the device."""
    import jax

    key = jax.random.fold_in(jax.random.key(seed), epoch)
    return jax.random.permutation(key, rows)
