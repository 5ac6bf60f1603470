"""Runs blocks of steps as launches, with the callbacks that act between steps."""

import contextlib
from collections.abc import Callable, Iterator
from typing import Any

import keras
import numpy as np

from keras_strategies._internal.interception import replacing
from keras_strategies._internal.keras_private.fit_loop import (
    lay_down_state,
    put_back_state,
    take_up_state,
)
from keras_strategies._internal.keras_private.optimizers import (
    optimizer_slots,
    with_assigned_values,
)
from keras_strategies.training._launches.callback_list import (
    LaunchCallbackList,
    OutOfReach,
)
from keras_strategies.training._launches.step_block import StepBlock
from keras_strategies.training._launches.step_program import Launched, StepProgram


class StepDriver:
    """Runs the steps of blocks, as many in one launch as the callbacks allow.

    The hook before the first step of a launch and the hook after its last are called
    where they belong, as in plain `fit`. What callbacks do between them is part of the
    program, or their hooks are called afterwards, in order, with the logs of each step.

    Args:
        model: The model.
        callbacks: Its callbacks in this fit.
        capacity: Most steps in a block.
        kind: `"train"`, or `"test"` for the validation.
    """

    def __init__(
        self,
        model: keras.Model,
        callbacks: LaunchCallbackList,
        capacity: int,
        kind: str = "train",
    ):
        self._model, self._callbacks, self._kind = model, callbacks, kind
        self._position = callbacks.positions[kind]
        # A power of two, so that blocks of similar lengths share their programs.
        self._capacity = 1 << max(0, capacity - 1).bit_length()

    def run(
        self, block: StepBlock | None, loop_for: Callable[[int], Any], state: Any = None
    ) -> tuple[Any, Any]:
        """Runs a block and those linked to it; returns logs and, on JAX, the state.

        Args:
            block: The block.
            loop_for: Returns the compiled loop for a batch size.
            state: State of the model on JAX.
        """
        launched, begun = Launched(None, None, 0, state), True
        while block is not None:
            loop, done = loop_for(block.batch_size), 0
            while done < block.batches:
                if not begun:
                    launched = self._between(launched)
                    if self._position.is_ended:
                        return launched.logs, launched.state
                part = self._part(block, done)
                launched = self._launch(loop, part, launched.state)
                done += launched.steps
                begun = False
            block = block.next_block
        return launched.logs, launched.state

    def _part(self, block, done):
        """The full batches of a block from one on, or the partial batch after them."""
        first = block.first_batch + done
        remaining = block.full_batches - done
        if remaining > 0:
            return block._replace(
                first_batch=first, full_batches=remaining, partial_batch_rows=0
            )
        return block._replace(first_batch=first, full_batches=0)

    def _between(self, launched):
        """Calls the hooks between two launches, as Keras calls them between steps."""
        callbacks, state, number = self._callbacks, launched.state, self._position.last
        if state is not None:
            lay_down_state(self._model, state)
        # The state of JAX's step is in arguments, where no hook would see it: it is
        # laid down into the variables before the hooks and taken up behind them.
        self._hook("end")(number, launched.logs)
        if callbacks.needs.stops_at_nan:
            callbacks.finish()  # hooks in threads, which look at the loss
        stop = "stop_training" if self._kind == "train" else "stop_evaluating"
        if getattr(self._model, stop, False):
            # Keras would call the hook that was called here.
            self._position.is_ended = True
        else:
            self._hook("begin")(number + 1)
        if state is not None:
            state = take_up_state(self._model, state)
            if self._kind == "train":
                state = with_assigned_values(self._model, state)
        return launched._replace(state=state)

    def _hook(self, name):
        return getattr(self._callbacks, f"on_{self._kind}_batch_{name}")

    def _launch(self, loop, part, state):
        """Runs as many steps of a part as may be run before the next hook."""
        start = self._position.next
        if not part.full_batches:
            logs, state = _called(loop, part, state)
            self._position.last = start
            return Launched(logs, None, 1, state)
        count, program, inputs = self._prepared(start, part.full_batches)
        part = part._replace(full_batches=count)
        if program.is_empty:
            logs, state = _called(loop, part, state)
            launched = Launched(logs, None, count, state)
        else:
            arguments = (part, program, inputs)
            launched = loop.launch(*arguments if state is None else (state, *arguments))
        if self._kind == "train":
            try:
                self._replay(start, launched)
            except BaseException:
                if launched.state is not None:
                    put_back_state(self._model, launched.state)
                raise
        self._position.last = start + launched.steps - 1
        return launched

    def _prepared(self, start, count):
        """`(steps, program, its inputs)` of the next launch."""
        needs = self._callbacks.needs
        if self._kind == "test":
            return 1 if needs.tested else count, StepProgram(), None
        # The shortest launch that any callback asks for.
        for _, until in needs.bounded:
            allowed = until(start)
            count = count if allowed is None else min(count, allowed)
        # A single step needs no program: the hooks around it are called by `run`
        # anyway.
        if needs.stepwise or count == 1:
            return 1, StepProgram(), None
        pairs = [
            callback.values_for_steps(start, count) for callback in needs.scheduled
        ]
        # A callback cannot say its values beforehand (yet): one step, with its own
        # hooks.
        if any(pair is None for pair in pairs):
            return 1, StepProgram(), None
        flat = [item for pair in pairs for item in pair]
        if not self._can_be_fed([variable for variable, _ in flat]):
            return 1, StepProgram(), None
        averages = [
            averaging
            for callback in needs.averaging
            if (averaging := callback.averages_for_steps(start, count)) is not None
        ]
        if len(averages) > 1:  # two averages of one fit exclude each other
            return 1, StepProgram(), None
        program = StepProgram(
            tuple(variable for variable, _ in flat),
            averages[0][0] if averages else None,
            tuple(averages[0][1]) if averages else (),
            bool(needs.logged),
            needs.stops_at_nan,
            self._capacity,
        )
        weights = averages[0][2] if averages else ()
        tables = tuple(self._padded(values) for _, values in flat)
        return count, program, (tables, self._padded(weights))

    def _padded(self, values):
        # As long for every launch: the shape of the table is part of the compiled
        # program.
        table = np.zeros(self._capacity, "float32")
        table[: len(values)] = values
        return table

    def _can_be_fed(self, variables):
        """Whether each is assigned by one callback, and reached by a program."""
        if len({id(variable) for variable in variables}) < len(variables):
            return False
        if keras.backend.backend() != "jax":
            return True
        return optimizer_slots(variables, self._model.optimizer) is not None

    def _replay(self, start, launched):
        """Calls the hooks between the first and the last step of a launch."""
        steps, needs = launched.steps, self._callbacks.needs
        if steps < 2:
            return
        if needs.replays:
            logs = _rows(launched.records, steps) if needs.logged else None
            # As plain `fit` orders them: the end of a step, then the begin of the next.
            with self._past_steps(needs):
                for index in range(steps - 1):
                    for callback in needs.logged:
                        callback.on_train_batch_end(start + index, dict(logs[index]))
                    for callback in needs.averaging:
                        callback.on_train_batch_end(start + index, None)
                    for callback in needs.replays:
                        callback.on_train_batch_begin(start + index + 1, None)
        if needs.scheduled and launched.state is not None:
            lay_down_state(self._model, launched.state)
        for callback in needs.scheduled:
            # Once, for the last step: the program has assigned the values before it.
            callback.on_train_batch_begin(start + steps - 1, None)

    @contextlib.contextmanager
    def _past_steps(self, needs) -> Iterator[None]:
        """Averages are not moved again, and the model is out of reach."""
        with contextlib.ExitStack() as stack:
            for callback in needs.averaging:
                stack.enter_context(replacing(callback, "counts_only", True))
            for callback in needs.logged:
                if not isinstance(callback, keras.callbacks.TensorBoard):
                    model = OutOfReach(callback)
                    stack.enter_context(replacing(callback, "_model", model))
            yield


def _called(loop, part, state):
    """`(logs, state)` of a loop without a program, on either backend."""
    return (loop(part), None) if state is None else loop(state, part)


def _rows(records, steps):
    """The logs of each step as a dict of floats."""
    columns = {
        name: np.asarray(keras.ops.convert_to_numpy(values))
        for name, values in records.items()
    }
    return [
        {
            name: float(values[index]) if values.ndim == 1 else values[index]
            for name, values in columns.items()
        }
        for index in range(steps)
    ]
