"""A plan inside a model: plain `fit`, `evaluate` and `predict` use it."""

import contextlib
import functools
import inspect
import random
import warnings

import keras

from keras_strategies._internal.keras_private.callbacks import (
    unwrap_method,
    wrap_method,
)
from keras_strategies._internal.keras_private.launches import (
    LaunchAdapter,
    are_arrays,
    auto_jit_compile,
    build_for,
    packed_arrays,
    split_validation,
    training_settings,
    unpacked,
)
from keras_strategies.training._candidates import (
    BLOCKS_HELD,
    launch_steps,
    most_steps,
)
from keras_strategies.training._launches import (
    Blocks,
    Cuts,
    Resident,
    number_of_batches,
    row_bytes,
    shuffled,
    shuffled_in_batches,
)
from keras_strategies.training._session import (
    FUNCTIONS,
    Feed,
    device,
    make_function,
    make_loop,
)
from keras_strategies.training._specification import describe, difference


class Installation:
    """Stands around the methods of one model until it is removed.

    Args:
        model: Compiled and built model.
        choices: `{"train": candidate, "test": ..., "predict": ...}`.
        data: What `describe` says of the data that the plan was made for.
        batch_size: The batch size that the plan was made for.
        memory_limit: Bytes that data may take on the device.
        seed: Seed of the orders, or `None` for one of Python's at each `fit`.

    Attributes:
        on_drop: Called without arguments when the plan is dropped.
    """

    def __init__(self, model, choices, data, batch_size, memory_limit, seed):
        self.model, self.choices, self.data = model, choices, data
        self.held_bytes = None  # of data on the device in the last `fit`
        self.batch_size, self.memory_limit, self.seed = batch_size, memory_limit, seed
        self.on_drop = None
        # While candidates are timed: how many batches an epoch is cut down to.
        self.trial = None
        self._plain = {
            name: getattr(model, name)
            for name in ("steps_per_execution", "jit_compile")
        }
        # Loops and Keras's own functions that were traced; what the sessions under
        # way have put in place; kinds of step that were traced anew by a callback.
        self._loops, self._stock, self._live, self._forced = {}, {}, {}, set()
        self._wrappers = {
            "fit": self._fit,
            "evaluate": self._evaluate,
            "predict": self._predict,
            "compile": self._compile,
            "get_compile_config": self._compile_config,
        }
        for kind, name in FUNCTIONS.items():
            self._wrappers[f"make_{name}"] = functools.partial(self._make, kind)

    def install(self):
        for name, wrapper in self._wrappers.items():
            wrap_method(self.model, name, wrapper)
        return self

    def remove(self):
        for name, wrapper in self._wrappers.items():
            unwrap_method(self.model, name, wrapper)

    def drop(self, why):
        """Takes the plan away, with a warning that says why."""
        self.remove()
        warnings.warn(
            f"The execution plan of {self.model.name!r} is dropped: {why}. Training "
            "goes on as without it; call `training.accelerate` for a new plan.",
            stacklevel=6,
        )
        if self.on_drop is not None:
            self.on_drop()

    # The methods in the place of the model's.

    def _compile(self, call, *args, **kwargs):
        self.drop("the model was compiled again")
        return call(*args, **kwargs)

    def _compile_config(self, call):
        """Stores `jit_compile` as it was meant: a file may go to another machine."""
        config = call()
        if config.get("jit_compile") == auto_jit_compile(self.model):
            config["jit_compile"] = "auto"
        return config

    def _make(self, kind, call, force=False):
        made = call(force=force)
        if force:
            for key in [key for key in self._loops if key[0] == kind]:
                del self._loops[key]
            for key in [key for key in self._stock if key[0] == kind]:
                del self._stock[key]
            if self._live:
                self._forced.add(kind)
            if kind in self._live:
                self._live[kind]()
        return made

    def _fit(self, call, *args, **kwargs):
        given = _bind("fit", self.model, args, kwargs)
        prepared, problem = self._prepare(given)
        if problem:
            self.drop(problem)
            return call(*args, **kwargs)
        if not self.choices["train"].is_launched:
            with self._stock_functions("train", "test"):
                return call(*args, **kwargs)
        with contextlib.ExitStack() as stack:
            return call(**self._launched_fit(stack, given, *prepared))

    def _evaluate(self, call, *args, **kwargs):
        given = _bind("evaluate", self.model, args, kwargs)
        is_inner = given.get("_use_cached_eval_dataset")
        if is_inner or isinstance(given["x"], LaunchAdapter):
            return call(*args, **kwargs)
        sources = (given["x"], given["y"], given["sample_weight"])
        return self._without_training("test", call, given, sources)

    def _predict(self, call, *args, **kwargs):
        given = _bind("predict", self.model, args, kwargs)
        return self._without_training("predict", call, given, (given["x"], None, None))

    # How they do it.

    def _prepare(self, given):
        """`((arrays, rows), problem)`: the training data, or why they do not fit."""
        x, y, weight = given["x"], given["y"], given["sample_weight"]
        if not are_arrays(x, y, weight):
            return None, "it was made for arrays, `fit` was given other data"
        if given["validation_split"] and given["validation_data"] is None:
            (x, y, weight), given["validation_data"] = split_validation(
                x, y, weight, given["validation_split"]
            )
            given["validation_split"] = 0.0
        arrays, rows, batch_size = packed_arrays(
            x,
            y,
            weight,
            given["batch_size"],
            given["class_weight"],
            given["steps_per_epoch"],
        )
        if arrays is None:
            return None, "it was made for dense arrays, `fit` was given others"
        problem = difference(self.data, describe(arrays))
        if not problem and batch_size != self.batch_size:
            problem = (
                f"it was made for batch_size={self.batch_size}, `fit` uses "
                f"batch_size={batch_size}"
            )
        return (arrays, rows), problem

    def _launched_fit(self, stack, given, arrays, rows):
        """Opens the session of a fit; returns the arguments for Keras's loop."""
        choice, size = self.choices["train"], self.batch_size
        self._build(arrays)
        total, exact = number_of_batches(rows, size), False
        limit = keras.config.max_steps_per_epoch()
        if given["steps_per_epoch"] or limit:
            wanted = [n for n in (given["steps_per_epoch"], limit) if n]
            total, exact = min(wanted), True
        held, largest = _nbytes(arrays), row_bytes(arrays) * size
        validation = self._validation(given)
        if validation:
            held += _nbytes(validation[0])
            largest = max(largest, row_bytes(validation[0]) * validation[2])
        resident = choice.launch == "epoch" and held <= self.memory_limit
        most = most_steps(choice.launch, largest, self.memory_limit)
        steps = launch_steps(total, total if resident else most, exact)
        self.held_bytes = held if resident else BLOCKS_HELD * steps * largest
        feeds = {
            "train": self._adapter(
                stack,
                arrays,
                Cuts(rows, size, steps, self.trial),
                resident,
                self._order(given),
            )
        }
        given.update(x=feeds["train"][1], y=None, sample_weight=None, batch_size=None)
        given.update(class_weight=None)
        if validation:
            cuts = Cuts(*validation[1:], steps)
            feeds["test"] = self._adapter(stack, validation[0], cuts, resident)
            given.update(validation_data=(feeds["test"][1],), validation_steps=None)
        sizes = {"train": size, "test": validation[2] if validation else size}
        stack.enter_context(self._launching(feeds, sizes, steps))
        return given

    def _validation(self, given):
        """`(arrays, rows, batch_size)` of validation data that are arrays."""
        if given["validation_data"] is None:
            return None
        sources = unpacked(given["validation_data"])
        size = given["validation_batch_size"] or given["batch_size"]
        return self._arrays(sources, size, given["validation_steps"])

    def _arrays(self, sources, batch_size, steps):
        """`(arrays, rows, batch_size)`, cut to the rows of `steps` steps."""
        if not are_arrays(*sources):
            return None
        arrays, rows, batch_size = packed_arrays(*sources, batch_size, None, steps)
        if arrays is None:
            return None
        limits = [n for n in (steps, keras.config.max_steps_per_epoch()) if n]
        if limits and min(limits) * batch_size < rows:
            rows = min(limits) * batch_size
            arrays = keras.tree.map_structure(
                lambda leaf: None if leaf is None else leaf[:rows], arrays
            )
        return arrays, rows, batch_size

    def _order(self, given):
        """The order of the rows in each pass of a fit, `None` as they lie."""
        if not given["shuffle"]:
            return None
        seed = random.randint(1, 10**9) if self.seed is None else self.seed
        make = shuffled_in_batches if given["shuffle"] == "batch" else shuffled
        return make(seed)

    def _adapter(self, stack, arrays, cuts, resident, order=None, blanks=False):
        """`(feed, adapter)` for Keras's loop."""
        source = Resident if resident else Blocks
        feed = Feed(source(device(), arrays, cuts, order), blanks)
        stack.callback(feed.close)
        return feed, LaunchAdapter(feed, cuts.batch_size, cuts.batches)

    def _without_training(self, kind, call, given, sources):
        choice = self.choices[kind]
        found = None
        if choice.is_launched:
            found = self._arrays(sources, given["batch_size"], given["steps"])
        if found is None:
            with self._stock_functions(kind):
                return call(**given)
        arrays, rows, size = found
        if kind == "test":
            self._build(arrays)
        with contextlib.ExitStack() as stack:
            most = most_steps("block", row_bytes(arrays) * size, self.memory_limit)
            steps = launch_steps(number_of_batches(rows, size), most)
            blanks = kind == "predict"
            cuts = Cuts(rows, size, steps)
            feed = self._adapter(stack, arrays, cuts, False, blanks=blanks)
            given.update(x=feed[1], batch_size=None, steps=None)
            if kind == "test":
                given.update(y=None, sample_weight=None)
            stack.enter_context(self._launching({kind: feed}, {kind: size}, steps))
            return call(**given)

    @contextlib.contextmanager
    def _launching(self, feeds, sizes, steps):
        """Keras's loops call our functions for the kinds of step in `feeds`."""
        model, outer = self.model, self._live
        settings = {"steps_per_execution": steps, **dict.fromkeys(FUNCTIONS.values())}
        with training_settings(model, **settings):
            puts = {
                kind: functools.partial(self._put, kind, feed, sizes[kind])
                for kind, (feed, _) in feeds.items()
            }
            for put in puts.values():
                put()
            self._live = {**outer, **puts}
            try:
                yield
            finally:
                self._live = outer
        for kind in self._forced:
            # A callback had the step traced anew: the one from before is outdated.
            setattr(model, FUNCTIONS[kind], None)
        self._forced.clear()

    def _build(self, arrays):
        """What a loop cannot make while it is traced, unless it is there."""
        size = self.batch_size
        head = keras.tree.map_structure(
            lambda leaf: None if leaf is None else leaf[:size], arrays
        )
        build_for(self.model, head)

    def _put(self, kind, feed, batch_size):
        compiler = self.choices[kind].compiler
        key = (kind, compiler, batch_size)
        if key not in self._loops:
            self._loops[key] = make_loop(
                self.model, kind, batch_size, compiler == "xla"
            )
        stock = functools.partial(self._make_stock, kind)
        function = make_function(self._loops[key], stock, feed)
        setattr(self.model, FUNCTIONS[kind], function)

    def _make_stock(self, kind):
        """Keras's own function, for data that are no launches."""
        name = FUNCTIONS[kind]
        with training_settings(self.model, **{name: None}):
            getattr(type(self.model), f"make_{name}")(self.model, force=True)
            return getattr(self.model, name)

    @contextlib.contextmanager
    def _stock_functions(self, *kinds):
        """Keras's own functions, compiled as chosen; also inside another session."""
        model, compiler = self.model, self.choices[kinds[0]].compiler
        is_plain = compiler == "plain" or self.choices[kinds[0]].is_launched
        if is_plain and not self._live:
            yield
            return
        settings = {"steps_per_execution": self._plain["steps_per_execution"]}
        jit = self._plain["jit_compile"] if is_plain else compiler == "xla"
        settings["jit_compile"] = jit
        for kind in kinds:
            settings[FUNCTIONS[kind]] = self._stock.get((kind, jit))
        with training_settings(model, **settings):
            yield
            for kind in kinds:
                self._stock[kind, jit] = getattr(model, FUNCTIONS[kind])


def _nbytes(arrays):
    leaves = keras.tree.flatten(arrays)
    return sum(leaf.nbytes for leaf in leaves if leaf is not None)


def _bind(name, model, args, kwargs):
    """All arguments of a call by name, defaults included."""
    signature = inspect.signature(getattr(keras.Model, name))
    bound = signature.bind(model, *args, **kwargs)
    bound.apply_defaults()
    given = dict(bound.arguments)
    del given["self"]
    given.update(given.pop("kwargs", {}))
    return given
