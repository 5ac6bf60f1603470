"""Training on sequences of growing length."""

from typing import Any

from keras import tree

from keras_strategies._internal import checks
from keras_strategies.callbacks._common.schedule_values import Schedule
from keras_strategies.callbacks.data._step_data import StepDataCallback


class SequenceLengthWarmup(StepDataCallback):
    """Trains on short prefixes of the sequences first and on longer ones later.

    Long sequences early in training cause large, unstable gradients; short ones are
    more stable and cheaper, in attention by the square of the length. A language model
    can then be trained at a higher learning rate.

    The batches are cut inside the training step, on the device, so that every source
    of data works with plain `model.fit` and validation uses whole sequences. Each new
    length traces and compiles the step once: a few lengths are better than one for
    each epoch. The model must accept any length, as with `keras.Input((None,))`.
    The length is logged as `sequence_length`. If a fit is stopped by an exception,
    call `restore()`.

    Reference:

    - [Li et al., 2022, The Stability-Efficiency Dilemma: Investigating Sequence
      Length Warmup for Training GPT Models](https://arxiv.org/abs/2108.06084)

    Args:
        schedule: Maximum length in steps, at least 1, as a dict of piecewise-constant
            values `{0: 64, 2: 128, 5: 512}`, first epoch to length, or as a function of
            the epoch. Shorter sequences are not changed.
        cut_targets: Whether targets and sample weights with a second axis are cut
            too, as for language models. Defaults to `False`.

    Raises:
        TypeError: If `schedule` is neither callable nor a dict, or does not return an
            integer.
        ValueError: If a length is less than 1; in `fit`, if the model accepts sequences
            of one length only or no sequences.

    Example:

    ```python
    import keras
    import numpy as np
    from keras_strategies import callbacks

    model = keras.Sequential(
        [
            keras.Input((None,)),
            keras.layers.Embedding(10, 4),
            keras.layers.GlobalAveragePooling1D(),
            keras.layers.Dense(1),
        ]
    )
    model.compile("adam", loss="mse")
    growing = callbacks.SequenceLengthWarmup({0: 4, 2: 16})
    history = model.fit(
        np.ones((8, 16)), np.ones(8), epochs=3, callbacks=[growing], verbose=0
    )
    print(history.history["sequence_length"])  # [4, 4, 16]
    ```
    """

    _log_name = "sequence_length"

    def __init__(self, schedule: Schedule, cut_targets: bool = False):
        super().__init__(schedule)
        self.cut_targets: bool = checks.boolean("cut_targets", cut_targets)

    def on_train_begin(self, logs: dict[str, Any] | None = None) -> None:
        _refuse_fixed_length(self.model)
        super().on_train_begin(logs)

    def _checked(self, value: Any) -> int:
        return checks.integer("scheduled length", value, low=1)

    def _transformed(
        self, x: Any, y: Any, sample_weight: Any, value: int
    ) -> tuple[Any, Any, Any]:
        def cut(tensor):
            return tensor if len(tensor.shape) < 2 else tensor[:, :value]

        x = tree.map_structure(cut, x)
        if self.cut_targets:
            y = tree.map_structure(cut, y)
            if sample_weight is not None:
                sample_weight = tree.map_structure(cut, sample_weight)
        return x, y, sample_weight


def _refuse_fixed_length(model):
    """A model without known input shapes is checked by its first step only."""
    inputs = getattr(model, "inputs", None) or []
    shapes = [tuple(tensor.shape) for tensor in inputs]
    if any(len(shape) < 2 or shape[1] is not None for shape in shapes):
        checks.fail(
            "SequenceLengthWarmup needs a model that accepts sequences of any length",
            fix="Build it on keras.Input((None,)) or keras.Input((None, features)).",
            input_shapes=shapes,
        )
