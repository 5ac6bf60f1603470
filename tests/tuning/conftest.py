"""Fixtures of the searches."""

import keras
import pytest

IGNORED = "ignore:.*does not apply to tf.data functions:UserWarning"


def pytest_collection_modifyitems(items):
    for item in items:
        if "tests/tuning" in item.path.as_posix():
            item.add_marker(pytest.mark.filterwarnings(IGNORED))


@pytest.fixture(autouse=True)
def _eager(request):
    """A few eager steps cost less than tracing a graph for each trial.

    What is marked as slow runs in graphs.
    """
    slow = request.node.get_closest_marker("slow")
    if slow or keras.backend.backend() != "tensorflow":
        yield
        return
    import tensorflow as tf

    tf.config.run_functions_eagerly(True)
    yield
    tf.config.run_functions_eagerly(False)


@pytest.fixture
def graphs(_eager):
    """Graphs after all, for what is about them or takes more than a hundred steps."""
    if keras.backend.backend() != "tensorflow":
        yield
        return
    import tensorflow as tf

    before = tf.config.functions_run_eagerly()
    tf.config.run_functions_eagerly(False)
    yield
    tf.config.run_functions_eagerly(before)
