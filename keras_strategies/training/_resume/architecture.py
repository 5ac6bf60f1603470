"""The architecture of a model as JSON, for `export` of a checkpoint."""

from typing import Any

import keras


def of(model: keras.Model) -> dict[str, Any] | None:
    """Returns the config of a model, or `None` for one that has none.

    A subclassed model without `get_config` can be resumed by its own script, but not be
    made from a checkpoint alone.
    """
    try:
        config = keras.saving.serialize_keras_object(model)
    except (NotImplementedError, TypeError, ValueError):
        return None
    return config if isinstance(config, dict) else None
