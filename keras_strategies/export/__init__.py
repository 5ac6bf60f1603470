"""Export to LiteRT (`.tflite`), checked before it is written.

`to_tflite` converts a Keras model in a worker process, runs the artifact in the
LiteRT interpreter, judges each output by what it means and writes the file only if it
agrees with the model.
It returns an `ExportResult`, or raises an `ExportError` with the way out.
`TFLiteModel` runs, scores, times and lists a file; `compare` checks it against a model.

Rooms, from the bottom to the top: `_common` (errors, arguments, sample data), `_worker`
(subprocesses), `artifact` (`.tflite` files), `verify` and `_calibration`, `convert`,
then `debug` and `trainable`; `rescue` changes the float model so that int8 loses less.
Import public names from `keras_strategies.export` only.
"""

from keras_strategies.export._common import ExportError
from keras_strategies.export.artifact._metadata_files import (
    read_metadata,
    write_metadata,
)
from keras_strategies.export.artifact._micro.c_array import write_c_array
from keras_strategies.export.artifact._micro.measure_arena import measure_arena
from keras_strategies.export.artifact.arena_report import ArenaReport
from keras_strategies.export.artifact.benchmark_result import BenchmarkResult
from keras_strategies.export.artifact.tflite_model import TFLiteModel
from keras_strategies.export.convert._to_tflite import to_tflite
from keras_strategies.export.convert.export_result import ExportResult
from keras_strategies.export.debug._debug_quantization import debug_quantization
from keras_strategies.export.debug.quantization_report import QuantizationReport
from keras_strategies.export.rescue._absorb_high_bias import absorb_high_bias
from keras_strategies.export.rescue._adaround import adaround
from keras_strategies.export.rescue._correct_bias import correct_bias
from keras_strategies.export.rescue._equalize import equalize_layers
from keras_strategies.export.rescue._fold_batch_norm import fold_batch_norm
from keras_strategies.export.rescue._sensitivity import sensitivity
from keras_strategies.export.rescue._smooth_activations import smooth_activations
from keras_strategies.export.rescue.sensitivity_report import SensitivityReport
from keras_strategies.export.trainable._to_trainable_tflite import to_trainable_tflite
from keras_strategies.export.trainable.trainable_result import TrainableResult
from keras_strategies.export.verify._comparison import compare
from keras_strategies.export.verify.comparison_result import ComparisonResult
from keras_strategies.export.verify.output_verdict import OutputVerdict

__all__ = [
    "ArenaReport",
    "BenchmarkResult",
    "ComparisonResult",
    "ExportError",
    "ExportResult",
    "OutputVerdict",
    "QuantizationReport",
    "SensitivityReport",
    "TFLiteModel",
    "TrainableResult",
    "absorb_high_bias",
    "adaround",
    "compare",
    "correct_bias",
    "debug_quantization",
    "equalize_layers",
    "fold_batch_norm",
    "measure_arena",
    "read_metadata",
    "sensitivity",
    "smooth_activations",
    "to_tflite",
    "to_trainable_tflite",
    "write_c_array",
    "write_metadata",
]
