"""Seeds of a fit."""

import contextlib
import random
from collections.abc import Iterator
from typing import Any

import keras
import numpy as np


@contextlib.contextmanager
def seeded(random_state: Any) -> Iterator[None]:
    """Seeds Keras, and afterwards restores Python's and NumPy's generators.

    Else a search whose own draws come from NumPy's generator would draw the same
    candidate after each fit.
    """
    if random_state is None:
        yield
        return
    from sklearn.utils import check_random_state

    seed = random_state
    if not isinstance(random_state, int):
        seed = int(check_random_state(random_state).randint(2**31 - 1))
    states = random.getstate(), np.random.get_state()
    keras.utils.set_random_seed(seed)
    try:
        yield
    finally:
        random.setstate(states[0])
        np.random.set_state(states[1])
