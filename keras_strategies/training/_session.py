"""One call of `fit`, `evaluate` or `predict` whose batches come as launches."""

import collections
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
    time: there a pass yields tickets, and `launch` gives what a ticket stands for.
    """

    def __init__(self, source, blanks=False):
        self._source, self._blanks, self._passes = source, blanks, []
        self._ready = {}

    def __iter__(self):
        number = len(self._passes)
        self._passes.append(iter(self._source))
        if is_jax():
            return self._tickets(number)
        return Pass(self._passes[-1], self._blanks)

    def _tickets(self, number):
        waiting = self._ready[number] = collections.deque()
        ticket = {_TICKET: np.full((1,), number, np.int32)}
        for launch in self._passes[number]:
            waiting.append(launch)
            del launch  # or its data would be held until the next is there
            yield ticket

    def launch(self, ticket):
        """The next launch of the pass that a ticket is for."""
        return self._ready[int(ticket[_TICKET][0])].popleft()

    def close(self):
        """Ends every pass and frees what they hold."""
        for launches in self._passes:
            launches.close()
        self._passes, self._ready = [], {}
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
            return self._run(next(data))
        if isinstance(data, list) and isinstance(data[0], Launch):
            return self._run(data[0])
        if self._stock is None:
            self._stock = self._make_stock()
        return self._stock(data)

    def _run(self, launch):
        logs = None
        while launch is not None:
            logs, launch = self._loop(launch), launch.then
        return logs


class JaxFunction:
    """The same with JAX's signature.

    JAX would go on while a launch runs, and queue one after the other with their data.
    So the one before the last is waited for.
    """

    def __init__(self, loop, make_stock, feed):
        self._loop, self._make_stock, self._stock = loop, make_stock, None
        self._feed, self._last = feed, None

    def __call__(self, state, iterator):
        item = next(iterator)
        if isinstance(item, dict) and _TICKET in item:
            device().wait(self._last)
            logs, launch = None, self._feed.launch(item)
            while launch is not None:
                logs, state = self._loop(state, launch)
                launch = launch.then
            self._last = logs
            return logs, state
        if self._stock is None:
            self._stock = self._make_stock()
        return self._stock(state, itertools.chain([item], iterator))


def make_function(loop, make_stock, feed):
    """What to set as `train_function`, `test_function` or `predict_function`."""
    if is_jax():
        return JaxFunction(loop, make_stock, feed)
    return TensorFlowFunction(loop, make_stock)
