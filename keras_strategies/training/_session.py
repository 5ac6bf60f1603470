"""One call of `fit`, `evaluate` or `predict` whose batches come as launches."""

import itertools

import keras
import numpy as np

from keras_strategies.training._launches import Launch

# What each of Keras's loops calls for its steps, by the kind of step.
FUNCTIONS = {
    "train": "train_function",
    "test": "test_function",
    "predict": "predict_function",
}
_TICKET = "keras_strategies_launch"


def is_jax():
    return keras.backend.backend() == "jax"


def device():
    """The module that knows the backend's device."""
    if is_jax():
        from keras_strategies.training import _loop_jax as module
    else:
        from keras_strategies.training import _loop_tensorflow as module
    return module


def make_loop(model, kind, batch_size, xla):
    """The compiled loop for one kind of step."""
    module, name = device(), "Jax" if is_jax() else "TensorFlow"
    if kind == "predict":
        return getattr(module, f"{name}Prediction")(model, batch_size, xla)
    return getattr(module, f"{name}Loop")(model, kind, batch_size, xla)


class Feed:
    """What stands as data in Keras's loops: an iterable of passes over a source.

    On TensorFlow a pass yields the launches. `predict` takes one item a batch there:
    with `blanks` each launch is followed by fillers for its other batches. On JAX the
    loop moves everything it takes out of the data to the device, perhaps ahead of its
    time: there a pass yields tickets, and `launch` takes what is next in the pass.
    """

    def __init__(self, source, blanks=False):
        self._source, self._blanks, self._passes = source, blanks, []

    def __iter__(self):
        self._passes.append(iter(self._source))
        if is_jax():
            number = np.full((1,), len(self._passes) - 1, np.int32)
            return itertools.repeat({_TICKET: number})
        return Pass(self._passes[-1], self._blanks)

    def launch(self, ticket):
        """The next launch of the pass that a ticket is for."""
        return next(self._passes[int(ticket[_TICKET][0])])

    def close(self):
        """Ends every pass and frees what they hold."""
        for launches in self._passes:
            launches.close()
        self._passes = []
        self._source.close()


class Pass:
    """The launches of one pass, each with its fillers."""

    def __init__(self, launches, blanks):
        self._launches, self._blanks, self._left = launches, blanks, 0

    def __iter__(self):
        return self

    def __next__(self):
        if self._left:
            self._left -= 1
            return None
        launch = next(self._launches)
        if self._blanks:
            self._left = launch.batches - 1
        return launch


class TensorFlowFunction:
    """Stands as `train_function` or its siblings: launches go to the loop.

    Data of other origin, as from `train_on_batch` in a callback, go to the function
    that Keras makes.
    """

    def __init__(self, loop, make_stock):
        self._loop, self._make_stock, self._stock = loop, make_stock, None

    def __call__(self, data):
        if isinstance(data, Pass):
            return self._loop(next(data))
        if isinstance(data, list) and isinstance(data[0], Launch):
            return self._loop(data[0])
        if self._stock is None:
            self._stock = self._make_stock()
        return self._stock(data)


class JaxFunction:
    """The same with JAX's signature."""

    def __init__(self, loop, make_stock, feed):
        self._loop, self._make_stock, self._stock = loop, make_stock, None
        self._feed = feed

    def __call__(self, state, iterator):
        item = next(iterator)
        if isinstance(item, dict) and _TICKET in item:
            return self._loop(state, self._feed.launch(item))
        if self._stock is None:
            self._stock = self._make_stock()
        return self._stock(state, itertools.chain([item], iterator))


def make_function(loop, make_stock, feed):
    """What to set as `train_function`, `test_function` or `predict_function`."""
    if is_jax():
        return JaxFunction(loop, make_stock, feed)
    return TensorFlowFunction(loop, make_stock)
