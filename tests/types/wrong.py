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
    surgery.rename(model, 3)  # wrong
    compression.prune_filters(model, "half")  # wrong
    export.to_tflite(model, "m.tflite", quantization=8.5)  # wrong
    export.compare(model, "m.tflite", x).tabel()  # wrong
