"""Mistakes of a user: type checkers must refuse every line that is marked.

Read by `scripts/check_types`, not run.
"""

import keras
import numpy as np

from keras_strategies import (
    callbacks,
    compression,
    export,
    schedules,
    surgery,
    tuning,
)


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
    tuner = tuning.Tuner(None, "val_loss", max_trials="3")  # wrong
    tuning.Tuner(None, "val_loss", algorithm="tpee")  # wrong
    print(tuner.results().tabel())  # wrong
    tuning.plot_histori(tuner)  # wrong
    tuning.hyperparameter_importance(tuner, evaluator="anova")  # wrong
    tuning.HyperCNN((8, 8, 1), classes=2, learning_rat=0.1)  # wrong
    tuning.MedianPruner(startup_trials="five")  # wrong
