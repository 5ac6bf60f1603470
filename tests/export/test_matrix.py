"""Every kind of model in every quantization, each checked against the model."""

import gzip
import json

import keras
import pytest

from keras_strategies import export
from tests.export import models

pytestmark = pytest.mark.tensorflow
# Largest bytes as a fraction of the float32 file; small branches, names and scales
# weigh more in some.
SIZES = {
    "float16": 0.6,
    "dynamic": 0.45,
    "int8": 0.35,
    "int16x8": 0.36,
    "int4_weights": 0.35,
}
LOOPS = ("lstm", "gru", "bidirectional")
SLACK = dict.fromkeys(LOOPS, 0.35) | {
    "two_inputs_two_outputs": 0.1,
    "transformer": 0.25,
    "preprocessing": 0.25,
    "package_layers": 0.15,
    "subclassed": 0.1,
    "reloaded": 0.1,
    "pruned": 0.05,
    "nested": 0.05,
}
# Random weights in 15 values: these lose a channel, and the verdict says so.
DAMAGED = ("nested", "package_layers")


# In every run each of these stands for its relatives: a network of dense layers, of
# convolutions, of attention, a loop, and layers of Keras's and of ours inside.
QUICK = ("dense", "convolutional", "transformer", "lstm", "package_layers")


@pytest.mark.parametrize(
    "kind",
    [
        pytest.param(kind, marks=[pytest.mark.slow] * (kind not in QUICK))
        for kind in models.KINDS
    ],
)
def test_matrix(kind, tmp_path):
    keras.utils.set_random_seed(3)
    model, shapes = models.KINDS[kind]()
    samples = models.samples(shapes)
    sizes = {}
    for mode in ("float32", *SIZES):
        path = tmp_path / f"{mode}.tflite"
        damaged = mode == "int4_weights" and kind in DAMAGED
        result = export.to_tflite(
            model,
            path,
            quantization=mode,
            representative_data=samples,
            verify=samples,
            min_agreement=0.0 if damaged else 0.85 if mode == "int4_weights" else 0.9,
            max_loss=50.0,  # random weights: the outputs hardly vary
        )
        content = path.read_bytes()
        sizes[mode] = result.bytes
        print(
            f"{kind:24} {mode:14} {result.bytes / sizes['float32']:.2f} "
            f"{result.agreement:.3f} {result.max_difference:.4f} {result.warnings}"
        )
        assert result.quantization == mode
        assert result.bytes == len(content)
        assert result.gzipped_bytes == len(gzip.compress(content, mtime=0))
        assert result.verified and result.samples == 96
        assert 0 < result.latency_ms < 1000
        assert set(result.signature["inputs"]) == set(shapes)
        batch = {entry["shape"][0] for entry in result.signature["inputs"].values()}
        assert batch == ({1} if kind in LOOPS else {None})
        static = mode in ("int8", "int16x8")
        assert result.calibration_samples == (96 if static else 0)
        assert (result.calibration is not None) == static
        if not damaged and kind not in (*LOOPS, "transformer", "preprocessing"):
            usual = ("The ranges were still moving", "exclude only gross damage")
            assert all(any(x in text for x in usual) for text in result.warnings)
        json.dumps(result.to_dict())
        assert str(result.bytes)[0] in result.table()
    ratios = {name: size / sizes["float32"] for name, size in sizes.items()}
    more = SLACK.get(kind, 0)
    for name, limit in SIZES.items():
        assert ratios[name] <= limit + more, ratios
