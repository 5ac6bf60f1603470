"""Microcontrollers: operations, the arena, and C++ that compiles."""

import re
import shutil
import subprocess

import keras
import pytest

from keras_strategies import export
from keras_strategies.export.artifact._micro import arena_plan, micro_ops
from tests.export import models

pytestmark = pytest.mark.tensorflow
L = keras.layers


def test_methods_have_the_resolvers_names():
    names = {
        "CONV_2D": "AddConv2D",
        "DEPTHWISE_CONV_2D": "AddDepthwiseConv2D",
        "L2_POOL_2D": "AddL2Pool2D",
        "FULLY_CONNECTED": "AddFullyConnected",
        "BATCH_MATMUL": "AddBatchMatMul",
        "UNIDIRECTIONAL_SEQUENCE_LSTM": "AddUnidirectionalSequenceLSTM",
        "PADV2": "AddPadV2",
        "SELECT_V2": "AddSelectV2",
        "RELU6": "AddRelu6",
    }
    assert {op: micro_ops.add_method(op) for op in names} == names
    assert micro_ops.unsupported(["TOPK_V2", "ADD", "FlexErf"]) == [
        "FlexErf",
        "TOPK_V2",
    ]


@pytest.mark.parametrize(
    ("lifetimes", "size"),
    [
        ([], 0),
        ([(16, 0, 1), (32, 1, 2)], 48),  # both live at operation 1
        ([(16, 0, 0), (32, 1, 2)], 32),  # one after the other
        # 64 lies below; 32 fits behind it, 16 into what 64 leaves at the end.
        ([(64, 0, 1), (32, 1, 2), (16, 2, 3)], 96),
    ],
)
def test_plan_of_tensors(lifetimes, size):
    assert arena_plan.largest_sum(lifetimes) == size


@pytest.fixture(scope="module")
def artifact(tmp_path_factory):
    model, _ = models.convolutional()
    path = tmp_path_factory.mktemp("micro") / "net 1.tflite"
    export.to_tflite(model, path, min_agreement=0)
    return path


def test_estimate_without_the_interpreter(artifact, monkeypatch):
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    report = export.measure_arena(artifact)
    assert report.is_estimate and report.runs is None
    # The largest pair that lives at once: 10 x 10 x 16 and 4 x 4 x 24, of 4 bytes.
    assert 4 * (1600 + 384) <= report.arena_bytes < 12000
    assert report.model_bytes == artifact.stat().st_size
    assert "estimated" in str(report) and "tflite-micro" in report.error
    assert report.unsupported == []


STUBS = {
    "micro_interpreter.h": """
    #pragma once
    #include <cstddef>
    #include <cstdint>
    enum TfLiteStatus { kTfLiteOk, kTfLiteError };
    #define TF_LITE_ENSURE_STATUS(a) \\
      do { TfLiteStatus s = (a); if (s != kTfLiteOk) return s; } while (0)
    namespace tflite {
    struct Model {};
    struct MicroOpResolver { unsigned count = 0; };
    struct MicroInterpreter {
      MicroInterpreter(const Model*, const MicroOpResolver& r, uint8_t* a, size_t n)
          : resolver(r), arena(a), size(n) {}
      TfLiteStatus AllocateTensors() {
        return (uintptr_t)arena % 16 ? kTfLiteError : kTfLiteOk;
      }
      const MicroOpResolver& resolver;
      uint8_t* arena;
      size_t size;
    };
    }
    """,
    "micro_mutable_op_resolver.h": """
    #pragma once
    #include "tensorflow/lite/micro/micro_interpreter.h"
    namespace tflite {
    template <unsigned N> struct MicroMutableOpResolver : MicroOpResolver {
      TfLiteStatus Add() { return count++ < N ? kTfLiteOk : kTfLiteError; }
      METHODS
    };
    }
    """,
    "../schema/schema_generated.h": """
    #pragma once
    namespace tflite {
    inline const Model* GetModel(const void*) { static Model model; return &model; }
    }
    """,
}
MAIN = """
#include <stdio.h>
#include "net_interpreter.h"
int main() {
  tflite::MicroInterpreter* interpreter = g_net_interpreter();
  if (interpreter == nullptr || g_net_interpreter() != interpreter) return 2;
  printf("%u %zu", interpreter->resolver.count, interpreter->size);
}
"""


def test_interpreter_compiles_and_adds_each_operation_once(artifact, tmp_path):
    report = export.measure_arena(artifact)
    source = export.write_c_array(
        artifact, tmp_path / "net.cc", name="g_net", interpreter=True
    )
    header = (tmp_path / "net_interpreter.h").read_text()
    methods = re.findall(r"resolver\.(Add\w+)\(\)", header)
    assert methods == [micro_ops.add_method(op) for op in sorted(report.ops)]
    assert ("estimate" in header) == report.is_estimate
    if shutil.which("c++") is None:
        pytest.skip("there is no compiler c++ on this machine")
    folder = tmp_path / "tensorflow/lite/micro"
    folder.mkdir(parents=True)
    (folder.parent / "schema").mkdir()
    known = {micro_ops.add_method(op) for op in micro_ops.SUPPORTED}
    text = "\n".join(f"TfLiteStatus {name}() {{ return Add(); }}" for name in known)
    for name, stub in STUBS.items():
        (folder / name).write_text(stub.replace("METHODS", text))
    (tmp_path / "main.cc").write_text(MAIN)
    command = ["c++", "-std=c++11", "-Wall", "-Werror", "-I.", "-o", "net"]
    done = subprocess.run(
        [*command, "main.cc", source], cwd=tmp_path, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    printed = subprocess.run([tmp_path / "net"], capture_output=True, check=True)
    assert printed.stdout.decode() == f"{len(report.ops)} {report.arena_bytes}"


def test_operations_that_it_lacks_are_named(tmp_path):
    inputs = keras.Input((6,))
    best = keras.ops.top_k(inputs, 2)[0]
    export.to_tflite(keras.Model(inputs, best), tmp_path / "best.tflite")
    assert export.measure_arena(tmp_path / "best.tflite").unsupported == ["TOPK_V2"]
    with pytest.raises(export.ExportError, match="TOPK_V2") as caught:
        export.write_c_array(tmp_path / "best.tflite", interpreter=True)
    assert caught.value.reason == "operations"
    assert not (tmp_path / "best.cc").exists()
    delegates = {
        entry["delegate"]: entry["ops"]
        for entry in _inspected(tmp_path / "best.tflite")
    }
    assert "TOPK_V2" in delegates["microcontroller"]
    assert "TOPK_V2" in delegates["MediaTek NPU"]
    assert "TOPK_V2" not in delegates["Qualcomm NPU"]


def _inspected(path):
    from keras_strategies.export.artifact._inspection import inspect

    entries = inspect(path)["delegates"]
    assert all(entry["source"].startswith("https://") for entry in entries)
    return entries


@pytest.mark.slow
@pytest.mark.parametrize("quantization", ["float32", "int8"])
def test_the_arena_that_tflite_micro_takes(quantization, tmp_path):
    pytest.importorskip("tflite_micro", reason="tflite-micro is not installed")
    for make in (models.dense, models.convolutional, models.nested):
        model, shapes = make()
        data = models.samples(shapes, count=50)
        more = {} if quantization == "float32" else {"representative_data": data}
        path = tmp_path / "model.tflite"
        export.to_tflite(
            model, path, quantization=quantization, min_agreement=0, **more
        )
        report = export.measure_arena(path)
        assert report.runs and not report.is_estimate, report.error
        from keras_strategies.export.artifact import _flatbuffer

        estimate = arena_plan.estimate(_flatbuffer.parse(path.read_bytes()))
        assert 0.9 < estimate / report.arena_bytes < 1.2
