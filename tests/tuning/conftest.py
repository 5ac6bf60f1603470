"""Fixtures of the searches."""

import gc

import pytest


@pytest.fixture(autouse=True)
def _quick_collections():
    """KerasTuner collects garbage twice a trial: leave what is loaded out of it."""
    gc.freeze()
    yield
    gc.unfreeze()
