"""Interception of `fit`, `evaluate` and `predict` of one model."""

import contextlib
import functools
import random
import warnings
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import keras

from keras_strategies._internal.interception import replacing
from keras_strategies._internal.keras_private.base_methods import (
    intercept_base,
    is_overridden,
)
from keras_strategies._internal.keras_private.callbacks import (
    unwrap_method,
    wrap_method,
)
from keras_strategies._internal.keras_private.fit_loop import (
    HOOKS_AT_EACH_STEP,
    PLAN_STEPS,
)
from keras_strategies._internal.keras_private.initial_draws import draw_as_first_fit
from keras_strategies._internal.keras_private.step_blocks import (
    BlockAdapter,
    auto_jit_compile,
    build_for,
    is_dataset,
    unpacked,
)
from keras_strategies.training._blocks.backend import device_module
from keras_strategies.training._blocks.block_iterator import BlockIterator
from keras_strategies.training._blocks.block_size import (
    block_size,
    max_block_steps,
    steps_per_block,
)
from keras_strategies.training._blocks.fit_arguments import (
    bind_arguments,
    evaluation_data,
    training_data,
    validation_data,
)
from keras_strategies.training._blocks.row_capacity import RowCapacity
from keras_strategies.training._blocks.row_order import (
    as_plain_fit,
    shuffled,
    shuffled_in_batches,
)
from keras_strategies.training._blocks.sources import block_source
from keras_strategies.training._blocks.step_functions import FUNCTIONS, StepFunctions
from keras_strategies.training._candidates import Candidate
from keras_strategies.training._data.arrays import step_limit
from keras_strategies.training._launches.callback_list import LaunchCallbackList
from keras_strategies.training._launches.needs import (
    has_batch_hooks,
    have_step_hooks,
)
from keras_strategies.training._launches.step_driver import StepDriver

# Methods with a loop of Keras's over the batches.
_LOOPS = ("fit", "evaluate", "predict")


class FitInterceptor:
    """Wrapper of the methods of one model that runs its steps as a plan says.

    Keras's own loops run, with other data and another `train_function`: they are given
    blocks of steps instead of batches.

    Args:
        model: Compiled and built model.
        choices: `{"train": candidate, "test": ..., "predict": ...}`.
        data: Description of the data that the plan was made for.
        batch_size: Batch size that the plan was made for, `None` for any.
        memory_limit: Bytes that data may take on the device.
        seed: Seed of the orders, or `None` for one from Python's generator at each
            `fit`.
        as_plain: Whether rows are shuffled as by plain `fit`, and one program serves
            batches of any size where it can.

    Attributes:
        device_bytes: Bytes of data on the device in the last `fit`.
        on_drop: Called without arguments when the plan is dropped.
    """

    def __init__(
        self,
        model: keras.Model,
        choices: Mapping[str, Candidate],
        data: Mapping[str, Any],
        batch_size: int | None,
        memory_limit: int,
        seed: int | None,
        as_plain: bool = False,
    ):
        self.model, self.choices, self.data = model, dict(choices), data
        self._as_plain = as_plain
        self.batch_size, self.memory_limit, self.seed = batch_size, memory_limit, seed
        self.device_bytes: int | None = None
        self._batch_limit = None
        self.on_drop: Callable[[], None] | None = None
        self._functions = StepFunctions(model, any_batch_size=as_plain)
        # What undoes the interception of methods that the class overrides.
        self._undo: dict[str, Callable[[], None]] = {}
        self._capacities: dict[str, RowCapacity] = {}
        self._wrappers = {
            "fit": self._fit,
            "evaluate": self._evaluate,
            "predict": self._predict,
            "compile": self._compile,
            "get_compile_config": self._compile_config,
        }
        for kind, name in FUNCTIONS.items():
            make = functools.partial(self._functions.make, kind)
            self._wrappers[f"make_{name}"] = make

    def install(self) -> "FitInterceptor":
        """Wraps the methods of the model, Keras's own if its class overrides them."""
        for name, wrapper in self._wrappers.items():
            if name in _LOOPS and is_overridden(self.model, name):
                self._undo[name] = intercept_base(self.model, name, wrapper)
            else:
                wrap_method(self.model, name, wrapper)
        # Not by setattr, which Keras tracks.
        self.model.__dict__[PLAN_STEPS] = self._functions.change
        return self

    def remove(self) -> None:
        """Unwraps the methods of the model."""
        self.model.__dict__.pop(PLAN_STEPS, None)
        for name, wrapper in self._wrappers.items():
            if name in self._undo:
                self._undo.pop(name)()
            else:
                unwrap_method(self.model, name, wrapper)

    @contextlib.contextmanager
    def installed(self, batch_limit: int | None = None) -> Iterator[None]:
        """Installs the interceptor for a block of code, to time it.

        With `batch_limit`, epochs of arrays in blocks have so many batches only.
        """
        self._batch_limit = batch_limit
        self.install()
        try:
            yield
        finally:
            self.remove()
            self._batch_limit = None

    def drop(self, reason: str) -> None:
        """Removes the plan, with a warning that says why."""
        self.remove()
        warnings.warn(
            f"The execution plan of {self.model.name!r} is dropped: {reason}. Training "
            "continues without it; call `training.accelerate` for a new plan.",
            stacklevel=6,
        )
        if self.on_drop is not None:
            self.on_drop()

    # Wrappers of the model's methods: `call` is the method itself.

    def _compile(self, call, *args, **kwargs):
        self._functions.forget()
        self.drop("the model was compiled again")
        return call(*args, **kwargs)

    def _compile_config(self, call):
        """Saves `jit_compile` as "auto": the file may be loaded on another machine."""
        config = call()
        if config.get("jit_compile") == auto_jit_compile(self.model):
            config["jit_compile"] = "auto"
        return config

    def _fit(self, call, *args, **kwargs):
        arguments = bind_arguments("fit", self.model, args, kwargs)
        choice = self.choices["train"]
        data, problem = training_data(
            arguments, self.data, self.batch_size, choice.uses_blocks
        )
        if problem:
            self.drop(problem)
            return call(*args, **kwargs)
        validation = None
        # The hooks of a list that is given are not ours to call.
        listed, kind = arguments["callbacks"], keras.callbacks.CallbackList
        is_ours = isinstance(listed, LaunchCallbackList)
        in_blocks = choice.uses_blocks and (is_ours or not isinstance(listed, kind))
        if in_blocks and self._skips_hooks(listed):
            in_blocks = False
        if in_blocks and arguments["validation_data"] is not None:
            validation = validation_data(arguments)
            in_blocks = validation is not None
        if not in_blocks:
            with self._functions.keras_functions("train", "test", choice=choice):
                return call(*args, **kwargs)
        with contextlib.ExitStack() as stack:
            return call(**self._fit_in_blocks(stack, arguments, data, validation))

    def _skips_hooks(self, callbacks):
        """Whether hooks are to be called every few steps only, which blocks do not."""
        steps = self._functions.steps_per_execution
        members = getattr(callbacks, "callbacks", callbacks)
        if steps == 1 or not have_step_hooks(keras.tree.flatten(members or [])):
            return False
        warnings.warn(
            f"The model was compiled with steps_per_execution={steps}, so that batch "
            f"hooks are called every {steps} steps: this `fit` runs without its "
            "execution plan. Compile it without, for hooks at each step and the plan.",
            stacklevel=5,
        )
        return True

    def _evaluate(self, call, *args, **kwargs):
        arguments = bind_arguments("evaluate", self.model, args, kwargs)
        # The validation of a `fit` in blocks, whose data are blocks already.
        is_inner = arguments.get("_use_cached_eval_dataset")
        if is_inner or isinstance(arguments["x"], BlockAdapter):
            return call(*args, **kwargs)
        sources = (arguments["x"], arguments["y"], arguments["sample_weight"])
        return self._call_in_blocks("test", call, arguments, sources)

    def _predict(self, call, *args, **kwargs):
        arguments = bind_arguments("predict", self.model, args, kwargs)
        sources = (arguments["x"], None, None)
        return self._call_in_blocks("predict", call, arguments, sources)

    # Their data in blocks.

    def _fit_in_blocks(self, stack, arguments, data, validation):
        """Opens the session of a fit; returns the arguments for Keras's loop."""
        # A compiled loop cannot create the variables of metrics and optimizer.
        build_for(self.model, data.head)
        if self._as_plain and data.nbytes is not None:
            # Of the rows that are left after a `validation_split`.
            x, y, weight = unpacked(data.arrays)
            draw_as_first_fit(x, y, weight, data.batch_size, arguments["shuffle"])
        steps_per_epoch = step_limit(arguments["steps_per_epoch"])
        sources = [data] if validation is None else [data, validation]
        size = block_size(
            self.choices["train"].granularity,
            sources,
            steps_per_epoch,
            self.memory_limit,
        )
        self.device_bytes = size.device_bytes
        is_stream = data.nbytes is None
        source = block_source(
            data,
            device_module(),
            size.steps,
            on_device=size.on_device,
            order=None if is_stream else self._row_order(arguments["shuffle"], data),
            limit=steps_per_epoch if is_stream else self._batch_limit,
            capacity=self._capacity("fit", data, size.steps, size.on_device),
        )
        iterators = {}
        iterators["train"], adapter = self._adapter(stack, data, source)
        arguments.update(x=adapter, y=None, sample_weight=None, batch_size=None)
        # Class weights are in the sample weights of the blocks already.
        arguments.update(class_weight=None)
        if validation is not None:
            is_stream = validation.nbytes is None
            limit = step_limit(arguments["validation_steps"]) if is_stream else None
            source = block_source(
                validation,
                device_module(),
                size.steps,
                on_device=size.on_device,
                limit=limit,
                capacity=self._capacity(
                    "validation", validation, size.steps, size.on_device
                ),
            )
            if not is_stream:
                arguments["validation_steps"] = None
            iterators["test"], held_out = self._adapter(stack, validation, source)
            arguments["validation_data"] = (held_out,)
        steps = steps_per_epoch or adapter.num_batches
        arguments["callbacks"] = self._callbacks(arguments, steps)
        self._begin_session(stack, arguments["callbacks"], iterators, size.steps)
        return arguments

    def _begin_session(self, stack, callbacks, iterators, steps):
        """Has the steps run by drivers, until the stack is closed."""
        drivers = {
            kind: StepDriver(self.model, callbacks, steps, kind) for kind in iterators
        }
        stack.enter_context(replacing(callbacks, "is_driven", True))
        stack.enter_context(replacing(self.model, HOOKS_AT_EACH_STEP, True))
        stack.enter_context(
            self._functions.blocks(iterators, self.choices, steps, drivers)
        )

    def _callbacks(self, arguments, steps):
        """The list that Keras's loop would make."""
        if isinstance(arguments["callbacks"], LaunchCallbackList):
            return arguments["callbacks"]
        limits = [n for n in (arguments["epochs"], keras.config.max_epochs()) if n]
        return LaunchCallbackList(
            arguments["callbacks"],
            add_history=True,
            add_progbar=arguments["verbose"] != 0,
            verbose=arguments["verbose"],
            epochs=min(limits, default=arguments["epochs"]),
            steps=steps,
            model=self.model,
        )

    def _capacity(self, use, data, steps, on_device):
        """Rows to pad arrays to, or a block of them; `None` for no more than needed."""
        if data.nbytes is None:
            return None
        capacity = self._capacities.setdefault(use, RowCapacity())
        row_bytes = max(1, data.nbytes // max(1, data.rows))
        at_most = self.memory_limit // row_bytes
        rows = data.rows if on_device else min(data.rows, steps * data.batch_size)
        padded = capacity.padded(rows, at_most)
        return None if padded == rows else padded

    def _row_order(self, shuffle, data):
        """The order of the rows in each epoch of a fit, `None` as they are."""
        if not shuffle:
            return None
        if self._as_plain:
            return as_plain_fit(data.rows, data.batch_size, shuffle)
        seed = random.randint(1, 10**9) if self.seed is None else self.seed
        return shuffled_in_batches(seed) if shuffle == "batch" else shuffled(seed)

    def _adapter(self, stack, data, source, fillers=False):
        """`(iterator of blocks, adapter of it for Keras's loop)`."""
        iterator = BlockIterator(source, fillers)
        stack.callback(iterator.close)
        batches = data.batches if data.nbytes is None else source.split.batches
        adapter = BlockAdapter(iterator, data.batch_size, batches, data.adapter)
        return iterator, adapter

    def _call_in_blocks(self, kind, call, arguments, sources):
        """Runs `evaluate` or `predict`."""
        choice, data = self.choices[kind], None
        # To predict a dataset in blocks its number of batches had to be known.
        can_be_cut = kind == "test" or not is_dataset(sources[0])
        if choice.uses_blocks and can_be_cut and not _has_hooks(arguments, kind):
            size, steps = arguments["batch_size"], arguments["steps"]
            data = evaluation_data(sources, size, steps)
        if data is None:
            with self._functions.keras_functions(kind, choice=choice):
                return call(**arguments)
        if kind == "test":
            build_for(self.model, data.head)
        with contextlib.ExitStack() as stack:
            limit, total = None, data.batches
            if data.nbytes is None:
                limit = step_limit(arguments["steps"])
                total = limit or total
            else:
                arguments["steps"] = None
            maximum = max_block_steps("block", data.batch_bytes, self.memory_limit)
            steps = steps_per_block(total, maximum)
            capacity = self._capacity(kind, data, steps, False)
            source = block_source(
                data, device_module(), steps, limit=limit, capacity=capacity
            )
            fillers = kind == "predict"
            iterator, adapter = self._adapter(stack, data, source, fillers)
            arguments.update(x=adapter, batch_size=None)
            if kind == "test":
                arguments.update(y=None, sample_weight=None)
            stack.enter_context(
                self._functions.blocks({kind: iterator}, self.choices, steps)
            )
            return call(**arguments)


def _has_hooks(arguments, kind):
    """Whether callbacks of `evaluate` or `predict` are to be called at each batch."""
    callbacks = arguments["callbacks"]
    if isinstance(callbacks, keras.callbacks.CallbackList):
        return True
    listed = keras.tree.flatten(callbacks or [])
    return any(has_batch_hooks(callback, kind) for callback in listed)
