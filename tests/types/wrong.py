"""Mistakes of a user: type checkers must refuse every line that is marked.

Read by `scripts/check_types`, not run.
"""

import keras
import numpy as np

from keras_strategies import callbacks, compression, export, schedules, surgery


def mistakes(model: keras.Model, x: np.ndarray) -> None:
    """One mistake a line."""
    report = compression.flops(model)
    print(report.mac)  # wrong
    result = export.to_tflite(model, "m.tflite")
    print(result.agrement)  # wrong
    print(schedules.WarmUpSchedule)  # wrong
    print(callbacks.GradientCliping)  # wrong
    surgery.insert(model, 3, lambda layer: None)  # wrong
    compression.prune_filters(model, "half")  # wrong
    export.to_tflite(model, "m.tflite", quantization=8.5)  # wrong
    export.compare(model, "m.tflite", x).tabel()  # wrong
