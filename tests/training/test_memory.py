"""Data on the device stay within `memory_limit`."""

import gc
import threading
import weakref

import keras
import pytest

from keras_strategies.training._blocks import fit_interceptor
from keras_strategies.training._blocks.backend import device_module
from tests.training.models import BATCH, EVEN, Batches, candidates, data, dear, plan_for

ROW = 6 * 4 + 8  # bytes


class Device:
    """The backend's device, which counts the bytes that live on it."""

    def __init__(self, module):
        self._module, self.now, self.most = module, 0, 0
        self._lock = threading.Lock()

    def __getattr__(self, name):
        return getattr(self._module, name)

    def _count(self, change):
        with self._lock:
            self.now += change
            self.most = max(self.most, self.now)

    def to_device(self, arrays):
        moved = self._module.to_device(arrays)
        for leaf in keras.tree.flatten(moved):
            if leaf is not None:
                size = leaf.nbytes if hasattr(leaf, "nbytes") else len(leaf) * 8
                self._count(size)
                weakref.finalize(leaf, self._count, -size)
        return moved


BLOCK, EPOCH = candidates()[0:1], candidates()[1:2]
LIMITS = [
    *(dear("jax", "dataset", name, 3 * 4 * BATCH * ROW) for name in BLOCK),
    *(("blocks", name, 3 * 4 * BATCH * ROW) for name in EPOCH),
    *(dear("jax", "whole", name, (EVEN + 32) * ROW) for name in EPOCH),
]


@pytest.mark.parametrize(("what", "candidate", "limit"), LIMITS)
def test_data_stay_within_the_limit(what, candidate, limit, monkeypatch):
    device = Device(device_module())
    monkeypatch.setattr(fit_interceptor, "device_module", lambda: device)
    model = keras.Sequential([keras.Input((6,)), keras.layers.Dense(1)])
    model.compile("sgd", "mse")
    x, y = data(EVEN)
    held = (x[:32], y[:32])
    if what == "dataset":
        x, y = Batches(EVEN), None
    plan = plan_for(model, {"x": x, "y": y}, candidate, memory_limit=limit)
    model.fit(x, y, BATCH, 2, 0, validation_data=held, shuffle=False)
    assert 0 < device.most <= plan._interceptor.device_bytes <= limit
    gc.collect()
    assert device.now == 0
