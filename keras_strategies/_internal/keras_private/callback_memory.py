"""What Keras's own callbacks remember, where it has no public name."""

from typing import Any

import keras

# Names of attributes that count or flag something from batch to batch. The first two
# are also set back in `on_train_begin`. Keras 3.12 to 3.15.
_NAMES = {
    keras.callbacks.TensorBoard: (
        "_global_train_batch",
        "_global_test_batch",
        "_previous_epoch_iterations",
    ),
    keras.callbacks.SwapEMAWeights: ("_ema_weights_in_model",),
    keras.callbacks.ModelCheckpoint: (
        "best",
        "_batches_seen_since_last_saving",
        "_last_batch_seen",
    ),
}


def private_memory(callback: keras.callbacks.Callback) -> dict[str, str] | None:
    """The attributes of such a callback by their names in a state, `None` for others.

    None of these numbers has a public name, and a run that resumes without them writes
    to other steps, swaps averages the wrong way, or saves at other batches.
    """
    for kind, names in _NAMES.items():
        if isinstance(callback, kind):
            return {name.lstrip("_"): name for name in names}
    return None


def get_private_memory(
    callback: keras.callbacks.Callback, names: dict[str, str]
) -> dict[str, Any]:
    """The values of these attributes; tensors, which one of them may be, as numbers."""
    values = {key: getattr(callback, name) for key, name in names.items()}
    return {
        key: int(keras.ops.convert_to_numpy(value))
        if keras.ops.is_tensor(value)
        else value
        for key, value in values.items()
    }


def set_private_memory(
    callback: keras.callbacks.Callback, names: dict[str, str], state: dict[str, Any]
) -> None:
    """Undoes `get_private_memory`."""
    for key, name in names.items():
        setattr(callback, name, state[key])
