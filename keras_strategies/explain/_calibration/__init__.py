"""Whether probabilities can be trusted, and how to mend them."""

from keras_strategies.explain._calibration.calibration_report import (
    CalibrationReport,
    calibration,
)
from keras_strategies.explain._calibration.temperature import temperature_scaling

__all__ = ["CalibrationReport", "calibration", "temperature_scaling"]
