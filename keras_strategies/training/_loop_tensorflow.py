"""A loop of training steps as one TensorFlow function, in graph mode or in XLA."""

import keras

from keras_strategies._internal.keras_private.launches import has_stock_step


class TensorFlowLoop:
    """Runs the steps of one launch, with the logs of the last one.

    The number of steps is an argument of the compiled function, so that one program
    serves launches of any length; only a partial batch is a program of its own.
    `kind` is `"train"` or `"test"`.
    """

    def __init__(self, model, kind, batch_size, xla):
        import tensorflow as tf

        self._tf, self._model, self._batch_size = tf, model, batch_size
        self._name = f"{kind}_step"
        self._carries_logs = not has_stock_step(model, self._name)
        self._loop = compiled(tf, self._run_loop, xla)
        self._single = compiled(tf, self._run_single, xla)

    def __call__(self, launch):
        tf, logs = self._tf, None
        data, order, loose = launch.data, launch.order, launch.loose
        if launch.full:
            first, full = tf.constant(launch.first), tf.constant(launch.full)
            logs = self._loop(data, order, first, full, loose)
        if launch.rest:
            begin = (launch.first + launch.full) * self._batch_size
            logs = self._single(data, order, tf.constant(begin), launch.rest, loose)
        return logs

    def _step(self, data, order, begin, rows, loose):
        batch = take_rows(self._tf, data, order, begin, rows)
        if loose:
            batch = without_size(self._tf, batch)
        return getattr(self._model, self._name)(batch)

    def _run_single(self, data, order, begin, rows, loose):
        logs = self._step(data, order, begin, rows, loose)
        return logs if self._carries_logs else self._model.get_metrics_result()

    def _run_loop(self, data, order, first, full, loose):
        tf, size = self._tf, self._batch_size
        logs = self._empty_logs(data, order) if self._carries_logs else ()

        def body(number, logs):
            new = self._step(data, order, number * size, size, loose)
            if self._carries_logs:
                logs = tf.nest.map_structure(
                    lambda old, value: tf.cast(value, old.dtype), logs, new
                )
            return number + 1, logs

        _, logs = tf.while_loop(
            lambda number, _: number < first + full,
            body,
            (first, logs),
            parallel_iterations=1,
        )
        return logs if self._carries_logs else self._model.get_metrics_result()

    def _empty_logs(self, data, order):
        tf = self._tf

        @tf.function
        @tf.autograph.experimental.do_not_convert
        def one_step(data, order):
            return self._step(data, order, 0, self._batch_size, False)

        traced = one_step.get_concrete_function(*specs(tf, (data, order)))
        return tf.nest.map_structure(
            lambda output: tf.zeros(output.shape, output.dtype),
            traced.structured_outputs,
        )


class TensorFlowPrediction:
    """Predicts the batches of one launch and returns the rows of all of them."""

    def __init__(self, model, batch_size, xla):
        import tensorflow as tf

        self._tf, self._model, self._batch_size = tf, model, batch_size
        self._xla = xla
        self._loop = compiled(tf, self._run_loop, xla)
        self._single = compiled(tf, self._run_single, xla)

    def __call__(self, launch):
        tf, parts = self._tf, []
        if launch.full:
            first, full = tf.constant(launch.first), launch.full
            # XLA wants to know how large the outputs are.
            full = full if self._xla else tf.constant(full)
            parts.append(self._loop(launch.data, launch.order, first, full))
        if launch.rest:
            begin = (launch.first + launch.full) * self._batch_size
            begin = tf.constant(begin)
            parts.append(self._single(launch.data, launch.order, begin, launch.rest))
        return keras.tree.map_structure(lambda *rows: tf.concat(rows, 0), *parts)

    def _run_single(self, data, order, begin, rows):
        return self._model.predict_step(take_rows(self._tf, data, order, begin, rows))

    def _run_loop(self, data, order, first, full):
        tf, size = self._tf, self._batch_size

        @tf.function
        @tf.autograph.experimental.do_not_convert
        def one_step(data, order):
            return self._run_single(data, order, 0, size)

        traced = one_step.get_concrete_function(*specs(tf, (data, order)))
        outputs = traced.structured_outputs
        arrays = [
            tf.TensorArray(output.dtype, full, element_shape=output.shape)
            for output in keras.tree.flatten(outputs)
        ]

        def body(number, arrays):
            new = self._run_single(data, order, (first + number) * size, size)
            leaves = keras.tree.flatten(new)
            pairs = zip(arrays, leaves, strict=True)
            return number + 1, [array.write(number, leaf) for array, leaf in pairs]

        _, arrays = tf.while_loop(
            lambda number, _: number < full, body, (tf.constant(0), arrays)
        )
        rows = [array.concat() for array in arrays]
        return keras.tree.pack_sequence_as(outputs, rows)


def compiled(tf, function, xla):
    """A `tf.function`, traced as Keras traces its steps."""
    untouched = tf.autograph.experimental.do_not_convert(function)
    made = tf.function(untouched, jit_compile=xla)
    # A launch is called once an epoch: TensorFlow would take the first calls, with
    # and without a partial batch, for needless traces and warn. No public switch.
    made._omit_frequent_tracing_warning = True
    return made


def take_rows(tf, data, order, begin, rows):
    """The rows from `begin` of the data, through `order` if there is one."""
    if order is not None:
        order = tf.slice(order, [begin], [rows])

    def take(leaf):
        if leaf is None:
            return None
        if order is not None:
            return tf.gather(leaf, order)
        start = [begin] + [0] * (leaf.shape.rank - 1)
        return tf.slice(leaf, start, [rows, *leaf.shape[1:]])

    return keras.tree.map_structure(take, data)


def without_size(tf, batch):
    """The batch with an unknown number of rows while the step is traced.

    So it is in Keras's loop if the last batch is a partial one, and what depends on it
    shall be the same: the means of the losses of single outputs weigh each batch by
    its number of rows only if that is known.
    """

    def hide(leaf):
        if leaf is None:
            return None
        shape = [None, *leaf.shape[1:]]
        return tf.compat.v1.placeholder_with_default(leaf, shape)

    return keras.tree.map_structure(hide, batch)


def specs(tf, tensors):
    """What to trace a function for."""
    return keras.tree.map_structure(
        lambda leaf: None if leaf is None else tf.TensorSpec(leaf.shape, leaf.dtype),
        tensors,
    )


def to_device(arrays):
    """NumPy arrays as tensors."""
    import tensorflow as tf

    return keras.tree.map_structure(
        lambda leaf: None if leaf is None else tf.constant(leaf), arrays
    )


def permutation(rows, seed, number):
    """The order of the rows in pass `number`, made on the device."""
    import tensorflow as tf

    return tf.random.experimental.stateless_shuffle(tf.range(rows), seed=[seed, number])
