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
    is_dataset,
    split_validation,
    training_settings,
    unpacked,
)
from keras_strategies.training._candidates import (
    BLOCKS_HELD,
    launch_steps,
    most_steps,
)
from keras_strategies.training._launches import shuffled, shuffled_in_batches
from keras_strategies.training._session import (
    FUNCTIONS,
    Feed,
    device,
    make_function,
    make_loop,
)
from keras_strategies.training._sources import Dataset, given_arrays
from keras_strategies.training._specification import difference


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
        data, problem = self._prepare(given)
        if problem:
            self.drop(problem)
            return call(*args, **kwargs)
        if not self.choices["train"].is_launched:
            with self._stock_functions("train", "test"):
                return call(*args, **kwargs)
        with contextlib.ExitStack() as stack:
            return call(**self._launched_fit(stack, given, data))

    def _evaluate(self, call, *args, **kwargs):
        given = _bind("evaluate", self.model, args, kwargs)
        is_inner = given.get("_use_cached_eval_dataset")
        if is_inner or isinstance(given["x"], LaunchAdapter):
            return call(*args, **kwargs)
        sources = (given["x"], given["y"], given["sample_weight"])
        return self._launched_call("test", call, given, sources)

    def _predict(self, call, *args, **kwargs):
        given = _bind("predict", self.model, args, kwargs)
        return self._launched_call("predict", call, given, (given["x"], None, None))

    # How they do it.

    def _prepare(self, given):
        """`(data, problem)`: the training data, or why they do not fit."""
        x, y, weight = given["x"], given["y"], given["sample_weight"]
        launched = self.choices["train"].is_launched
        if is_dataset(x):
            data = Dataset(x, given["class_weight"], given["shuffle"])
        elif not are_arrays(x, y, weight):
            made_for = self.data["source"]
            return None, f"it was made for {made_for}, `fit` was given other data"
        else:
            if given["validation_split"] and given["validation_data"] is None:
                (x, y, weight), given["validation_data"] = split_validation(
                    x, y, weight, given["validation_split"]
                )
                given["validation_split"] = 0.0
            names = ("batch_size", "class_weight", "steps_per_epoch")
            data = given_arrays(x, y, weight, *(given[name] for name in names))
            if data is None:
                return None, "it was made for dense arrays, `fit` was given others"
        problem = difference(self.data, data.description)
        if not problem and is_dataset(x) and launched and not data.open():
            problem = "the dataset is empty"
        if not problem and data.batch_size not in (None, self.batch_size):
            problem = (
                f"it was made for batch_size={self.batch_size}, `fit` uses "
                f"batch_size={data.batch_size}"
            )
        return data, problem

    def _launched_fit(self, stack, given, data):
        """Opens the session of a fit; returns the arguments for Keras's loop."""
        build_for(self.model, data.head)
        steps_per_epoch = _least(given["steps_per_epoch"])
        validation = self._validation(given)
        sources = [data] if validation is None else [data, validation]
        resident, steps = self._launch_size(sources, steps_per_epoch)
        if data.nbytes is None:
            source = data.source(device(), steps, steps_per_epoch)
        else:
            order = self._order(given)
            source = data.source(device(), steps, resident, order, self.trial)
        feeds = {"train": self._adapter(stack, data, source)}
        given.update(x=feeds["train"][1], y=None, sample_weight=None, batch_size=None)
        given.update(class_weight=None)
        if validation is not None:
            limit = _least(given["validation_steps"])
            if validation.nbytes is None:
                source = validation.source(device(), steps, limit)
            else:
                source = validation.source(device(), steps, resident)
                given["validation_steps"] = None
            feeds["test"] = self._adapter(stack, validation, source)
            given["validation_data"] = (feeds["test"][1],)
        stack.enter_context(self._launching(feeds, steps))
        return given

    def _launch_size(self, sources, steps_per_epoch):
        """`(resident, steps)`: whether arrays stay on the device; steps of a launch."""
        launch = self.choices["train"].launch
        held = sum(data.nbytes or 0 for data in sources)
        resident = launch == "epoch" and held <= self.memory_limit
        in_blocks = [data for data in sources if data.nbytes is None or not resident]
        held = held if resident else 0
        total = steps_per_epoch or sources[0].batches
        # Rows that stay are cut at the same places in each epoch.
        exact = bool(steps_per_epoch) and sources[0].nbytes is not None
        if not in_blocks:
            self.held_bytes = held
            return resident, launch_steps(total, total, exact)
        largest = max(data.batch_bytes for data in in_blocks)
        most = most_steps(
            "block" if resident else launch, largest, self.memory_limit - held
        )
        steps = launch_steps(total, most, exact)
        self.held_bytes = held + BLOCKS_HELD * steps * largest
        return resident, steps

    def _validation(self, given):
        """Validation data of `fit` as a source, `None` if there are none."""
        if given["validation_data"] is None:
            return None
        sources = unpacked(given["validation_data"])
        size = given["validation_batch_size"] or given["batch_size"]
        return _without_training(sources, size, given["validation_steps"])

    def _order(self, given):
        """The order of the rows in each pass of a fit, `None` as they lie."""
        if not given["shuffle"]:
            return None
        seed = random.randint(1, 10**9) if self.seed is None else self.seed
        make = shuffled_in_batches if given["shuffle"] == "batch" else shuffled
        return make(seed)

    def _adapter(self, stack, data, source, blanks=False):
        """`(feed, adapter)` for Keras's loop."""
        feed = Feed(source, blanks)
        stack.callback(feed.close)
        batches = data.batches if data.nbytes is None else source.cuts.batches
        adapter = LaunchAdapter(feed, data.batch_size, batches, data.adapter)
        return feed, adapter

    def _launched_call(self, kind, call, given, sources):
        """`evaluate` or `predict`."""
        data, launched = None, self.choices[kind].is_launched
        # To predict a dataset in launches its number of batches had to be known.
        if launched and (kind == "test" or not is_dataset(sources[0])):
            data = _without_training(sources, given["batch_size"], given["steps"])
        if data is None:
            with self._stock_functions(kind):
                return call(**given)
        if kind == "test":
            build_for(self.model, data.head)
        with contextlib.ExitStack() as stack:
            most = most_steps("block", data.batch_bytes, self.memory_limit)
            if data.nbytes is None:
                limit = _least(given["steps"])
                steps = launch_steps(limit or data.batches, most)
                source = data.source(device(), steps, limit)
            else:
                steps = launch_steps(data.batches, most)
                source = data.source(device(), steps)
                given["steps"] = None
            feed = self._adapter(stack, data, source, blanks=kind == "predict")
            given.update(x=feed[1], batch_size=None)
            if kind == "test":
                given.update(y=None, sample_weight=None)
            stack.enter_context(self._launching({kind: feed}, steps))
            return call(**given)

    @contextlib.contextmanager
    def _launching(self, feeds, steps):
        """Keras's loops call our functions for the kinds of step in `feeds`."""
        model, outer = self.model, self._live
        settings = {"steps_per_execution": steps, **dict.fromkeys(FUNCTIONS.values())}
        with training_settings(model, **settings):
            puts = {
                kind: functools.partial(self._put, kind, feed)
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

    def _put(self, kind, feed):
        stock = functools.partial(self._make_stock, kind)
        loop = functools.partial(self._loop, kind)
        setattr(self.model, FUNCTIONS[kind], make_function(loop, stock, feed))

    def _loop(self, kind, *given):
        """Runs a launch, which is the last argument, in the loop for its size."""
        compiler, size = self.choices[kind].compiler, given[-1].batch_size
        key = (kind, compiler, size)
        if key not in self._loops:
            self._loops[key] = make_loop(self.model, kind, size, compiler == "xla")
        return self._loops[key](*given)

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


def _least(steps):
    """The number of steps within Keras's own limit, `None` without either."""
    limits = [n for n in (steps, keras.config.max_steps_per_epoch()) if n]
    return min(limits, default=None)


def _without_training(sources, batch_size, steps):
    """What `evaluate`, `predict` or a validation is given, `None` for other data."""
    if is_dataset(sources[0]):
        data = Dataset(sources[0])
        return data if data.is_fixed and data.open() else None
    data = given_arrays(*sources, batch_size, None, steps)
    return None if data is None else data.cut(steps)


def _bind(name, model, args, kwargs):
    """All arguments of a call by name, defaults included."""
    signature = inspect.signature(getattr(keras.Model, name))
    bound = signature.bind(model, *args, **kwargs)
    bound.apply_defaults()
    given = dict(bound.arguments)
    del given["self"]
    given.update(given.pop("kwargs", {}))
    return given
