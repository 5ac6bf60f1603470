"""One worker serves all tests of this folder."""

import pytest


@pytest.fixture
def target(tmp_path):
    return tmp_path / "model.tflite"
