"""All global random states that a training may draw from."""

import random
import sys
from typing import Any

import keras
import numpy as np

from keras_strategies._internal.keras_private.step_blocks import (
    global_seed_state,
    set_global_seed_state,
)


def get_random_states() -> dict[str, Any]:
    """Returns the states of Python's, NumPy's, Keras's and Torch's generators.

    Torch's own counts where it is imported: unseeded Dropout on that backend draws from
    it, and each iterator of a data loader. Seeded layers have states among their
    variables.
    """
    version, words, gauss = random.getstate()
    seed = global_seed_state()
    states = {
        "python": [version, np.array(words, "uint32"), gauss],
        "numpy": np.random.get_state(),
        "keras": None if seed is None else np.array(seed[1]),
    }
    if "torch" in sys.modules:
        import torch

        states["torch"] = torch.get_rng_state().numpy().copy()
        if torch.cuda.is_available() and torch.cuda.is_initialized():
            states["cuda"] = [s.numpy().copy() for s in torch.cuda.get_rng_state_all()]
    return states


def set_random_states(states: dict[str, Any]) -> None:
    """Puts the generators back to what `get_random_states` returned."""
    version, words, gauss = states["python"]
    random.setstate((version, tuple(int(word) for word in words), gauss))
    np.random.set_state(states["numpy"])
    if states["keras"] is not None:
        current = global_seed_state()
        generator = keras.random.SeedGenerator(0) if current is None else current[0]
        set_global_seed_state((generator, states["keras"]))
    elif global_seed_state() is not None:
        set_global_seed_state(None)  # made anew at its first use, by Python's numbers
    if "torch" in states and "torch" in sys.modules:
        import torch

        torch.set_rng_state(torch.from_numpy(states["torch"].copy()))
        if "cuda" in states and torch.cuda.is_available():
            tensors = [torch.from_numpy(state.copy()) for state in states["cuda"]]
            torch.cuda.set_rng_state_all(tensors)
