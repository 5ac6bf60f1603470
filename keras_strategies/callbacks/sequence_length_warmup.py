"""Sequences that grow over the training."""

from keras import tree

from keras_strategies._internal import checks
from keras_strategies.callbacks._step_data import StepDataCallback


class SequenceLengthWarmup(StepDataCallback):
    """Trains on the beginnings of the sequences first, on more of them later.

    Long sequences early in training make large, unsteady gradients; short ones are
    steadier and cheaper, in attention by the square of the length. A language
    model then bears larger learning rates.

    The batches are cut inside the training step, on the device, so that every source
    of data works with plain `model.fit` and validation sees the whole sequences. Each
    new length traces and compiles the step once: few stairs are better than a length
    for each epoch. The model must take any length, as with `keras.Input((None,))`.
    The length is logged as `sequence_length`. If a fit is stopped by an exception,
    call `restore()`.

    Reference:

    - [Li et al., 2022, The Stability-Efficiency Dilemma: Investigating Sequence
      Length Warmup for Training GPT Models](https://arxiv.org/abs/2108.06084)

    Args:
        schedule: Longest sequence in steps, at least 1, as stairs
            `{0: 64, 2: 128, 5: 512}`, first epoch to length, or as a function of the
            epoch. Shorter sequences stay as they are.
        cut_targets: Whether targets and sample weights with a second axis are cut
            too, as for language models. Defaults to `False`.

    Raises:
        TypeError: If `schedule` is neither callable nor a dict, or gives no integer.
        ValueError: If a length is below 1; in `fit`, if the model takes sequences of
            one length only or no sequences.

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

    def __init__(self, schedule, cut_targets=False):
        super().__init__(schedule)
        self.cut_targets = checks.boolean("cut_targets", cut_targets)

    def on_train_begin(self, logs=None):
        _refuse_fixed_length(self.model)
        super().on_train_begin(logs)

    def _checked(self, value):
        return checks.integer("scheduled length", value, low=1)

    def _transformed(self, x, y, sample_weight, value):
        def cut(tensor):
            return tensor if len(tensor.shape) < 2 else tensor[:, :value]

        x = tree.map_structure(cut, x)
        if self.cut_targets:
            y = tree.map_structure(cut, y)
            if sample_weight is not None:
                sample_weight = tree.map_structure(cut, sample_weight)
        return x, y, sample_weight


def _refuse_fixed_length(model):
    """Models without known input shapes are left to their first step."""
    inputs = getattr(model, "inputs", None) or []
    shapes = [tuple(tensor.shape) for tensor in inputs]
    if any(len(shape) < 2 or shape[1] is not None for shape in shapes):
        checks.fail(
            "SequenceLengthWarmup needs a model that takes sequences of any length",
            fix="Build it on keras.Input((None,)) or keras.Input((None, features)).",
            input_shapes=shapes,
        )
