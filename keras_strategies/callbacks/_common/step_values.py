"""The protocol of callbacks whose values for coming steps are known beforehand."""

from collections.abc import Sequence
from typing import Any, Protocol, runtime_checkable

import keras


@runtime_checkable
class StepValues(Protocol):
    """A callback that can tell what it will assign before each of the next steps.

    A plan of `training.accelerate` runs many steps in one compiled program, where no
    callback can act between two of them. What a scheduler sets depends on the number of
    the step alone: the program is given the values of all its steps and assigns each
    before its step. Every scheduler of this package is one; a callback of your own
    becomes one by this method.

    After the program the hooks `on_train_batch_begin` and `on_train_batch_end` are
    called for its last step only: they have to leave the callback as if they had been
    called for each. The first step's `on_train_batch_begin` is called before.

    Example:

    ```python
    import keras

    from keras_strategies import callbacks

    class Halving(keras.callbacks.Callback):
        def on_train_batch_begin(self, batch, logs=None):
            self.model.optimizer.learning_rate = 0.1 * 0.5**batch

        def values_for_steps(self, start, count):
            rate = self.model.optimizer.learning_rate
            return [(rate, [0.1 * 0.5**batch for batch in range(start, start + count)])]

    print(isinstance(Halving(), callbacks.StepValues))  # True
    ```
    """

    def values_for_steps(
        self, start: int, count: int
    ) -> list[tuple[keras.Variable, Sequence[Any]]] | None:
        """Returns the values of variables before each of `count` steps.

        Args:
            start: Number of the first of these batches in the epoch, as in
                `on_train_batch_begin`.
            count: Number of steps.

        Returns:
            `[(variable, values)]` with one value a step, of variables of the optimizer;
            empty if nothing changes within an epoch; `None` if a value depends on the
            steps before it: then each step is a program of its own.
        """
        ...
