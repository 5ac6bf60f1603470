"""The `.tflite` files against those of TFMOT's `quantize_model`.

TFMOT changes the environment when imported, so it runs in a process of its own.
"""

import json
import os
import subprocess
import sys

import keras
import numpy as np
import pytest

from keras_strategies import compression

# In every run test_quantize_aware_export.py looks at the operations and the types.
pytestmark = [pytest.mark.tensorflow, pytest.mark.slow]

# One description for both Keras versions; `k` is `keras` or `tf_keras`.
GRAPHS = """
def graphs(k):
    L = k.layers

    def conv_bn_relu():
        x = k.Input((8, 8, 3))
        y = L.Conv2D(8, 3, use_bias=False)(x)
        y = L.ReLU()(L.BatchNormalization()(y))
        y = L.Flatten()(L.MaxPooling2D()(y))
        return k.Model(x, L.Dense(4, activation="softmax")(y))

    def depthwise():
        x = k.Input((8, 8, 3))
        y = L.DepthwiseConv2D(3, padding="same", use_bias=False)(x)
        y = L.ReLU(6.0)(L.BatchNormalization()(y))
        y = L.Conv2D(8, 1, use_bias=False)(y)
        y = L.ReLU(6.0)(L.BatchNormalization()(y))
        return k.Model(x, L.Dense(4)(L.GlobalAveragePooling2D()(y)))

    def residual():
        x = k.Input((8, 8, 3))
        y = L.Conv2D(3, 3, padding="same", activation="relu")(x)
        y = L.ReLU()(L.Add()([x, y]))
        return k.Model(x, L.Dense(4)(L.Flatten()(L.AveragePooling2D(2)(y))))

    def concat():
        x = k.Input((8, 8, 3))
        y = L.Conv2D(4, 3, padding="same", activation="relu")(x)
        z = L.Conv2D(4, 1)(x)
        y = L.Concatenate()([y, z])
        return k.Model(x, L.Dense(4, activation="sigmoid")(L.Flatten()(y)))

    def separable():
        x = k.Input((8, 8, 3))
        y = L.SeparableConv2D(6, 3, activation="relu")(x)
        y = L.Dense(5, activation="tanh")(L.Flatten()(L.ZeroPadding2D()(y)))
        return k.Model(x, L.Dense(4)(y))

    def mlp():
        x = k.Input((12,))
        y = L.Dropout(0.2)(L.Dense(16, activation="relu")(x))
        return k.Model(x, L.Dense(4, activation="softmax")(y))

    def reshaped():
        x = k.Input((8, 8, 3))
        y = L.Reshape((64, 3))(L.Cropping2D(0)(x))
        y = L.Reshape((8, 8, 3))(y)
        y = L.LeakyReLU()(L.Conv2D(4, 3, strides=2)(y))
        return k.Model(x, L.GlobalAveragePooling2D()(y))

    def transposed():
        x = k.Input((8, 8, 3))
        y = L.Conv2DTranspose(4, 3, strides=2, padding="same", activation="relu")(x)
        return k.Model(x, L.Conv2D(2, 3)(y))

    made = (conv_bn_relu, depthwise, residual, concat, separable, mlp, reshaped)
    return {make.__name__: make for make in (*made, transposed)}
"""

CONVERT = """
import collections, warnings

def contents(call, shape):
    import tensorflow as tf
    from tensorflow.lite.python import schema_py_generated as schema
    module = tf.Module()
    module.call = call
    spec = tf.TensorSpec((1, *shape), tf.float32)
    concrete = tf.function(call).get_concrete_function(spec)
    converter = tf.lite.TFLiteConverter.from_concrete_functions([concrete], module)
    converter.optimizations = [tf.lite.Optimize.DEFAULT]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        content = converter.convert()
    model = schema.ModelT.InitFromObj(schema.Model.GetRootAs(content, 0))
    graph = model.subgraphs[0]
    names = {v: n for n, v in vars(schema.BuiltinOperator).items()}
    codes = [names[max(c.builtinCode, c.deprecatedBuiltinCode)]
             for c in model.operatorCodes]
    types = {v: n for n, v in vars(schema.TensorType).items()}
    ops = collections.Counter(codes[op.opcodeIndex] for op in graph.operators)
    kinds = collections.Counter(types[t.type] for t in graph.tensors)
    return {"ops": dict(ops), "types": dict(kinds)}
"""

ORACLE = """
import json, os, sys, warnings
warnings.simplefilter("ignore")
os.environ["TF_USE_LEGACY_KERAS"] = "1"
import numpy as np
import tf_keras
from tensorflow_model_optimization.python.core.quantization.keras import quantize
found = {}
for name, make in graphs(tf_keras).items():
    model = quantize.quantize_model(make())
    model.compile("sgd", "mse")
    x = np.random.default_rng(0).normal(size=(8, *model.input_shape[1:]))
    y = np.zeros((8, *model.output_shape[1:]))
    model.fit(x.astype("float32"), y, verbose=0)
    found[name] = contents(
        lambda x: model(x, training=False), model.input_shape[1:])
json.dump(found, open(sys.argv[1], "w"))
"""


def _ours():
    scope = {}
    exec(GRAPHS + CONVERT, scope)
    found = {}
    for name, make in scope["graphs"](keras).items():
        model = compression.quantize_aware(make())
        for weight in model.weights:
            if weight.path.endswith("bias"):  # zeros would be left out
                weight.assign(weight + 0.1)
        shape = model.input_shape[1:]
        model(np.random.default_rng(0).normal(size=(8, *shape)), training=True)
        found[name] = scope["contents"](
            lambda x, model=model: model(x, training=False), shape
        )
    return found


def test_operations_and_tensor_types_are_those_of_tfmot(tmp_path):
    script = tmp_path / "oracle.py"
    script.write_text(GRAPHS + CONVERT + ORACLE)
    oracle = subprocess.Popen(
        [sys.executable, script.name, "found.json"],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
        env=os.environ | {"KERAS_BACKEND": "tensorflow"},
        cwd=tmp_path,
    )
    ours = _ours()
    _, errors = oracle.communicate(timeout=300)
    assert oracle.returncode == 0, errors[-3000:]
    theirs = json.loads((tmp_path / "found.json").read_text())
    assert set(ours) == set(theirs)
    for name in ours:
        # TFMOT rounds before a Concatenate, then again after it; and after an average
        # pooling, whose kernel has one range for input and output.
        extra = {"concat": 1, "residual": 1}.get(name, 0)
        theirs[name]["ops"]["QUANTIZE"] -= extra
        theirs[name]["types"]["INT8"] -= extra
        assert ours[name] == theirs[name], name
