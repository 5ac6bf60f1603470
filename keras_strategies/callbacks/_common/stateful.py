"""The protocol of callbacks whose memory can be kept and put back."""

from typing import Any, Protocol, runtime_checkable


@runtime_checkable
class Stateful(Protocol):
    """A callback whose memory can be read and set, for resume and roll-back.

    Every callback of this package is one. A callback of your own becomes one by two
    methods; no base class is needed. `callbacks.get_state` and `callbacks.set_state` do
    the same for Keras's own, which have no such methods.

    A state is a dict with text keys whose values are those of JSON (numbers, text,
    booleans, `None`, lists and dicts of them) and NumPy arrays: it can be written to
    files without pickle.

    `set_state(get_state())` changes nothing, at any time between two batches. Two uses:

    - *Resume.* A new object of the same arguments gets the state before `fit`, which
      continues from it.
    - *Roll-back.* `NaNRecovery` puts weights and optimizer back to a copy between two
      batches of a running `fit`, and gives each other callback the state that it had
      then. Epochs, batches and time go on: a callback that counts these, and not what
      the weights were, says so by a class attribute `survives_roll_back = True` and is
      left out.

    Example:

    ```python
    import json

    import keras
    from keras_strategies import callbacks

    class StepCounter(keras.callbacks.Callback):
        steps = 0

        def on_train_batch_begin(self, batch, logs=None):
            self.steps += 1

        def get_state(self):
            return {"steps": self.steps}

        def set_state(self, state):
            self.steps = state["steps"]

    print(isinstance(StepCounter(), callbacks.Stateful))  # True
    print(json.dumps(callbacks.TargetStopping(0.1).get_state()))
    ```
    """

    def get_state(self) -> dict[str, Any]:
        """Returns what the callback has learned, as a dict of plain values."""
        ...

    def set_state(self, state: dict[str, Any]) -> None:
        """Restores a dict from `get_state`, before a `fit` or between its batches."""
        ...
