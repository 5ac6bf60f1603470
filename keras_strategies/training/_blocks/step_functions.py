"""Functions that Keras's loops call for their steps.

While a block session runs, `train_function` (and `test_function`, `predict_function`)
of the model is one of ours: blocks go to a compiled loop of steps, other data, as of
`train_on_batch` in a callback, to the function that Keras makes.
"""

import contextlib
import functools
import itertools
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import keras

from keras_strategies._internal.keras_private.fit_loop import (
    lay_down_state,
    put_back_state,
    traced_with,
)
from keras_strategies._internal.keras_private.step_blocks import training_settings
from keras_strategies.training._blocks.backend import (
    device_module,
    has_any_size_loop,
    is_jax,
    make_loop,
)
from keras_strategies.training._blocks.block_iterator import (
    BlockIterator,
    EpochIterator,
    is_token,
)
from keras_strategies.training._candidates import KINDS, Candidate
from keras_strategies.training._launches.step_block import StepBlock
from keras_strategies.training._launches.step_driver import StepDriver

# Ways to trace a training step that are kept beside the newest.
_VARIANTS = 5
# The attribute of a model that Keras's loop calls, by kind of step.
FUNCTIONS = {kind: f"{kind}_function" for kind in KINDS}


class TensorFlowFunction:
    """A train, test or predict function with TensorFlow's signature.

    Args:
        run: Runs a block and those linked to it; returns the last logs.
        make_keras_function: Makes Keras's function.
    """

    def __init__(self, run: Callable[..., Any], make_keras_function: Callable[[], Any]):
        self._run, self._make_keras_function = run, make_keras_function
        self._keras_function = None

    def __call__(self, data: Any) -> Any:
        if isinstance(data, EpochIterator):
            return self._run(next(data))
        if isinstance(data, list) and isinstance(data[0], StepBlock):
            return self._run(data[0])
        if self._keras_function is None:
            self._keras_function = self._make_keras_function()
        return self._keras_function(data)


class JaxFunction:
    """A train, test or predict function with JAX's signature.

    JAX returns before a block has run, and would queue one block after the other with
    their data: so the block before the last is waited for.

    Args:
        run: Runs a block and those linked to it; returns the last logs and the state.
        make_keras_function: Makes Keras's function.
        blocks: The iterator whose tokens come.
        model: The model.
    """

    def __init__(
        self,
        run: Callable[..., Any],
        make_keras_function: Callable[[], Any],
        blocks: BlockIterator,
        model: keras.Model,
    ):
        self._run, self._make_keras_function = run, make_keras_function
        self._keras_function, self._model = None, model
        self._blocks, self._last_logs = blocks, None

    def __call__(self, state: Any, iterator: Iterator[Any]) -> tuple[Any, Any]:
        item = next(iterator)
        if is_token(item):
            try:
                device_module().wait(self._last_logs)
                logs, new_state = self._run(state, self._blocks.block(item))
            except BaseException:
                # The variables of the model are empty now. If no program has begun, as
                # at an error of a trace, they get what was taken from them.
                if not any(leaf.is_deleted() for leaf in keras.tree.flatten(state)):
                    put_back_state(self._model, state)
                raise
            self._last_logs = logs
            # As Keras's loop does with what it gets, for an interrupt on the way there.
            lay_down_state(self._model, new_state)
            return logs, new_state
        if self._keras_function is None:
            self._keras_function = self._make_keras_function()
        return self._keras_function(state, itertools.chain([item], iterator))


class StepFunctions:
    """The step functions of one model: compiled loops, and Keras's own.

    Args:
        model: The model, before any session.
        any_batch_size: Whether one compiled loop serves all batch sizes, where the
            backend and the step allow it.
    """

    def __init__(self, model: keras.Model, any_batch_size: bool = False):
        self.model = model
        self._any_batch_size = any_batch_size
        self._original = {
            name: getattr(model, name)
            for name in ("steps_per_execution", "jit_compile")
        }
        # Compiled loops by (kind, compiler, batch size, what they were traced with),
        # Keras's functions by (kind, XLA).
        self._loops, self._keras_functions = {}, {}
        # {kind: function that installs ours again} of the running sessions, and the
        # kinds that a callback had traced again meanwhile.
        self._sessions, self._retraced = {}, set()
        # What training steps are traced with: callbacks change it for a fit.
        self._traced_with: Any = None
        self._variants: list[Any] = []

    @property
    def steps_per_execution(self) -> int:
        """What the model was compiled with, also during a session."""
        if self._sessions:
            return self._original["steps_per_execution"]
        return self.model.steps_per_execution

    @contextlib.contextmanager
    def blocks(
        self,
        iterators: Mapping[str, BlockIterator],
        choices: Mapping[str, Candidate],
        steps: int,
        drivers: Mapping[str, StepDriver] | None = None,
    ) -> Iterator[None]:
        """Runs blocks of `steps` steps for the kinds of step in `iterators`.

        Those that have one in `drivers` are run by it.
        """
        model, outer = self.model, self._sessions
        if self._traced_with is None:
            self._traced_with = traced_with(model)
        settings = {"steps_per_execution": steps, **dict.fromkeys(FUNCTIONS.values())}
        with training_settings(model, **settings):
            installers = {
                kind: functools.partial(
                    self._install,
                    kind,
                    choices[kind].compiler,
                    it,
                    (drivers or {}).get(kind),
                )
                for kind, it in iterators.items()
            }
            for install in installers.values():
                install()
            self._sessions = {**outer, **installers}
            try:
                yield
            finally:
                self._sessions = outer
        for kind in self._retraced:
            # Keras's function from before the session is outdated.
            setattr(model, FUNCTIONS[kind], None)
        self._retraced.clear()

    @contextlib.contextmanager
    def keras_functions(self, *kinds: str, choice: Candidate) -> Iterator[None]:
        """Runs Keras's functions, compiled as chosen; also inside a block session."""
        model = self.model
        is_plain = choice.compiler == "plain" or choice.uses_blocks
        if is_plain and not self._sessions:
            yield
            return
        jit = self._original["jit_compile"] if is_plain else choice.uses_jit
        settings = {
            "steps_per_execution": self._original["steps_per_execution"],
            "jit_compile": jit,
        }
        for kind in kinds:
            settings[FUNCTIONS[kind]] = self._keras_functions.get((kind, jit))
        with training_settings(model, **settings):
            yield
            for kind in kinds:
                self._keras_functions[kind, jit] = getattr(model, FUNCTIONS[kind])

    def make(self, kind: str, call: Callable[..., Any], force: bool = False) -> Any:
        """Wrapper of `make_train_function` and its siblings.

        With `force`, as callbacks call it, everything compiled for the kind is dropped.
        """
        function = call(force=force)
        if force:
            for cache in (self._loops, self._keras_functions):
                for key in [key for key in cache if key[0] == kind]:
                    del cache[key]
            if self._sessions:
                self._retraced.add(kind)
            if kind in self._sessions:
                self._sessions[kind]()
        return function

    def change(self, key: Any) -> bool:
        """Takes the training steps that were traced with `key`, or new ones.

        A callback that changes the step for one `fit` costs two traces once, not two in
        each fit. Returns whether the steps of a running fit are those of the plan.
        """
        self._traced_with = key
        self._variants = [item for item in self._variants if item != key][-_VARIANTS:]
        self._variants.append(key)
        kept = [*self._variants, None]
        for name in [name for name in self._loops if name[3] not in kept]:
            del self._loops[name]
        if "train" not in self._sessions:
            return False
        for name in [name for name in self._keras_functions if name[0] == "train"]:
            del self._keras_functions[name]
        self._retraced.add("train")
        self._sessions["train"]()
        return True

    def forget(self) -> None:
        """Lets running sessions end without Keras's functions from before them.

        The model is compiled again: they were made for its old loss and optimizer.
        """
        self._retraced.update(self._sessions)

    def _install(self, kind, compiler, blocks, driver):
        make_keras_function = functools.partial(self._make_keras_function, kind)
        loop_for = functools.partial(self._loop, kind, compiler)

        def run(block):
            if driver is not None:
                return driver.run(block, loop_for)[0]
            logs = None
            while block is not None:
                logs, block = loop_for(block.batch_size)(block), block.next_block
            return logs

        def run_state(state, block):
            if driver is not None:
                return driver.run(block, loop_for, state)
            logs = None
            while block is not None:
                logs, state = loop_for(block.batch_size)(state, block)
                block = block.next_block
            return logs, state

        function = (
            JaxFunction(run_state, make_keras_function, blocks, self.model)
            if is_jax()
            else TensorFlowFunction(run, make_keras_function)
        )
        setattr(self.model, FUNCTIONS[kind], function)

    def _loop(self, kind, compiler, size):
        """The compiled loop for batches of a size."""
        variant, xla = self._traced_with if kind == "train" else None, compiler == "xla"
        if self._any_batch_size and has_any_size_loop(self.model, kind, xla):
            size = None
        key = (kind, compiler, size, variant)
        if key not in self._loops:
            self._loops[key] = make_loop(self.model, kind, size, xla)
        return self._loops[key]

    def _make_keras_function(self, kind):
        name = FUNCTIONS[kind]
        with training_settings(self.model, **{name: None}):
            getattr(type(self.model), f"make_{name}")(self.model, force=True)
            return getattr(self.model, name)
