"""Prune, cluster, quantization-aware training, `.tflite`: known and nested models."""

import keras
import numpy as np
import pytest

from keras_strategies import compression, export

pytestmark = pytest.mark.tensorflow


def _application(name):
    def build():
        make = getattr(keras.applications, name)
        return make(weights=None, input_shape=(32, 32, 3), classes=4)

    return build


def _nested():
    inner = keras.Sequential(
        [
            keras.Input((16, 16, 8)),
            keras.layers.Conv2D(8, 3, padding="same", use_bias=False),
            keras.layers.BatchNormalization(),
            keras.layers.ReLU(),
        ],
        name="inner",
    )
    middle_in = keras.Input((16, 16, 8))
    middle = keras.Model(
        middle_in, keras.layers.Add()([middle_in, inner(middle_in)]), name="middle"
    )
    inputs = keras.Input((32, 32, 3))
    x = keras.layers.Conv2D(8, 3, strides=2, padding="same", activation="relu")(inputs)
    x = keras.layers.GlobalAveragePooling2D()(middle(x))
    return keras.Model(inputs, keras.layers.Dense(4, activation="softmax")(x))


def _fit(model):
    model.compile(keras.optimizers.SGD(1e-3), "sparse_categorical_crossentropy")
    rng = np.random.default_rng(0)
    x = rng.random((32, 32, 32, 3), dtype="float32") * 255
    y = np.arange(32) % 4
    history = model.fit(x, y, batch_size=16, epochs=2, shuffle=False, verbose=0)
    assert np.isfinite(history.history["loss"]).all()
    return x


@pytest.mark.parametrize(
    "build",
    [
        pytest.param(_nested, id="nested"),
        *(
            pytest.param(_application(name), id=name, marks=pytest.mark.slow)
            for name in ("MobileNetV2", "EfficientNetB0", "ResNet50")
        ),
    ],
)
def test_prune_cluster_quantize_export(build, tmp_path):
    keras.utils.set_random_seed(0)
    model = build()
    model.compile("sgd", "mse")
    kept = model.count_params()
    compression.prune(model, compression.ConstantSparsity(0.5, 0, frequency=1))
    _fit(model)
    assert compression.sparsity_report(model).sparsity == pytest.approx(0.5, abs=0.02)
    compression.strip(model)

    clustered = compression.cluster(model, 8, preserve_sparsity=True)
    _fit(clustered)
    plain = compression.strip(clustered)
    assert plain.count_params() == kept
    report = compression.cluster_report(plain)
    counts = [row["values"] for row in report.rows]
    assert counts and max(counts) <= 8

    aware = compression.quantize_aware(plain, preserve="both")
    x = _fit(aware)
    assert max(row["values"] for row in compression.cluster_report(aware).rows) <= 8
    path = tmp_path / "model.tflite"
    result = export.to_tflite(aware, path, quantization="int8", min_agreement=0.0)
    floats = result.tensor_types.get("float32", {"tensors": 0})
    assert floats["tensors"] <= 2  # the input and the output
    found = export.TFLiteModel(path).predict(x, verbose=0)
    expected = aware.predict(x, verbose=0)
    assert np.abs(found - expected).mean() < 0.05
    export.TFLiteModel(path).benchmark(runs=2)
