"""Loops of steps as one TensorFlow function, in graph mode or in XLA."""

import functools
import re
from collections.abc import Callable
from typing import Any

import keras

from keras_strategies._internal.graph_operations import operation_names
from keras_strategies._internal.keras_private import index_checks
from keras_strategies._internal.keras_private.averages import moved_averages
from keras_strategies._internal.keras_private.step_blocks import has_stock_step
from keras_strategies._internal.traversal import all_layers
from keras_strategies.training._launches.step_block import StepBlock
from keras_strategies.training._launches.step_program import Launched, StepProgram

# Operations that draw random numbers, by name.
_DRAWING = re.compile("Random|Multinomial|TruncatedNormal|Shuffle|Bernoulli|Rng")


class TensorFlowLoop:
    """Runs the steps of one block and returns the logs of the last step.

    The number of steps is an argument of the compiled function, so that one program
    serves blocks of any length; only a partial batch needs another program. `kind` is
    `"train"` or `"test"`.
    """

    def __init__(self, model: keras.Model, kind: str, batch_size: int, xla: bool):
        import tensorflow as tf

        self._tf, self._model, self._batch_size = tf, model, batch_size
        self._name, self._xla, self._programs = f"{kind}_step", xla, {}
        # The logs of Keras's own steps are the results of the metrics, which need not
        # be carried through the loop.
        self._carries_logs = not has_stock_step(model, self._name)
        # XLA does not notice indices out of range, as a graph does: whether there were
        # some, by kind. An embedding reads another row, a loss is NaN.
        self._bad_indices = {}
        if xla:
            self._bad_indices = {
                kind: tf.Variable(False, trainable=False) for kind in index_checks.KINDS
            }
        self._checks_indices = False
        self._loop = compiled(tf, self._run_loop, xla)
        # A graph takes partial batches of any number of rows, XLA compiles for each.
        # Random layers draw other numbers in XLA, which the whole epoch should have.
        self._single_xla = xla and draws_numbers(model)
        self._is_single_checked = False
        self._single = compiled(tf, self._run_single, self._single_xla)

    def __call__(self, block: StepBlock) -> Any:
        tf, logs = self._tf, None
        data, order, dynamic = block.data, block.order, block.dynamic_batch
        if block.full_batches:
            first = tf.constant(block.first_batch)
            count = tf.constant(block.full_batches)
            logs = self._loop(data, order, first, count, dynamic)
        if rows := block.partial_batch_rows:
            begin = (block.first_batch + block.full_batches) * self._batch_size
            logs = self._single_for(data, order, tf.constant(begin), rows, dynamic)
        if self._checks_indices:
            self._raise_for_indices()
        return logs

    def _single_for(self, data, order, begin, rows, dynamic):
        tf = self._tf
        if not self._single_xla:
            arguments = data, order, begin, tf.constant(rows), dynamic
            if not self._xla or self._is_single_checked:
                return self._single(*arguments)
            # What draws numbers cannot be seen in every layer, but in its operations.
            traced = self._single.get_concrete_function(*arguments)
            self._is_single_checked = True
            if not draws_in_graph(traced.graph):
                return self._single(*arguments)
            self._single_xla = True
            self._single = compiled(tf, self._run_single, True)
        return self._single(data, order, begin, rows, dynamic)

    def launch(self, block: StepBlock, program: StepProgram, inputs: Any) -> Launched:
        """Runs the full batches of a block with what a program adds to the steps.

        Args:
            block: A block without a partial batch.
            program: What is added.
            inputs: `(tables, weights)`: values of its variables and weights of its
                averages for each step.
        """
        tf = self._tf
        if program.key not in self._programs:
            run = functools.partial(self._run_program, program)
            self._programs[program.key] = compiled(tf, run, self._xla)
        first, count = tf.constant(block.first_batch), tf.constant(block.full_batches)
        inputs = tf.nest.map_structure(tf.constant, inputs)
        arrays = block.data, block.order
        logs, records, steps = self._programs[program.key](
            arrays, first, count, inputs, block.dynamic_batch
        )
        if self._checks_indices:
            self._raise_for_indices()
        if not self._carries_logs:
            logs = self._model.get_metrics_result()
        return Launched(logs, records, int(steps))

    def _run_program(self, program, arrays, first, count, inputs, dynamic):
        tf, size = self._tf, self._batch_size
        data, order = arrays
        tables, weights = inputs
        needs_logs = self._carries_logs or program.records
        empty = self._empty_logs(data, order) if needs_logs else ()
        # A `TensorArray` has zeros where nothing is written, after an early end.
        records = (
            [
                tf.TensorArray(leaf.dtype, program.capacity, element_shape=leaf.shape)
                for leaf in tf.nest.flatten(empty)
            ]
            if program.records
            else []
        )

        def goes_on(index, finite, logs, records):
            flags = list(self._bad_indices.values())
            ends = [index >= count, tf.logical_not(finite), *flags]
            return tf.logical_not(tf.reduce_any(ends))

        def body(index, finite, logs, records):
            for variable, table in zip(program.variables, tables, strict=True):
                variable.assign(tf.cast(table[index], variable.dtype))
            new = self._step(data, order, (first + index) * size, size, dynamic)
            if program.averages is not None:
                move_averages(program, weights[index])
            if program.stops_at_nan and "loss" in new:
                finite = tf.reduce_all(tf.math.is_finite(new["loss"]))
            if needs_logs:
                logs = tf.nest.map_structure(
                    lambda old, value: tf.cast(value, old.dtype), logs, new
                )
            leaves = tf.nest.flatten(logs) if program.records else []
            pairs = zip(records, leaves, strict=True)
            records = [record.write(index, leaf) for record, leaf in pairs]
            return index + 1, finite, logs, records

        steps, _, logs, records = tf.while_loop(
            goes_on,
            body,
            (tf.constant(0), tf.constant(True), empty, records),
            parallel_iterations=1,
        )
        if program.records:
            rows = [record.stack() for record in records]
            records = tf.nest.pack_sequence_as(empty, rows)
        return logs if self._carries_logs else (), records, steps

    def _raise_for_indices(self):
        """Raises as a step of a graph does."""
        bad = [kind for kind, flag in self._bad_indices.items() if bool(flag)]
        for flag in self._bad_indices.values():
            flag.assign(False)
        if bad:
            raise self._tf.errors.InvalidArgumentError(
                None,
                None,
                f"Some {' and '.join(bad)} in the training data are out of range: "
                "less than 0, or not less than the rows of an embedding or the classes "
                "of a loss. The step with them was made; XLA noticed it afterwards.",
            )

    def _report_index(self, kind, is_bad):
        flag, self._checks_indices = self._bad_indices[kind], True
        flag.assign(self._tf.logical_or(flag, is_bad))

    def _step(self, data, order, begin, rows, dynamic):
        batch = rows_of_batch(self._tf, data, order, begin, rows)
        if dynamic:
            batch = with_unknown_size(self._tf, batch)
        step = getattr(self._model, self._name)
        # A graph raises for an index out of range.
        is_graph = not isinstance(rows, int)
        if not self._bad_indices or is_graph:
            return step(batch)
        with index_checks.checked_indices(self._report_index):
            return step(batch)

    def _run_single(self, data, order, begin, rows, dynamic):
        logs = self._step(data, order, begin, rows, dynamic)
        return logs if self._carries_logs else self._model.get_metrics_result()

    def _run_loop(self, data, order, first, count, dynamic):
        tf, size = self._tf, self._batch_size
        # A loop carries tensors of fixed types: their zeros come from a trial trace.
        logs = self._empty_logs(data, order) if self._carries_logs else ()

        def body(number, logs):
            new = self._step(data, order, number * size, size, dynamic)
            if self._carries_logs:
                logs = tf.nest.map_structure(
                    lambda old, value: tf.cast(value, old.dtype), logs, new
                )
            return number + 1, logs

        def goes_on(number, _):
            bad = list(self._bad_indices.values())
            return tf.logical_not(tf.reduce_any([number >= first + count, *bad]))

        # One iteration at a time: each step reads the weights that the last one wrote.
        _, logs = tf.while_loop(
            goes_on,
            body,
            (first, logs),
            parallel_iterations=1,
        )
        return logs if self._carries_logs else self._model.get_metrics_result()

    def _empty_logs(self, data, order):
        tf = self._tf

        @tf.function
        @tf.autograph.experimental.do_not_convert
        def first_step(data, order):
            return self._step(data, order, 0, self._batch_size, False)

        traced = first_step.get_concrete_function(*specs(tf, (data, order)))
        return tf.nest.map_structure(
            lambda output: tf.zeros(output.shape, output.dtype),
            traced.structured_outputs,
        )


class TensorFlowPrediction:
    """Predicts the batches of one block and returns the rows of all of them."""

    def __init__(self, model: keras.Model, batch_size: int, xla: bool):
        import tensorflow as tf

        self._tf, self._model, self._batch_size = tf, model, batch_size
        self._xla = xla
        self._loop = compiled(tf, self._run_loop, xla)
        self._single = compiled(tf, self._run_single, False)

    def __call__(self, block: StepBlock) -> Any:
        tf, parts = self._tf, []
        if block.full_batches:
            first, count = tf.constant(block.first_batch), block.full_batches
            # XLA needs static shapes of the outputs.
            count = count if self._xla else tf.constant(count)
            parts.append(self._loop(block.data, block.order, first, count))
        if rows := block.partial_batch_rows:
            begin = (block.first_batch + block.full_batches) * self._batch_size
            begin, rows = tf.constant(begin), tf.constant(rows)
            parts.append(self._single(block.data, block.order, begin, rows))
        return keras.tree.map_structure(lambda *rows: tf.concat(rows, 0), *parts)

    def _run_single(self, data, order, begin, rows):
        return self._model.predict_step(
            rows_of_batch(self._tf, data, order, begin, rows)
        )

    def _run_loop(self, data, order, first, count):
        tf, size = self._tf, self._batch_size

        @tf.function
        @tf.autograph.experimental.do_not_convert
        def first_step(data, order):
            return self._run_single(data, order, 0, size)

        traced = first_step.get_concrete_function(*specs(tf, (data, order)))
        outputs = traced.structured_outputs
        arrays = [
            tf.TensorArray(output.dtype, count, element_shape=output.shape)
            for output in keras.tree.flatten(outputs)
        ]

        def body(number, arrays):
            new = self._run_single(data, order, (first + number) * size, size)
            leaves = keras.tree.flatten(new)
            pairs = zip(arrays, leaves, strict=True)
            return number + 1, [array.write(number, leaf) for array, leaf in pairs]

        _, arrays = tf.while_loop(
            lambda number, _: number < count, body, (tf.constant(0), arrays)
        )
        rows = [array.concat() for array in arrays]
        return keras.tree.pack_sequence_as(outputs, rows)


def compiled(tf: Any, function: Callable[..., Any], xla: bool) -> Callable[..., Any]:
    """Returns a `tf.function`, traced as Keras traces its steps."""
    unconverted = tf.autograph.experimental.do_not_convert(function)
    tf_function = tf.function(unconverted, jit_compile=xla)
    # With one block per epoch TensorFlow would warn of frequent traces after the first
    # calls, with and without a partial batch. There is no public switch.
    tf_function._omit_frequent_tracing_warning = True
    return tf_function


def move_averages(program: StepProgram, weight: Any) -> None:
    """Moves the averages of a program towards the weights, after a step."""
    averages = program.averages.tensors
    values = [variable.value for variable in program.averaged]
    moved = moved_averages(averages, values, weight)
    for average, value in zip(averages, moved, strict=True):
        average.assign(value)


def draws_numbers(model: keras.Model) -> bool:
    """Returns whether a layer has a generator of random numbers."""
    return any(
        isinstance(value, keras.random.SeedGenerator)
        for layer in [model, *all_layers(model)]
        for value in vars(layer).values()
    )


def draws_in_graph(graph: Any) -> bool:
    """Returns whether a traced function, or one that it calls, draws random numbers."""
    return any(map(_DRAWING.search, operation_names(graph)))


def rows_of_batch(tf: Any, data: Any, order: Any, begin: Any, rows: Any) -> Any:
    """Returns the rows from `begin` on, in the given order if there is one.

    `rows` is an integer, or a scalar tensor for a number that is open in the trace.
    """
    if order is not None:
        order = tf.slice(order, [begin], [rows])

    def gather(leaf):
        if leaf is None:
            return None
        if order is not None:
            return tf.gather(leaf, order)
        start = [begin] + [0] * (leaf.shape.rank - 1)
        part = tf.slice(leaf, start, [rows, *leaf.shape[1:]])
        part.set_shape([rows if isinstance(rows, int) else None, *leaf.shape[1:]])
        return part

    return keras.tree.map_structure(gather, data)


def with_unknown_size(tf: Any, batch: Any) -> Any:
    """Returns the batch with an unknown number of rows while the step is traced.

    As in Keras's loop if the last batch is a partial one, so that the results are the
    same: the means of the losses of single outputs weight each batch by its number of
    rows only if that is known.
    """

    def hide(leaf):
        if leaf is None:
            return None
        shape = [None, *leaf.shape[1:]]
        return tf.compat.v1.placeholder_with_default(leaf, shape)

    return keras.tree.map_structure(hide, batch)


def specs(tf: Any, tensors: Any) -> Any:
    """Returns the `tf.TensorSpec` of each tensor, to trace a function."""
    return keras.tree.map_structure(
        lambda leaf: None if leaf is None else tf.TensorSpec(leaf.shape, leaf.dtype),
        tensors,
    )


def to_device(arrays: Any) -> Any:
    """Converts NumPy arrays to tensors."""
    import tensorflow as tf

    return keras.tree.map_structure(
        lambda leaf: None if leaf is None else tf.constant(leaf), arrays
    )


def permutation(rows: int, seed: int, epoch: int) -> Any:
    """Returns a random order of the rows for an epoch, made on the device."""
    import tensorflow as tf

    return tf.random.experimental.stateless_shuffle(tf.range(rows), seed=[seed, epoch])
