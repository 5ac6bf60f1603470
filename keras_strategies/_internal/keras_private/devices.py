"""Memory of the accelerator.

TensorFlow comes from Keras's own lazy import, which costs nothing on other backends.
Keras 3.12 to 3.15.
"""

import keras
from keras.src.utils.module_utils import tensorflow as lazy_tensorflow


def device_memory():
    """`(bytes used now, most so far)` of the first accelerator; `None` without one."""
    return _READERS[keras.backend.backend()]()


def _tensorflow():
    config = lazy_tensorflow.config
    if not config.list_physical_devices("GPU"):
        return None
    info = config.experimental.get_memory_info("GPU:0")
    return info["current"], info["peak"]


def _jax():
    import jax

    stats = jax.local_devices()[0].memory_stats()
    if not stats or "bytes_in_use" not in stats:
        return None
    return stats["bytes_in_use"], stats.get("peak_bytes_in_use", stats["bytes_in_use"])


def _torch():
    import torch

    if not torch.cuda.is_available():
        return None
    return torch.cuda.memory_allocated(), torch.cuda.max_memory_allocated()


_READERS = {"tensorflow": _tensorflow, "jax": _jax, "torch": _torch}
