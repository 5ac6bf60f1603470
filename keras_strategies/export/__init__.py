"""Export to LiteRT (`.tflite`), checked before it is written.

`to_tflite` converts a Keras model in a worker process, runs the artifact in the
LiteRT interpreter, compares it with the model and writes it only if both agree.
It returns an `ExportResult`; what stands in the way is an `ExportError`.
"""

from keras_strategies.export.c_array import write_c_array
from keras_strategies.export.export_error import ExportError
from keras_strategies.export.export_result import ExportResult
from keras_strategies.export.metadata import read_metadata, write_metadata
from keras_strategies.export.tflite import to_tflite

__all__ = [
    "ExportError",
    "ExportResult",
    "read_metadata",
    "to_tflite",
    "write_c_array",
    "write_metadata",
]
