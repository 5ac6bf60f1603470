"""One model of each family of keras.applications, in float16 and int8, runs."""

import importlib.util
import pathlib

import keras
import pytest

pytestmark = pytest.mark.tensorflow
SCRIPT = pathlib.Path(__file__).parents[2] / "scripts" / "applications.py"


def _script():
    spec = importlib.util.spec_from_file_location("applications", SCRIPT)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


applications = _script()
# The smallest of each; the rest are run by scripts/check_applications.
ONE = {family: names[0] for family, names in applications.FAMILIES.items()}


# Minutes in all: scripts/check runs them by scripts/check_applications instead.
@pytest.mark.slow
@pytest.mark.parametrize("name", ONE.values())
def test_family(name, tmp_path):
    half, integer = applications.check(name, tmp_path)
    assert half["size"] < 0.54 and integer["size"] < 0.34
    assert half["correlation"] > integer["correlation"] - 0.02


def test_no_model_is_forgotten():
    known = {name for names in applications.FAMILIES.values() for name in names}
    assert known == {name for name in dir(keras.applications) if name[0].isupper()}
