"""Packages whose names are imported when they are first used."""

import os
import subprocess
import sys

import pytest

from keras_strategies import compression, export, training

PROBE = """
import sys
import keras_strategies
from keras_strategies import compression, export, training
for package in (compression, training):
    assert not hasattr(package, "nothing")
before = set(sys.modules)
training.fit_many
print("keras_strategies.training._many.fit_many" in set(sys.modules) - before)
"""


@pytest.mark.parametrize("package", [compression, training])
def test_every_name_is_there(package):
    assert dir(package) == sorted(dir(package))
    assert set(package.__all__) <= set(dir(package))
    for name in set(dir(package)) - set(package.__all__):  # another name of the same
        assert getattr(package, name) is getattr(export, name)
    for name in package.__all__:
        value = getattr(package, name)
        assert value.__name__.rpartition(".")[2] == name
        assert getattr(package, name) is value
    with pytest.raises(AttributeError, match=r"has no attribute 'nothing'"):
        package.nothing  # noqa: B018


def test_what_few_need_is_imported_when_it_is_used():
    result = subprocess.run(
        [sys.executable, "-c", PROBE],
        capture_output=True,
        text=True,
        check=True,
        env=os.environ | {"KERAS_BACKEND": "numpy"},  # starts at once
    )
    assert result.stdout.split()[-1] == "True"
