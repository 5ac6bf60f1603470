"""Every public name of TFMOT's is there, or has a reason not to be.

TFMOT changes the environment when imported, so it runs in a process of its own.
"""

import importlib
import json
import os
import subprocess
import sys

import pytest

from keras_strategies.compat import tfmot

pytestmark = pytest.mark.tensorflow

LIST = """
import json, sys, types, warnings, os
warnings.simplefilter("ignore")
os.environ["TF_USE_LEGACY_KERAS"] = "1"
import tensorflow_model_optimization as tfmot

found = set()

def walk(module, path, inside):
    for name in dir(module):
        thing = getattr(module, name)
        if name.startswith("_"):
            continue
        if not isinstance(thing, types.ModuleType):
            found.add(f"{path}.{name}")
        elif "tensorflow_model_optimization" in thing.__name__ and thing not in inside:
            walk(thing, f"{path}.{name}", [*inside, thing])

for name in ("sparsity", "clustering", "quantization", "experimental"):
    walk(getattr(tfmot, name), name, [])
json.dump(sorted(found), open(sys.argv[1], "w"))
"""

_GRAPHS = "patterns in graphs of tf_keras layers: quantize_aware folds by itself"
# Names that begin so -> why they are not there.
LEFT_OUT = {
    "clustering.keras.ClusteringAlgorithm": "code for the original's wrapper",
    "quantization.keras.graph_transformations.": _GRAPHS,
    "quantization.keras.default_8bit.default_8bit_transforms.": _GRAPHS,
    "quantization.keras.experimental.default_n_bit.default_n_bit_transforms.": _GRAPHS,
    "quantization.keras.experimental.default_n_bit.DefaultNBitQuantizeLayout": _GRAPHS,
    "quantization.keras.experimental.default_n_bit.DefaultNBitQuantizeRegistry": (
        "the scheme has the bits; the registry of 8 bits knows the layers"
    ),
}


def _has(path):
    module = tfmot
    for name in path.split("."):
        if not hasattr(module, name):
            return False
        module = getattr(module, name)
    return True


@pytest.mark.slow  # the oracle needs seconds to be imported
def test_public_names(tmp_path):
    done = subprocess.run(
        [sys.executable, "-c", LIST, "names.json"],
        capture_output=True,
        text=True,
        env=os.environ | {"KERAS_BACKEND": "tensorflow"},
        cwd=tmp_path,
        timeout=300,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    names = json.loads((tmp_path / "names.json").read_text())
    assert len(names) > 80
    missing = [name for name in names if not _has(name)]
    unexplained = [
        name for name in missing if not name.startswith(tuple(sorted(LEFT_OUT)))
    ]
    assert not unexplained
    unused = [p for p in LEFT_OUT if not any(name.startswith(p) for name in missing)]
    assert not unused


def test_modules_import_by_their_own_names():
    root = "keras_strategies.compat.tfmot"
    for name in (
        "quantization.keras.quantizers",
        "quantization.keras.default_8bit",
        "quantization.keras.collab_opts",
        "quantization.keras.experimental.default_n_bit",
        "experimental.combine",
        "clustering.keras",
        "sparsity.keras",
    ):
        module = importlib.import_module(f"{root}.{name}")
        assert module.__all__ == sorted(module.__all__)
        for symbol in module.__all__:
            assert hasattr(module, symbol)


def test_paths_inside_of_tfmot_that_its_guides_import():
    root = "keras_strategies.compat.tfmot.python.core"
    experimental = importlib.import_module(f"{root}.clustering.keras.experimental")
    ours = tfmot.clustering.keras.experimental.cluster_weights
    assert experimental.cluster.cluster_weights is ours
    assert importlib.import_module(f"{root}.keras.compat").keras.__name__ == "keras"
