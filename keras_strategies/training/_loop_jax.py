"""A loop of training steps as one JAX program."""

import functools

import keras


class JaxLoop:
    """Runs the steps of one launch from a state to the next, with the last logs.

    A `fori_loop`: unlike `scan` its length is an argument, so that one program
    serves launches of any length; only a partial batch is a program of its own. The
    memory of the old state is given away, as Keras does. `kind` is `"train"` or
    `"test"`.
    """

    def __init__(self, model, kind, batch_size, xla=True):
        import jax

        self._jax, self._batch_size = jax, batch_size
        step = getattr(model, f"{kind}_step")
        # A function of its own: JAX keeps what it compiled under the function.
        self._step = lambda state, batch: step(state, batch)
        self._loop = jax.jit(self._run_loop, donate_argnums=0)
        self._single = jax.jit(self._run_single, donate_argnums=0, static_argnums=4)

    def __call__(self, state, launch):
        logs, data, order = None, launch.data, launch.order
        if launch.full:
            last = launch.first + launch.full
            logs, state = self._loop(state, data, order, launch.first, last)
        if launch.rest:
            begin = (launch.first + launch.full) * self._batch_size
            logs, state = self._single(state, data, order, begin, launch.rest)
        return logs, state

    def _run_single(self, state, data, order, begin, rows):
        return self._step(state, take_rows(self._jax, data, order, begin, rows))

    def _run_loop(self, state, data, order, first, last):
        jax, size = self._jax, self._batch_size

        def one_step(number, state):
            batch = take_rows(jax, data, order, number * size, size)
            logs, new = self._step(state, batch)
            # The loop wants the very types it began with.
            return logs, like(jax, state, new)

        shapes, _ = jax.eval_shape(one_step, first, state)
        empty = jax.tree.map(
            lambda leaf: jax.numpy.zeros(leaf.shape, leaf.dtype), shapes
        )

        def body(number, carried):
            logs, state = one_step(number, carried[1])
            return like(jax, empty, logs), state

        return jax.lax.fori_loop(first, last, body, (empty, state))


class JaxPrediction:
    """Predicts the batches of one launch and returns the rows of all of them."""

    def __init__(self, model, batch_size, xla=True):
        import jax

        self._jax, self._batch_size = jax, batch_size
        self._step = lambda state, batch: model.predict_step(state, batch)
        self._loop = jax.jit(self._run_loop, static_argnums=4)
        self._single = jax.jit(self._run_single, static_argnums=4)

    def __call__(self, state, launch):
        jax, parts = self._jax, []
        data, order = launch.data, launch.order
        if launch.full:
            rows, state = self._loop(state, data, order, launch.first, launch.full)
            parts.append(rows)
        if launch.rest:
            begin = (launch.first + launch.full) * self._batch_size
            rows, state = self._single(state, data, order, begin, launch.rest)
            parts.append(rows)
        joined = jax.tree.map(lambda *rows: jax.numpy.concatenate(rows), *parts)
        return joined, state

    def _run_single(self, state, data, order, begin, rows):
        batch = take_rows(self._jax, data, order, begin, rows)
        outputs, others = self._step(state, batch)
        return outputs, like(self._jax, state, (state[0], others))

    def _run_loop(self, state, data, order, first, full):
        jax, size = self._jax, self._batch_size

        def body(state, number):
            outputs, state = self._run_single(state, data, order, number * size, size)
            return state, outputs

        numbers = first + jax.numpy.arange(full)
        state, outputs = jax.lax.scan(body, state, numbers)
        join = lambda rows: rows.reshape((-1, *rows.shape[2:]))  # noqa: E731
        return jax.tree.map(join, outputs), state


def like(jax, old, new):
    """`new` in the structure and the types of `old`."""
    leaves, structure = jax.tree.flatten(old)
    cast = jax.lax.convert_element_type
    pairs = zip(leaves, jax.tree.leaves(new), strict=True)
    return jax.tree.unflatten(structure, [cast(b, a.dtype) for a, b in pairs])


def take_rows(jax, data, order, begin, rows):
    """The rows from `begin` of the data, through `order` if there is one."""
    cut = functools.partial(jax.lax.dynamic_slice_in_dim, slice_size=rows)
    if order is None:
        return jax.tree.map(lambda leaf: cut(leaf, begin), data)
    order = cut(order, begin)
    # Rows are there: to check it costs a tenth of a small model's step.
    take = lambda leaf: leaf.at[order].get(mode="promise_in_bounds")  # noqa: E731
    return jax.tree.map(take, data)


def to_device(arrays):
    """NumPy arrays as JAX arrays."""
    import jax

    return keras.tree.map_structure(
        lambda leaf: None if leaf is None else jax.device_put(leaf), arrays
    )


def wait(results):
    """Until they are computed."""
    import jax

    jax.block_until_ready(results)


def permutation(rows, seed, number):
    """The order of the rows in pass `number`, made on the device."""
    import jax

    key = jax.random.fold_in(jax.random.key(seed), number)
    return jax.random.permutation(key, rows)
