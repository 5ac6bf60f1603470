"""Every hypermodel builds a network that answers, on every backend."""

import keras
import keras_tuner
import numpy as np
import pytest

from keras_strategies import tuning
from tests.tuning.searching import backbone, space

NAMES = [
    name
    for name in tuning.__all__
    if isinstance(getattr(tuning, name), type)
    and issubclass(getattr(tuning, name), keras_tuner.HyperModel)
]
SEQUENCES = ("HyperRNN", "HyperTransformer")
IMAGES = ("HyperCNN", "HyperResNet", "HyperAugment", "HyperTransferLearning")
ARGUMENTS = {
    "HyperCNN": {"filters": (4, 8), "units": 8},
    "HyperResNet": {"filters": (4, 8), "blocks": 1},
    "HyperRNN": {"vocabulary_size": 18, "units": (4, 8), "layers": 1},
    "HyperTransformer": {"vocabulary_size": 18, "layers": 1, "head_size": 4},
    "HyperTransferLearning": {"backbone": backbone},
}


@pytest.mark.parametrize("name", NAMES)
def test_every_hypermodel_builds(name):
    cls = getattr(tuning, name)
    arguments = {"classes": 10, **ARGUMENTS.get(name, {})}
    if name in SEQUENCES:
        shape, x = (16,), np.ones((2, 16), "int32")
    else:
        shape = (8, 8, 1) if name in IMAGES else (64,)
        x = np.ones((2, *shape), "float32")
    hypermodel = cls(shape, **arguments)
    hp = space(hypermodel)
    assert hp.space
    model = hypermodel.build(hp)
    assert model.optimizer is not None
    answer = keras.ops.convert_to_numpy(model(x))
    assert answer.shape == (2, 10) and np.isfinite(answer).all()
